"""Whether what was printed is here: "here" is what is in the page, and a page that draws no pictures gets there."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, Api, Open
from tests.browser.test_story import shown_numbers

expect.set_options(timeout=PATIENCE)
LINES = 12_000

#: No pictures, as in a page that is covered.
NO_PICTURES = "window.requestAnimationFrame = () => 1;"
#: And none of what goes into the page without one, until `goOn()`: nothing of what arrives is shown meanwhile.
HELD = """
  let held = [];
  const [picture, timer] = [window.requestAnimationFrame.bind(window), window.setTimeout.bind(window)];
  window.requestAnimationFrame = (draw) => (held ? held.push(draw) : picture(draw));
  window.setTimeout = (act, ms, ...more) => (held && ms === 250 ? held.push(act) : timer(act, ms, ...more));
  window.goOn = () => { const due = held; held = null; due.forEach((act) => act(0)); };
"""
#: What the stream brings waits until `bring()`.
NO_STREAM = """
  const start = MessagePort.prototype.start;
  const begun = new Promise((go) => { window.bring = go; });
  MessagePort.prototype.start = function () { begun.then(() => start.call(this)); };
"""
HIDDEN = "Object.defineProperty(document, 'hidden', {value: true, configurable: true})"
SEEN = """
  Object.defineProperty(document, 'hidden', {value: false, configurable: true});
  document.dispatchEvent(new Event('visibilitychange'));
