"""However many pages a browser has open, they share one stream, and a STOP never waits behind them."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import PATIENCE, Api, Open
from tests.browser.served import Server
from tests.browser.test_story import assert_whole, shown_numbers

expect.set_options(timeout=PATIENCE)
NO_LOCKS = "Object.defineProperty(navigator, 'locks', {value: undefined})"
WAYS = {"worker": NO_LOCKS, "leader": "delete window.SharedWorker"}
ALONE = f"delete window.SharedWorker; {NO_LOCKS}"


def streams(api: Api) -> int:
    found: int = api.client.get("/health").json()["streams"]
    return found


def expect_streams(api: Api, count: int) -> None:
    """Sooner or later: a stream whose page was closed is noticed a moment after, also those of the test before."""
    deadline = time.monotonic() + PATIENCE / 1000
    while streams(api) != count:
        assert time.monotonic() < deadline, f"{streams(api)} streams, not {count}"
        time.sleep(0.05)


def another(context: BrowserContext, path: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(path)
    return page


def expect_to_follow(page: Page) -> None:
    """More lines come, and none of them is missing or comes twice."""
    before = shown_numbers(page)[-1]
    expect(page.locator(f"#L{before + 10}")).to_be_attached()
    assert page.locator(".log-gap").count() == 0
    assert_whole(page)


@pytest.mark.parametrize("way", WAYS)
def test_eight_pages_are_one_stream_and_the_last_of_them_can_stop(
    open_page: Open, server: Server, api: Api, way: str
) -> None:
    one, other = api.start("chatter"), api.start("chatter")
    expect_streams(api, 0)
    first = open_page("/health")
    context = first.context
    context.add_init_script(WAYS[way])
    first.reload()
    wall = another(context, "/")
    pages = [another(context, f"/runs/{run}") for run in (one, other, one, one, other, one)]
    for page in (first, wall, *pages):
        expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
    for page in pages:
        expect(page.locator("#L20")).to_be_attached()
        expect_to_follow(page)
    expect_streams(api, 1)

    pages[-1].click(".stop-large")
    for page in (pages[0], pages[2], pages[3], pages[5]):
        expect(page.locator(".receipt .marks li.done")).to_have_count(3)
        expect(page.locator(".runbar .mark")).to_have_text("Stopped")
    expect(wall.locator(f"#run-{one} .mark")).to_have_text("Stopped")
    expect_to_follow(pages[1])

    # The page that may hold the stream for the others goes away: they go on.
    first.close()
    pages[0].close()
    expect_to_follow(pages[1])
    expect_to_follow(pages[4])
    expect_streams(api, 1)


def test_a_page_that_can_share_nothing_has_a_stream_of_its_own(open_page: Open, api: Api) -> None:
    run = api.start("chatter")
    expect_streams(api, 0)
    first = open_page("/health")
    first.context.add_init_script(ALONE)
    first.reload()
    second = another(first.context, f"/runs/{run}")
    expect(first.locator("#fresh")).to_have_attribute("data-state", "live")
    expect(second.locator("#L20")).to_be_attached()
    expect_to_follow(second)
    expect_streams(api, 2)


def test_a_worker_that_cannot_start_is_done_without(open_page: Open, api: Api) -> None:
    run = api.start("chatter")
    page = open_page("/health")
    page.add_init_script("window.SharedWorker = class { constructor() { throw new Error('no') } }")
    page.goto(f"/runs/{run}")
    expect(page.locator("#L20")).to_be_attached()
    expect_to_follow(page)


def test_a_page_in_the_background_still_tells_of_an_alert(open_page: Open, api: Api) -> None:
    hidden = open_page("/health")
    expect(hidden.locator("#fresh")).to_have_attribute("data-state", "live")
    another(hidden.context, "/account").bring_to_front()
    was = hidden.evaluate("Number(document.getElementById('strip').dataset.alerts)")
    hidden.evaluate("Object.defineProperty(document, 'hidden', {value: true})")
    api.start("chatter")
    expect(hidden).to_have_title(re.compile(rf"^\({was + 1}\) "))
