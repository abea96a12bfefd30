"""The server goes and comes back, the network goes and comes back: the page says so, and then goes on without a gap."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, Response, Route, expect

from tests.browser.conftest import PATIENCE, Api, Open, sign_in_by_link
from tests.browser.served import Server, end_server, start_again, start_server
from tests.browser.test_one_stream import ALONE
from tests.browser.test_story import assert_whole, shown_numbers

expect.set_options(timeout=PATIENCE)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[list[Server]]:
    """A server that a test may kill; put its successor at the end."""
    servers = [start_server(tmp_path)]
    yield servers
    last = servers[-1]
    if last.process.poll() is None:
        headers = {"Authorization": f"Bearer {last.token}"}
        httpx.post(f"{last.url}/api/v1/stop-all", json={"wait": True}, headers=headers, timeout=30)
    end_server(last)


def own_page(browser: Browser, server: Server) -> Page:
    page = browser.new_context(base_url=server.url).new_page()
    page.set_default_timeout(PATIENCE)
    sign_in_by_link(page, server.link)
    return page


def test_a_killed_server_comes_back_and_the_page_goes_on_with_the_same_run(browser: Browser, own: list[Server]) -> None:
    page = own_page(browser, own[0])
    headers = {"Authorization": f"Bearer {own[0].token}"}
    with httpx.Client(base_url=f"{own[0].url}/api/v1", headers=headers, timeout=30) as client:
        run = Api(client).start("chatter")
    page.goto(f"/runs/{run}")
    expect(page.locator("#L20")).to_be_attached()
    page.evaluate("window.here = 1")

    own[0].process.kill()
    own[0].process.wait(10)
    expect(page.locator("#fresh")).to_have_attribute("data-state", re.compile("waiting|connecting"))
    own.append(start_again(own[0]))
    expect(page.locator("#fresh")).to_have_attribute("data-state", "live")

    before = shown_numbers(page)[-1]
    expect(page.locator(f"#L{before + 40}")).to_be_attached()
    assert page.evaluate("window.here") == 1
    assert_whole(page)
    expect(page.locator(".runbar .mark")).to_contain_text("Running")
    page.context.close()


def test_a_page_without_a_server_grows_pale_and_keeps_what_it_knew(browser: Browser, own: list[Server]) -> None:
    page = own_page(browser, own[0])
    expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
    own[0].process.kill()
    own[0].process.wait(10)
    expect(page.locator("html")).to_have_attribute("data-age", "old")
    expect(page.locator("#fresh-text")).to_contain_text(re.compile(r"\d+ s old"))
    expect(page.locator("#stop-all > summary")).to_be_visible()
    page.context.close()


def follow_from(page: Page, other: Callable[[int], int]) -> None:
    """The page's next streams begin after another line than the one it asks for."""

    def change(route: Route) -> None:
        asked = re.search(r"after=(\d+)\.(\d+)\.(\d+)", route.request.url)
        assert asked is not None
        cursor = f"{asked[1]}.{other(int(asked[2]))}.{asked[3]}"
        url = route.request.url.replace(asked[0], f"after={cursor}")
        route.continue_(url=url)

    # What a SharedWorker asks for cannot be changed from here: without one, the page itself asks.
    page.add_init_script("delete window.SharedWorker")
    page.route(re.compile(r"/stream\?"), change)


def test_rows_that_come_twice_are_shown_once(open_page: Open, api: Api) -> None:
    page = open_page(f"/runs/{api.start('chatter')}")
    expect(page.locator("#L30")).to_be_attached()
    follow_from(page, lambda line: line - 25)
    page.reload()
    before = shown_numbers(page)[-1]
    expect(page.locator(f"#L{before + 20}")).to_be_attached()
    assert_whole(page)


def test_rows_that_never_came_are_shown_as_a_gap(open_page: Open, api: Api) -> None:
    page = open_page(f"/runs/{api.start('chatter')}")
    expect(page.locator("#L10")).to_be_attached()
    follow_from(page, lambda line: line + 25)
    page.reload()
    expect(page.locator(".log-gap")).to_contain_text(re.compile(r"Lines \d+ to \d+ did not arrive"))


STREAM = re.compile(r"/stream\?")
#: A page whose streams can fall silent (`deaf`) or be cut (`cut()`), as a network does it.
DEAF = """
  const real = window.fetch;
  Object.assign(window, { deaf: false, opened: 0 });
  window.fetch = async (input, options) => {
    const answer = await real(input, options);
    if (!String(input).includes("/stream?") || !answer.ok) return answer;
    window.opened += 1;
    const passing = new TransformStream({
      start: (to) => { window.cut = () => to.error(new TypeError("cut")); },
      transform: (chunk, to) => { if (!window.deaf) to.enqueue(chunk); },
    });
    return new Response(answer.body.pipeThrough(passing), { status: answer.status, headers: answer.headers });
  };
"""