"""


def queued(api: Api, open_page: Open, suite: str, script: str) -> tuple[int, Page]:
    """A run whose page is there, with `script` in it, before it prints."""
    api.client.post("/stop-all", json={"text": "the page is to be there first"})
    try:
        run = api.start(suite)
        page = open_page("/health")
        page.add_init_script(script)
        page.goto(f"/runs/{run}")
        expect(page.locator("#log-empty")).to_contain_text("waits for a slot")
    finally:
        api.client.post("/release", json={"text": "it is"})
    return run, page


def told(page: Page) -> tuple[int, int]:
    """The line that the page says is here, and the last one in it."""
    words = page.locator('[data-tally="here"]').inner_text()
    rows = shown_numbers(page)
    return int(re.sub(r"\D", "", words)), rows[-1] if rows else 0


def test_a_page_without_pictures_shows_all_that_comes(open_page: Open, api: Api) -> None:
    _, page = queued(api, open_page, "flood", NO_PICTURES)
    expect(page.locator(f"#L{LINES}")).to_be_attached()


def test_here_is_what_is_in_the_page_and_not_what_has_arrived(open_page: Open, api: Api) -> None:
    _, page = queued(api, open_page, "flood", HELD)
    expect(page.locator('[data-tally="stored"]')).to_contain_text(re.compile("12\u202f\\d{3} lines"))
    expect(page.locator('[data-tally="sum"]')).to_contain_text(re.compile("1\\d\u202f\\d{3} lines on their way here"))
    expect(page.locator("#tally")).to_have_attribute("data-state", "apart")
    here, shown = told(page)
    assert here == shown
    page.evaluate("goOn()")
    expect(page.locator(f"#L{LINES}")).to_be_attached()
    expect(page.locator('[data-tally="here"]')).to_have_text(re.compile("^line 12\u202f\\d{3}$"))


def test_a_page_that_is_behind_catches_up_when_it_is_seen_again(open_page: Open, api: Api) -> None:
    _, page = queued(api, open_page, "flood", HELD)
    expect(page.locator('[data-tally="stored"]')).to_contain_text(re.compile("12\u202f\\d{3} lines"))
    assert page.locator(f"#L{LINES}").count() == 0
    page.evaluate(SEEN)
    expect(page.locator(f"#L{LINES}")).to_be_attached()


def test_a_page_out_of_sight_keeps_up_with_a_burst_that_nothing_follows(open_page: Open, api: Api) -> None:
    run, page = queued(api, open_page, "flood", HELD + HIDDEN + NO_STREAM)
    while api.run(run)["lines"] < LINES:  # type: ignore[operator]
        page.evaluate("1")
    assert api.client.post(f"/runs/{run}/freeze").is_success
    page.evaluate("bring()")
    expect(page.locator(f"#L{api.run(run)['lines']}")).to_be_attached()


def test_a_page_that_is_behind_has_all_of_a_run_when_it_has_ended(open_page: Open, api: Api) -> None:
    run, page = queued(api, open_page, "chatter", HELD)
    expect(page.locator('[data-tally="stored"]')).to_contain_text(re.compile(r"\d\d lines"))
    assert shown_numbers(page) == []
    api.client.post(f"/runs/{run}/stop", json={"wait": True})
    last = api.run(run)["lines"]
    expect(page.locator(f"#L{last}")).to_be_attached()
    expect(page.locator('[data-tally="here"]')).to_have_text(f"line {last}")
    expect(page.locator('[data-tally="stored"]')).to_contain_text(f"{last} lines")


def test_a_paused_page_says_what_has_come_and_not_that_it_is_here(open_page: Open, api: Api) -> None:
    page = open_page(f"/runs/{api.start('chatter')}")
    expect(page.locator("#L80")).to_be_attached()
    page.click("#log-follow")
    expect(page.locator('[data-tally="here"]')).to_have_text(re.compile(r"^line \d+ has come$"))
    last = shown_numbers(page)[-1]
    expect(page.locator("#log-pill")).to_contain_text(re.compile(r"\d new"))
    page.click(".stop-large")
    expect(page.locator(".runbar .mark")).to_have_text("Stopped")
    expect(page.locator('[data-tally="sum"]')).to_have_text(
        "All that was printed is stored and has come; the output stands still"
    )
    assert told(page)[0] > last
    page.click("#log-follow")
    expect(page.locator('[data-tally="sum"]')).to_have_text("All that was printed is stored and here")
    here, shown = told(page)
    assert here == shown


def test_lines_that_a_window_told_of_before_they_came_are_shown_all_the_same(open_page: Open, api: Api) -> None:
    run = api.start("flood")
    expect(open_page(f"/runs/{run}").locator(f"#L{LINES}")).to_be_attached()
    page = open_page("/health")
    page.add_init_script(NO_STREAM)
    page.goto(f"/runs/{run}")
    last = shown_numbers(page)[-1]
    while api.run(run)["lines"] == last:
        page.evaluate("1")
    with page.expect_response(re.compile("before=")) as older:
        page.locator("#log-scroll").evaluate("(pane) => pane.scrollTo({ top: pane.scrollTop - 100 })")
        page.locator("#log-scroll").evaluate("(pane) => pane.scrollTo({ top: 300 })")
    assert older.value.json()["total"] > last
    page.evaluate("bring()")
    expect(page.locator("#log-pill")).to_contain_text(" new")
    page.click("#log-follow")
    expect(page.locator(f"#L{last + 3}")).to_be_attached()
    numbers = shown_numbers(page)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_page_that_shows_only_what_is_found_gets_to_the_end_although_it_was_refused_once(
    open_page: Open, api: Api
) -> None:
    run = api.start("chatter")
    page = open_page(f"/runs/{run}", statuses=(503,))
    expect(page.locator("#L20")).to_be_attached()
    page.fill("#log-q", "tick")
    page.check("#log-search input[name=only]")
    expect(page.locator("#log-found-text")).to_contain_text("lines")
    more = re.compile(r"/lines\?.*after=")
    page.route(more, lambda route: route.fulfill(status=503))
    with page.expect_response(more):
        page.click(".stop-large")
        expect(page.locator(".runbar .mark")).to_have_text("Stopped")
    page.unroute(more)
    expect(page.locator(f"#L{api.run(run)['lines']}")).to_be_attached()


def test_a_page_that_was_paused_at_its_end_stays_so_when_the_pane_gets_another_height(
    open_page: Open, api: Api
) -> None:
    page = open_page(f"/runs/{api.start('chatter')}")
    expect(page.locator("#L80")).to_be_attached()
    page.click("#log-follow")
    expect(page.locator("#log-pill")).to_contain_text(re.compile(r"\d new"))
    page.evaluate(
        """async () => {
        const bar = document.querySelector(".runbar");
        const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        const high = bar.offsetHeight;
        for (const by of [-21, 6]) {
          bar.style.height = `${high + by}px`;
          await drawn();
          await drawn();
        }
        }"""
    )
    expect(page.locator("#log-follow")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#log-pill")).to_be_visible()
