"""More lines than a page should hold: nothing is lost, everything can be reached, the page stays small."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, Api, Open
from tests.browser.test_here import HELD, queued
from tests.browser.test_story import assert_whole, shown, shown_numbers

expect.set_options(timeout=PATIENCE)
LINES = 12_000
MOST_ROWS = 5_500


def open_flood(open_page: Open, api: Api) -> tuple[Page, int]:
    run = api.start("flood")
    page = open_page(f"/runs/{run}")
    expect(page.locator(f"#L{LINES}")).to_be_attached()
    return page, run


def test_a_flood_ends_in_a_page_of_bounded_size_without_a_gap(open_page: Open, api: Api) -> None:
    page, _ = open_flood(open_page, api)
    assert len(shown(page)) <= MOST_ROWS
    assert page.locator(".log-gap").count() == 0
    assert_whole(page)
    expect(page.locator("#log-rows .ln").last).to_be_in_viewport()


def test_older_lines_are_loaded_on_top_while_what_is_read_stays_in_place(open_page: Open, api: Api) -> None:
    page, _ = open_flood(open_page, api)
    page.hover("#log-scroll")
    page.keyboard.press("Home")
    expect(page.locator("#L1")).to_be_in_viewport()
    page.fill("#log-go-to", "6000")
    page.press("#log-go-to", "Enter")
    expect(page.locator("#L6000")).to_be_in_viewport()
    first = shown_numbers(page)[0]
    page.locator(f"#L{first + 20}").evaluate("(row) => row.scrollIntoView()")
    before = page.locator(f"#L{first}").bounding_box()
    page.mouse.wheel(0, -100)
    expect(page.locator(f"#L{first - 500}")).to_be_attached()
    after = page.locator(f"#L{first}").bounding_box()
    assert before is not None
    assert after is not None
    assert abs(after["y"] - before["y"]) < 160, "the wheel alone moves it, by 100"
    assert_whole(page)


def test_a_link_to_an_old_line_opens_the_lines_around_it_and_leads_back_to_the_end(open_page: Open, api: Api) -> None:
    _, run = open_flood(open_page, api)
    page = open_page(f"/runs/{run}#L1234")
    expect(page.locator("#L1234")).to_be_in_viewport()
    expect(page.locator("#L1234")).to_have_class(re.compile(r"\btarget\b"))
    assert_whole(page)

    page.click("#log-pill")
    page.wait_for_url(re.compile(rf"/runs/{run}$"))
    expect(page.locator("#log-rows .ln").last).to_be_in_viewport()
    expect(page.locator(f"#L{LINES}")).to_be_attached()


def test_every_line_can_be_reached_without_javascript(open_page: Open, api: Api) -> None:
    _, run = open_flood(open_page, api)
    page = open_page(f"/runs/{run}", java_script_enabled=False)
    numbers = page.locator("#log-rows .no")
    newest = int(numbers.last.inner_text())
    oldest = int(numbers.first.inner_text())
    assert newest >= LINES
    page.click("text=Load older lines")
    assert int(numbers.first.inner_text()) < oldest
    assert int(numbers.last.inner_text()) >= oldest - 1
    page.click("text=Load newer lines")
    assert int(numbers.last.inner_text()) >= oldest


def test_what_a_burst_brought_too_fast_to_show_is_told_and_one_press_away(open_page: Open, api: Api) -> None:
    _, page = queued(api, open_page, "flood", HELD)
    expect(page.locator('[data-tally="stored"]')).to_contain_text(re.compile("12\u202f\\d{3} lines"))
    page.evaluate("goOn()")
    told = page.locator("#log-passed")
    expect(told).to_have_text(re.compile("^\\d+\u202f\\d{3} lines passed over – read them$"))
    many = int((told.inner_text()).split(" lines")[0].replace("\u202f", ""))
    first = shown_numbers(page)[0]
    told.click()
    expect(page.locator(f"#L{first - many}.target")).to_be_in_viewport()
    expect(told).to_be_hidden()
    assert_whole(page)


def test_a_new_line_has_no_other_styled_anew(open_page: Open, api: Api) -> None:
    """A selector that looks into the run from above it, as `.log:has(…)` does, has each picture style thousands."""
    page = open_page(f"/runs/{api.start('mixed')}")
    expect(page.locator("#L3002")).to_be_attached()
    page.reload()  # with as many rows as a page begins with, however it kept up before
    expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
    browser = page.context.browser
    assert browser is not None
    browser.start_tracing(page=page, categories=["disabled-by-default-devtools.timeline", "devtools.timeline"])
    last = shown_numbers(page)[-1]
    expect(page.locator(f"#L{last + 10}")).to_be_attached()
    events = json.loads(browser.stop_tracing())["traceEvents"]
    counts = [event["args"]["elementCount"] for event in events if event["name"] == "UpdateLayoutTree"]
    rows = page.locator("#log-rows .ln").count()
    assert rows > 200
    assert sum(count > 2 * rows for count in counts) < 5, "ten lines came, and a row is three elements"