def test_a_page_that_no_stream_reaches_says_so_and_asks_again_until_one_does(open_page: Open, api: Api) -> None:
    run = api.start("chatter")
    page = open_page("/health", statuses=(503,))
    page.add_init_script(ALONE)
    page.route(STREAM, lambda route: route.fulfill(status=503, body="not through this proxy"))
    page.goto(f"/runs/{run}")
    expect(page.locator("#fresh")).to_have_attribute("data-state", "polling")
    expect(page.locator('[data-banner="polling"]')).to_contain_text("asks for news each 5 s")
    expect(page.locator("#L10")).to_be_attached()
    before = shown_numbers(page)[-1]
    expect(page.locator(f"#L{before + 10}")).to_be_attached()
    page.click(".stop-large")
    expect(page.locator(".runbar .mark")).to_have_text("Stopped")
    assert_whole(page)
    page.unroute(STREAM)
    expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
    expect(page.locator('[data-banner="polling"]')).to_have_count(0)


def test_a_wall_that_no_stream_reaches_asks_again_too(open_page: Open, api: Api) -> None:
    page = open_page("/health", statuses=(503,))
    page.add_init_script(ALONE)
    page.route(STREAM, lambda route: route.fulfill(status=503, body="not through this proxy"))
    page.goto("/")
    expect(page.locator("#fresh")).to_have_attribute("data-state", "polling")
    run = api.start("chatter")
    expect(page.locator(f"#run-{run} .mark")).to_contain_text("Running")


def test_a_stream_that_falls_silent_is_opened_anew_though_the_connection_lives(open_page: Open, api: Api) -> None:
    page = open_page("/health")
    page.add_init_script(ALONE)
    page.add_init_script(DEAF)
    page.goto(f"/runs/{api.start('chatter')}")
    expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
    expect(page.locator("#L10")).to_be_attached()
    page.evaluate("window.deaf = true")
    expect(page.locator("#fresh")).to_have_attribute("data-state", "stale")
    expect(page.locator("#fresh")).to_have_attribute("data-state", re.compile("waiting|connecting"))
    page.evaluate("window.deaf = false")
    expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
    assert page.evaluate("window.opened") >= 2
    before = shown_numbers(page)[-1]
    expect(page.locator(f"#L{before + 10}")).to_be_attached()
    assert_whole(page)


def test_a_page_whose_session_ended_says_so_once_and_asks_no_more(open_page: Open) -> None:
    page = open_page("/health", statuses=(401,))
    page.clock.install()
    page.add_init_script(ALONE)
    page.add_init_script(DEAF)
    page.goto("/")
    expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
    page.context.clear_cookies()
    page.evaluate("window.cut()")
    expect(page.locator("#fresh")).to_have_attribute("data-state", "signed-out")
    expect(page.locator('[data-banner="session"]')).to_have_count(1)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(60_000)
    assert asked == []
    expect(page.locator("#fresh")).to_have_attribute("data-state", "signed-out")


def test_pages_come_back_to_a_restarted_server_once_each_without_gap_or_double(
    browser: Browser, own: list[Server]
) -> None:
    first = own_page(browser, own[0])
    headers = {"Authorization": f"Bearer {own[0].token}"}
    with httpx.Client(base_url=f"{own[0].url}/api/v1", headers=headers, timeout=30) as client:
        run = Api(client).start("chatter")
    first.context.add_init_script(ALONE)
    pages = [first, *(first.context.new_page() for _ in range(3))]
    answered = [0] * len(pages)
    for place, page in enumerate(pages):
        page.set_default_timeout(PATIENCE)
        page.goto(f"/runs/{run}")
        expect(page.locator("#L10")).to_be_attached()
        expect(page.locator("#fresh")).to_have_attribute("data-state", "live")

        def count(answer: Response, place: int = place) -> None:
            answered[place] += bool(STREAM.search(answer.url))

        page.on("response", count)
    own[0].process.kill()
    own[0].process.wait(10)
    for page in pages:
        expect(page.locator("#fresh")).to_have_attribute("data-state", re.compile("waiting|connecting"))
    own.append(start_again(own[0]))
    for page in pages:
        expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
        before = shown_numbers(page)[-1]
        expect(page.locator(f"#L{before + 10}")).to_be_attached()
        assert page.locator(".log-gap").count() == 0
        assert_whole(page)
    assert answered == [1] * len(pages)
    first.context.close()


