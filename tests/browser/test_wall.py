"""The wall in a browser: filters that act at once, who watches, honest age, and calls from a page out of sight."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import PASSWORD, PATIENCE, Api, Open, sign_in_by_link
from tests.browser.served import Server, end_server, start_server

expect.set_options(timeout=PATIENCE)


def test_a_filter_acts_at_once_and_is_in_the_address(open_page: Open, api: Api) -> None:
    run = api.start("chatter")
    page = open_page("/")
    card = page.locator(f"#run-{run}")
    expect(card.locator(".mark")).to_contain_text("Running · agent")
    page.fill("#wall-q", "nothing is called like this")
    expect(page).to_have_url(re.compile(r"\?q=nothing"))
    expect(card).to_have_count(0)
    expect(page.locator("#wall-none")).to_be_visible()
    page.locator("#wall-none a").click()
    expect(card).to_be_visible()
    expect(page).to_have_url(re.compile(r"/$"))

    # What no longer fits leaves, what fits comes, without a reload.
    page.locator("#wall-tools a", has_text="Running").click()
    expect(page).to_have_url(re.compile(r"state=running"))
    expect(card).to_be_visible()
    page.evaluate("window.here = 1")
    other = open_page("/?state=frozen")
    expect(other.locator("#wall-none")).to_be_visible()
    assert api.client.post(f"/runs/{run}/freeze").is_success
    expect(other.locator(f"#run-{run}")).to_be_visible()
    expect(card).to_have_count(0)
    assert page.evaluate("window.here") == 1


def test_filters_and_stop_work_without_javascript(open_page: Open, api: Api) -> None:
    run = api.start("chatter")
    page = open_page("/", java_script_enabled=False)
    page.fill("#wall-q", f"#{run}")
    page.locator("#wall-form noscript button, #wall-form button").first.click()
    expect(page.locator(".wall .card")).to_have_count(1)
    page.locator(f"#run-{run} .stop").click()
    expect(page.locator(".notice").first).to_contain_text("Stop received")
    assert api.client.post(f"/runs/{run}/stop", json={"wait": True}).json()["receipt"]["changed"] is False


def test_metadata_only_is_remembered_and_leaves_out_what_agents_write(open_page: Open, api: Api) -> None:
    run = api.start("chatter")
    page = open_page("/")
    expect(page.locator(f"#run-{run} .last")).to_contain_text(re.compile(r"\w"))
    page.click("#words")
    expect(page.locator("#words")).to_have_attribute("aria-pressed", "true")
    page.goto("/")
    expect(page.locator(f"#run-{run} .mark")).to_contain_text("Running")
    expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
    assert page.locator(".last").count() == 0
    page.click("#words")
    expect(page.locator(f"#run-{run} .last")).to_be_visible()


def test_the_keyboard_leads_from_card_to_card_and_opens_one(open_page: Open, api: Api) -> None:
    runs = [api.start("chatter"), api.start("chatter")]
    page = open_page("/?state=running")
    for run in runs:
        expect(page.locator(f"#run-{run}")).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator(".card .stretch").nth(0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".card .stretch").nth(1)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".card .stretch").nth(0)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/runs/\d+"))


def test_two_people_who_watch_a_run_see_each_other_until_one_looks_away(
    open_page: Open, server: Server, browser: Browser, api: Api
) -> None:
    run = api.start("chatter")
    mine = open_page(f"/runs/{run}")
    expect(mine.locator(".runbar .watching")).to_contain_text("1 watching: admin")
    context = browser.new_context(base_url=server.url)
    theirs = context.new_page()
    theirs.goto("/sign-in")
    theirs.fill("input[name=name]", "admin")
    theirs.fill("input[name=password]", PASSWORD)
    theirs.click("button.primary")
    theirs.wait_for_selector("#strip", state="attached")
    theirs.goto(f"/runs/{run}")
    expect(mine.locator(".runbar .watching")).to_contain_text("2 watching: admin ×2")
    wall = open_page("/")
    expect(wall.locator(f"#run-{run} .watching")).to_have_attribute("title", "Watching now: admin ×2")
    # A page in the background watches nothing.
    theirs.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    expect(mine.locator(".runbar .watching")).to_contain_text("1 watching: admin")
    context.close()


def test_all_that_was_printed_is_stored_and_here(open_page: Open, api: Api) -> None:
    run = api.start("chatter")
    page = open_page(f"/runs/{run}")
    expect(page.locator("#L20")).to_be_attached()
    expect(page.locator("[data-tally=printed]")).to_contain_text(re.compile(r"\d B"))
    page.click(".stop-large")
    expect(page.locator(".runbar .mark")).to_have_text("Stopped")
    expect(page.locator("[data-tally=here]")).to_contain_text("line ")
    expect(page.locator("#tally")).to_have_attribute("data-state", re.compile("even|lost"))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server that a test may hold still."""
    server = start_server(tmp_path)
    yield server
    os.kill(server.process.pid, signal.SIGCONT)
    end_server(server)


def own_page(browser: Browser, server: Server) -> Page:
    page = browser.new_context(base_url=server.url).new_page()
    page.set_default_timeout(PATIENCE)
    sign_in_by_link(page, server.link)
    return page


