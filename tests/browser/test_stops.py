"""Every way to stop from a page."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import PATIENCE, Api, Open, sign_in_by_link
from tests.browser.served import Server, end_server, start_server
from tests.browser.test_one_stream import ALONE

expect.set_options(timeout=PATIENCE)


@pytest.fixture
def released(api: Api) -> Iterator[None]:
    """Whatever happens, the queue is not left held for the next test."""
    yield
    api.client.post("/release", json={"text": "the test is over"})


def assert_proven_dead(page: Page, server: Server) -> None:
    expect(page.locator(".receipt .marks li.done")).to_have_count(3)
    assert server.containers() == []


def test_a_run_is_stopped_without_javascript(open_page: Open, server: Server, api: Api) -> None:
    run = api.start("chatter")
    page = open_page(f"/runs/{run}", java_script_enabled=False)
    while page.locator("#L5").count() == 0:  # a page without scripts shows more when it is loaded again
        page.reload()
    expect(page.locator("noscript").first).to_be_attached()

    page.click(".stop-large")
    assert page.url.startswith(f"{server.url}/runs/{run}")
    while page.locator(".stop-large").count() > 0:
        page.reload()
    assert_proven_dead(page, server)

    page.click("button:has-text('Drill')")
    expect(page.locator(".receipt")).to_contain_text("Reason: Drill")


#: Whether a STOP looks as it does on a page that is up to date: nothing it lies in is paler.
UNFADED = """button => {
  for (let each = button; each; each = each.parentElement) {
    const { opacity, filter } = getComputedStyle(each);
    if (opacity !== "1" || filter !== "none") return each.outerHTML.slice(0, 80);
  }
  return "";
}"""


@pytest.mark.parametrize("path", ["/", "/runs/{run}"])
def test_with_a_stream_that_says_nothing_the_page_fades_and_stop_neither_fades_nor_fails(
    open_page: Open, server: Server, api: Api, path: str
) -> None:
    run = api.start("chatter")
    page = open_page("/health")
    expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
    version = page.evaluate("document.body.dataset.version")
    page.add_init_script(ALONE)

    asked: list[Route] = []

    def dead(route: Route) -> None:
        """It greets once, and is silent to whoever asks again."""
        asked.append(route)
        if len(asked) == 1:
            hello = {"server": "1", "version": version, "now": time.time(), "stream": ""}
            body = f"event: hello\nretry: 1000\ndata: {json.dumps(hello)}\n\n"
            route.fulfill(content_type="text/event-stream", body=body)

    page.route("/stream*", dead)
    page.goto(path.format(run=run))
    expect(page.locator("html")).to_have_attribute("data-age", re.compile("old|stale"))
    stop = page.locator(f"main [data-stop='{run}']").first
    assert stop.evaluate(UNFADED) == ""
    mark = page.locator("main .mark").first
    assert mark.evaluate(UNFADED) != ""

    stop.click()
    expect(page.locator("#say")).to_contain_text(f"Stop of run {run} received")
    page.unroute("/stream*")
    page.goto(f"/runs/{run}")
    assert_proven_dead(page, server)


def test_the_keyboard_alone_finds_and_stops_a_run(open_page: Open, server: Server, api: Api) -> None:
    run = api.start("chatter")
    page = open_page("/")
    expect(page.locator(f"#run-{run} .mark")).to_contain_text("Running · agent")
    page.keyboard.press("j")
    expect(page.locator(f"#run-{run} .stretch")).to_be_focused()
    page.keyboard.press("Shift+K")
    expect(page.locator("#say")).to_contain_text(f"Press Enter to stop run {run}")
    page.keyboard.press("Escape")
    expect(page.locator("#say")).to_be_empty()
    assert api.run(run)["state"] == "running"

    page.keyboard.press("Enter")
    page.wait_for_url(f"**/runs/{run}")
    expect(page.locator("#L5")).to_be_attached()
    page.keyboard.press("Shift+K")
    page.keyboard.press("Enter")
    assert_proven_dead(page, server)


def test_the_keyboard_map_opens_and_leads_places(open_page: Open) -> None:
    page = open_page("/")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("e")
    page.wait_for_url("**/evaluations")


def test_stop_all_asks_in_place_stops_everything_and_holds_the_queue_until_released(
    open_page: Open, server: Server, api: Api, released: None
) -> None:
    first, second = api.start("chatter"), api.start("chatter")
    page = open_page("/")
    for run in (first, second):
        expect(page.locator(f"#run-{run} .mark")).to_contain_text("Running · agent")

    page.click("#stop-all > summary")
    confirm = page.locator("#stop-all .stop-now")
    expect(confirm).to_have_text("Confirm: stop 2 runs")
    confirm.click()
    for run in (first, second):
        expect(page.locator(f"#run-{run} .mark")).to_have_text("Emergency stopped")
    assert server.containers() == []
    hold = page.locator(".banner-hold")
    expect(hold).to_contain_text("The queue is held")
    expect(hold).to_contain_text(re.compile(r"STOP ALL: 2 dead, all verified after [\d.]+ s\."))

    waiting = api.start("chatter")
    expect(page.locator(f"#queued-{waiting}")).to_be_visible()
    hold.locator("input").fill("it was a drill")
    hold.locator("button").click()
    expect(hold).to_be_hidden()
    expect(page.locator(f"#run-{waiting} .mark")).to_contain_text("Running · agent")


def test_holding_stop_all_is_enough_and_a_short_press_is_not(open_page: Open, api: Api, released: None) -> None:
    run = api.start("chatter")
    page = open_page("/")
    expect(page.locator(f"#run-{run} .mark")).to_contain_text("Running · agent")

    page.click("#stop-all > summary")
    expect(page.locator("#stop-all .confirm")).to_be_visible()
    page.click(".counts span")
    expect(page.locator("#stop-all .confirm")).to_be_hidden()
    page.click("#stop-all > summary")
    page.keyboard.press("Escape")
    expect(page.locator("#stop-all .confirm")).to_be_hidden()
    assert api.run(run)["state"] == "running"

    page.hover("#stop-all > summary")
    page.mouse.down()
    expect(page.locator(".banner-hold")).to_be_visible()
    page.mouse.up()
    expect(page.locator(f"#run-{run} .mark")).to_have_text("Emergency stopped")


def test_stop_all_without_javascript_asks_first(open_page: Open, api: Api, released: None) -> None:
    run = api.start("chatter")
    page = open_page(f"/runs/{run}", java_script_enabled=False)
    page.click("#stop-all > summary")
    page.click("#stop-all .stop-now")
    while page.locator(".runbar .mark").inner_text() not in ("Emergency stopped", "Cancelled"):
        page.goto(f"/runs/{run}")
    expect(page.locator(".banner-hold")).to_be_visible()


def test_a_stop_that_gets_no_answer_is_repeated_and_says_so_loudly(open_page: Open, server: Server, api: Api) -> None:
    run = api.start("chatter")
    page = open_page(f"/runs/{run}")
    expect(page.locator("#L5")).to_be_attached()
    silent = re.compile(rf"/runs/{run}/stop$")
    page.route(silent, lambda route: None)  # taken and never answered, as by a server that hangs
    page.click(".stop-large")
    expect(page.locator(".stop-large")).to_have_text("STOPPING")
    alarm = page.locator("#alarm")
    expect(alarm).to_contain_text(re.compile(rf"Run {run} is dead, proven by the warden at \d\d:\d\d:\d\d"))
    expect(alarm).to_contain_text("python -m sandbox_runner kill-all")
    expect(alarm).to_contain_text(f"proved that nothing is left of run {run}.")
    expect(page.locator("#stop-path")).not_to_contain_text("stop path OK")
    page.unroute(silent)
    expect(alarm).to_be_empty()
    expect(page.locator(".receipt .marks li.done")).to_have_count(6)  # the warden's, and the press that came later
    assert server.containers() == []


def test_a_server_that_stands_still_is_stopped_around_by_the_second_path(tmp_path: Path, browser: Browser) -> None:
    server = start_server(tmp_path / "server", CRUCIBLE_GRACE_SECONDS="120")
    context = browser.new_context(base_url=server.url)
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        sign_in_by_link(page, server.link)
        headers = {"Authorization": f"Bearer {server.token}"}
        with httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=30) as client:
            run = client.post("/evaluations", json={"suite": "chatter"}).json()["runs"][0]["id"]
            page.goto(f"/runs/{run}")
            expect(
                page.locator("#L40")
            ).to_be_attached()  # The warden has seen by now that its setup's sandbox is gone.
            expect(page.locator("body")).to_have_attribute("data-stop-door", re.compile("http://"))
            server.process.send_signal(signal.SIGSTOP)

            page.click(".stop-large")

            alarm = page.locator("#alarm")
            dead = re.compile(rf"Run {run} is dead, proven by the warden at \d\d:\d\d:\d\d; the server has not")
            proof = f"The warden, asked by its own port, ended 1 sandbox and proved that nothing is left of run {run}."
            expect(alarm).to_contain_text(dead)
            expect(alarm).to_contain_text(proof)
            expect(alarm).not_to_contain_text("STOP NOT CONFIRMED")
            expect(page.locator("#stop-path")).not_to_contain_text("stop path OK")
            expect(page.locator(".runbar .mark")).to_have_text("Dead, not recorded yet")
            stood = page.locator(".runbar [data-clock]").inner_text()
            expect(alarm).to_contain_text("(attempt 2)")  # By then the warden finds nothing more to end.
            expect(alarm).to_contain_text(proof)
            expect(alarm).to_contain_text(dead)
            assert page.locator(".runbar [data-clock]").inner_text() == stood
            assert server.containers() == [], "dead, while the server still stands still"

            server.process.send_signal(signal.SIGCONT)
            expect(alarm).to_be_empty()
            expect(page.locator("#stop-path")).to_contain_text("stop path OK")
            expect(page.locator(".runbar .mark")).to_have_text("Stopped")
            expect(page.locator(".receipt .marks li.done").first).to_be_attached()
            found = client.get(f"/runs/{run}").json()
            assert found["outcome"] == "stopped"
            assert "page" in [receipt["path"] for receipt in found["receipts"]]
    finally:
        server.process.send_signal(signal.SIGCONT)
        context.close()
        end_server(server)


def test_who_moves_on_the_page_of_an_attended_run_is_there_and_without_scripts_a_press_is(
    open_page: Open, api: Api
) -> None:
    run = api.start("chatter", limits={"unattended_seconds": 300})
    page = open_page(f"/runs/{run}")
    notice = page.locator(".attended")
    expect(notice).to_contain_text(re.compile(r"warned in\s+[34] m \d\d s"))
    due = float(notice.locator("[data-due]").get_attribute("data-due") or 0)
    with page.expect_response(re.compile(rf"/runs/{run}/attend$")) as told:
        page.mouse.move(300, 300)
    assert told.value.status == 200
    expect(notice.locator("[data-due]")).not_to_have_attribute("data-due", str(due))
    assert float(notice.locator("[data-due]").get_attribute("data-due") or 0) > due

    plain = open_page(f"/runs/{run}", java_script_enabled=False)
    plain.click("text=I am here")
    expect(plain.locator(".notice")).to_contain_text("You are there")


def test_a_drill_is_started_and_stopped_and_its_times_are_on_health(open_page: Open, server: Server) -> None:
    page = open_page("/health")
    page.click(".drills-head button")
    expect(page.locator(".notice")).to_contain_text("This is a drill")
    expect(page.locator("#L2")).to_be_attached()
    page.click(".stop-large")
    assert_proven_dead(page, server)
    page.goto("/health")
    row = page.locator("section[aria-labelledby=drills] tbody tr").first
    expect(row).to_contain_text("stopped by admin through web")
    expect(page.locator("section[aria-labelledby=drills]")).to_contain_text("less than a day ago")