def test_a_page_that_saw_a_restart_stops_through_the_new_servers_warden(browser: Browser, tmp_path: Path) -> None:
    first = start_server(tmp_path, CRUCIBLE_GRACE_SECONDS="120")
    page = own_page(browser, first)
    headers = {"Authorization": f"Bearer {first.token}"}
    with httpx.Client(base_url=f"{first.url}/api/v1", headers=headers, timeout=30) as client:
        run = Api(client).start("chatter")
    page.goto(f"/runs/{run}")
    expect(page.locator("#L20")).to_be_attached()
    door = page.locator("body").get_attribute("data-stop-door")
    page.evaluate("window.here = 1")

    first.process.kill()
    first.process.wait(10)
    expect(page.locator("#fresh")).to_have_attribute("data-state", re.compile("waiting|connecting"))
    second = start_again(first)
    try:
        expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
        expect(page.locator("#stop-path")).to_contain_text("stop path OK")
        port = (door or "").rsplit(":", 1)[1]
        expect(page.locator("#strip")).to_have_attribute("data-stop-port", port)
        expect(page.locator('[data-banner="door"]')).to_have_count(0)
        before = shown_numbers(page)[-1]
        expect(page.locator(f"#L{before + 10}")).to_be_attached()
        second.process.send_signal(signal.SIGSTOP)
        page.click(".stop-large")
        expect(page.locator("#alarm")).to_contain_text(
            f"The warden, asked by its own port, ended 1 sandbox and proved that nothing is left of run {run}."
        )
        assert second.containers() == [], "dead, while the server stands still"
        assert page.evaluate("window.here") == 1
    finally:
        second.process.send_signal(signal.SIGCONT)
        page.context.close()
        end_server(second)


def test_what_the_warden_ended_without_a_server_is_dead_on_the_page_and_in_the_record_of_the_next(
    browser: Browser, tmp_path: Path
) -> None:
    first = start_server(tmp_path, CRUCIBLE_GRACE_SECONDS="120")
    page = own_page(browser, first)
    headers = {"Authorization": f"Bearer {first.token}"}
    with httpx.Client(base_url=f"{first.url}/api/v1", headers=headers, timeout=30) as client:
        other, run = Api(client).start("chatter"), Api(client).start("chatter")
    for each in (other, run):
        page.goto(f"/runs/{each}")
        expect(page.locator("#L20")).to_be_attached()
    first.process.kill()
    first.process.wait(10)
    page.click(".stop-large")
    alarm = page.locator("#alarm")
    proof = f"ended 1 sandbox and proved that nothing is left of run {run}."
    expect(alarm).to_contain_text(proof)
    expect(page.locator("#stop-path")).not_to_contain_text("stop path OK")
    expect(page.locator(".runbar .mark")).to_have_text("Dead, not recorded yet")
    stood = page.locator(".runbar [data-clock]").inner_text()
    expect(alarm).to_contain_text("(attempt 4)")
    expect(alarm).to_contain_text(proof)
    assert page.locator(".runbar [data-clock]").inner_text() == stood
    assert len(first.containers()) == 1, f"run {other} goes on"

    restarted = time.time()
    second = start_again(first)
    try:
        expect(alarm).to_be_empty()
        expect(page.locator(".runbar .mark")).to_have_text("Stopped")
        headers = {"Authorization": f"Bearer {second.token}"}
        with httpx.Client(base_url=f"{second.url}/api/v1", headers=headers, timeout=30) as client:
            found = client.get(f"/runs/{run}").json()
        assert found["outcome"] == "stopped"
        assert found["ended_at"] < restarted
    finally:
        page.context.close()
        end_server(second)


def test_a_page_whose_second_way_to_stop_is_another_now_offers_to_load_again(browser: Browser, tmp_path: Path) -> None:
    first = start_server(tmp_path)
    page = own_page(browser, first)
    expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
    first.process.kill()
    first.process.wait(10)
    (tmp_path / "data" / "stop.door").unlink()
    second = start_again(first)
    try:
        banner = page.locator('[data-banner="door"]')
        expect(banner).to_contain_text("has lost its second way")
        banner.locator("a").click()
        expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
        expect(page.locator("#strip")).to_have_attribute("data-stop-port", re.compile(r"\d"))
        expect(banner).to_have_count(0)
    finally:
        page.context.close()
        end_server(second)
