"""A link to a line: in view and marked, or said to be missing and waited for."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, Api, Open

expect.set_options(timeout=PATIENCE)


@pytest.fixture
def ended(open_page: Open, api: Api) -> tuple[int, int]:
    """A run of more lines than are in view, and how many they are."""
    run = api.start("chatter")
    page = open_page(f"/runs/{run}")
    expect(page.locator("#L80")).to_be_attached()
    api.client.post(f"/runs/{run}/stop", json={"wait": True})
    expect(page.locator(".runbar .mark")).to_have_text("Stopped")
    lines = int(str(api.run(run)["lines"]))
    page.context.close()
    return run, lines


def said(page: Page) -> str:
    return page.locator("#log-absent").inner_text()


def test_a_line_that_the_address_asks_for_is_marked_and_in_view(open_page: Open, ended: tuple[int, int]) -> None:
    run, _ = ended
    page = open_page(f"/runs/{run}?line=10")
    expect(page.locator("#L10")).to_have_class(re.compile(r"\btarget\b"))
    expect(page.locator("#L10")).to_be_in_viewport()
    expect(page.locator("#log-marked-text")).to_have_text("Line 10")
    expect(page.locator("#log-absent")).to_be_hidden()


@pytest.mark.parametrize("way", ["field", "address"])
def test_a_line_near_the_end_stays_marked(open_page: Open, ended: tuple[int, int], way: str) -> None:
    """The pill goes, and its room with it: the browser moves the rows, which is no hand that scrolls to the end."""
    run, lines = ended
    page = open_page(f"/runs/{run}")
    page.evaluate("location.hash = '#L2'")
    expect(page.locator("#L2.target")).to_be_in_viewport()
    expect(page.locator("#log-pill")).to_be_visible()
    if way == "field":
        page.fill("#log-go-to", str(lines - 1))
        page.press("#log-go-to", "Enter")
    else:
        page.evaluate("(line) => { location.hash = `#L${line}` }", lines - 1)
    expect(page.locator(f"#L{lines - 1}.target")).to_be_in_viewport()
    for _ in range(3):
        page.evaluate("new Promise((drawn) => requestAnimationFrame(drawn))")
    assert page.locator("#log-follow").get_attribute("aria-pressed") == "false"
    expect(page.locator(f"#L{lines - 1}.target")).to_be_in_viewport()


@pytest.mark.parametrize("place", ["#L9999", "?line=9999"])
def test_a_line_that_never_was_is_said_to_be_missing(open_page: Open, ended: tuple[int, int], place: str) -> None:
    run, lines = ended
    page = open_page(f"/runs/{run}{place}")
    expect(page.locator("#log-absent")).to_have_text(f"There is no line 9\u202f999; the newest is {lines}.")
    expect(page.locator("#log-rows .ln").last).to_be_in_viewport()
    expect(page.locator("#log-marked")).to_be_hidden()
    page.evaluate("location.hash = '#L7'")
    expect(page.locator("#L7.target")).to_be_in_viewport()
    expect(page.locator("#log-absent")).to_be_hidden()
    page.fill("#log-go-to", "4321")
    page.press("#log-go-to", "Enter")
    expect(page.locator("#log-absent")).to_have_text(f"There is no line 4\u202f321; the newest is {lines}.")
    page.locator("#log-follow").click()
    page.keyboard.press("f")
    expect(page.locator("#log-absent")).to_be_hidden()


def test_without_javascript_a_missing_line_is_said_too(open_page: Open, ended: tuple[int, int]) -> None:
    run, lines = ended
    page = open_page(f"/runs/{run}?line=9999", java_script_enabled=False)
    expect(page.locator("#log-absent")).to_have_text(f"There is no line 9\u202f999; the newest is {lines}.")


def test_a_line_that_is_not_there_yet_is_opened_when_it_comes(open_page: Open, api: Api) -> None:
    run = api.start("chatter")
    page = open_page(f"/runs/{run}")
    expect(page.locator("#L10")).to_be_attached()
    page.goto("/health")
    page.goto(f"/runs/{run}#L150")
    absent = page.locator("#log-absent")
    expect(absent).to_have_text(
        re.compile(r"^There is no line 150; the newest is \d+\. It is opened here when it comes\.$")
    )
    expect(page.locator("#log-follow")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#L150.target")).to_be_in_viewport()
    expect(absent).to_be_hidden()
    expect(page.locator("#log-follow")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#log-pill")).to_contain_text("new")
    expect(page.locator("#L150.target")).to_be_in_viewport()


def test_a_live_run_that_ends_before_the_line_promises_it_no_more(open_page: Open, api: Api) -> None:
    run = api.start("chatter")
    page = open_page(f"/runs/{run}")
    expect(page.locator("#L10")).to_be_attached()
    page.evaluate("location.hash = '#L9000'")
    expect(page.locator("#log-absent")).to_contain_text("It is opened here when it comes.")
    page.click(".stop-large")
    expect(page.locator("#log-absent")).to_have_text(re.compile(r"^There is no line 9\u202f000; the newest is \d+\.$"))