def test_a_server_that_stands_still_ages_the_page_step_by_step_and_it_recovers_by_itself(
    browser: Browser, own: Server
) -> None:
    page = own_page(browser, own)
    root, fresh = page.locator("html"), page.locator("#fresh-text")
    expect(fresh).to_have_text("live")
    os.kill(own.process.pid, signal.SIGSTOP)
    expect(fresh).to_contain_text(re.compile(r", [3-9] s old"))  # the age appears before colour has gone
    expect(root).to_have_attribute("data-fading", "")
    assert page.locator("html[data-age=old]").count() == 0
    expect(root).to_have_attribute("data-age", "old")
    fade = float(page.evaluate("document.documentElement.style.getPropertyValue('--fade')"))
    assert 0.2 < fade < 1
    assert "s old" in page.evaluate("document.documentElement.style.getPropertyValue('--age')")
    expect(root).to_have_attribute("data-age", "stale")
    expect(page).to_have_title(re.compile("^STALE · "))
    os.kill(own.process.pid, signal.SIGCONT)
    expect(fresh).to_have_text("live")
    expect(root).to_have_attribute("data-age", "")
    expect(page).not_to_have_title(re.compile("STALE"))
    page.context.close()


def test_a_grave_alert_calls_from_a_page_in_the_background(browser: Browser, own: Server) -> None:
    page = own_page(browser, own)
    page.context.grant_permissions(["notifications"])
    page.evaluate("""() => {
        window.notes = [];
        window.Notification = class extends EventTarget {
          static requestPermission = async () => 'granted';
          constructor(title, {body}) { super(); notes.push(`${title}: ${body}`); }
        };
    }""")
    expect(page.locator("#fresh")).to_have_attribute("data-state", "live")  # its script is at work
    page.click("#cue-note")
    expect(page.locator("#cue-note")).to_have_attribute("aria-pressed", "true")
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    headers = {"Authorization": f"Bearer {own.token}"}
    with httpx.Client(base_url=f"{own.url}/api/v1", headers=headers, timeout=30) as client:
        run = Api(client).start("chatter")
        expect(page).to_have_title(re.compile(r"^\(\d+\) "))
        expect(page.locator("#icon")).to_have_attribute("href", re.compile("icon-alert"))
        notes = page.evaluate(
            "new Promise((done) => { const look = () => notes.length ? done(notes) : setTimeout(look, 50); look(); })"
        )
        assert re.fullmatch(r"Crucible: a grave alert: \d+ open, the worst is (high|critical)\.", notes[0])
        client.post(f"/runs/{run}/stop", json={"wait": True})
    page.context.close()


def test_a_page_that_is_older_than_its_server_reloads_itself_only_out_of_sight(open_page: Open) -> None:
    page = open_page("/health")
    expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
    page.route("/stream*", lambda route: route.fulfill(
        content_type="text/event-stream",
        body='event: hello\nretry: 60000\ndata: {"server":"2","version":"99.0","now":1,"stream":""}\n\n',
    ))  # fmt: skip
    page.add_init_script("delete window.SharedWorker; Object.defineProperty(navigator, 'locks', {value: undefined})")
    page.goto("/account")
    page.evaluate("window.here = 1")
    expect(page.locator("[data-banner=version]")).to_contain_text("updated to version 99.0")
    assert page.evaluate("window.here") == 1
    with page.expect_navigation():
        page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
    assert page.evaluate("window.here") is None


def test_a_page_that_has_not_got_the_newest_lines_says_by_how_much_it_is_behind(open_page: Open, api: Api) -> None:
    run = api.start("chatter")
    page = open_page(f"/runs/{run}")
    expect(page.locator("#L20")).to_be_attached()
    page.add_init_script("delete window.SharedWorker; Object.defineProperty(navigator, 'locks', {value: undefined})")

    def late(route: Route) -> None:
        """The stream of a reader that has not got what is stored: only the account comes."""
        now = time.time()
        tally = {"run": run, "printed": 10_000, "stored": 9000, "lines": 10_000, "lost": 0, "newest": now + 60}
        hello = {"server": "1", "version": page.evaluate("document.body.dataset.version"), "now": now, "stream": ""}
        body = f"event: hello\nretry: 60000\ndata: {json.dumps(hello)}\n\nevent: tally\ndata: {json.dumps(tally)}\n\n"
        route.fulfill(content_type="text/event-stream", body=body)

    page.route("/stream*", late)
    page.reload()
    said = page.locator("[data-tally=sum]")
    expect(said).to_contain_text("1 000 B on their way to the store".replace(" ", "\u202f", 1))
    expect(said).to_contain_text(re.compile(r"lines on their way here, behind by \d+\.\d s"))
    expect(page.locator("#tally")).to_have_attribute("data-state", "apart")


def test_nothing_changes_place_under_the_hand(open_page: Open, api: Api) -> None:
    first = api.start("chatter")
    page = open_page("/?state=running&state=starting&sort=newest")
    page.locator(f"#run-{first} .stretch").hover()
    second = api.start("chatter")
    expect(page.locator(f"#run-{second}")).to_be_attached()
    order = [card.get_attribute("id") for card in page.locator(".wall .card").all()]
    assert order.index(f"run-{first}") < order.index(f"run-{second}"), "the new one waits behind while a hand is there"
    page.mouse.move(5, 5)
    expect(page.locator(".wall .card").first).to_have_attribute("id", f"run-{second}")
