"""Going anywhere in the output, and how it is shown."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, Api, Open
from tests.browser.test_story import shown_numbers

expect.set_options(timeout=PATIENCE)


@pytest.fixture
def mixed(open_page: Open, api: Api) -> Page:
    page = open_page(f"/runs/{api.start('mixed')}")
    expect(page.locator("#L3001")).to_be_attached()
    return page


def go_to(page: Page, text: str) -> None:
    page.fill("#log-go-to", text)
    page.press("#log-go-to", "Enter")


def test_any_line_start_end_and_time_can_be_gone_to(mixed: Page) -> None:
    go_to(mixed, "1500")
    expect(mixed.locator("#L1500.target")).to_be_in_viewport()
    go_to(mixed, "start")
    expect(mixed.locator("#L1")).to_be_in_viewport()
    go_to(mixed, "end")
    expect(mixed.locator("#log-follow")).to_have_attribute("aria-pressed", "true")
    expect(mixed.locator("#L3005")).to_be_attached()
    moment = mixed.locator("#L3005 .no").get_attribute("title") or ""
    go_to(mixed, "1")
    expect(mixed.locator("#L1.target")).to_be_in_viewport()
    go_to(mixed, moment[:-4])
    expect(mixed.locator(".ln.target")).not_to_have_id("L1")
    expect(mixed.locator(".ln.target")).to_be_in_viewport()
    found = int(mixed.locator(".ln.target").get_attribute("data-n") or 0)
    assert 3002 <= found <= 3005
    go_to(mixed, "yesterday")
    expect(mixed.locator("#say")).to_contain_text("neither a line nor a time")


def test_the_ribbon_shows_what_is_where_and_scrolls_anywhere(mixed: Page) -> None:
    expect(mixed.locator("#ribbon-levels .is-error").first).to_be_attached()
    place = mixed.locator("#ribbon-place")
    place.evaluate("(one) => { one.value = 700; one.dispatchEvent(new Event('input')) }")
    expect(mixed.locator("#L700")).to_be_in_viewport()
    expect(mixed.locator("#ribbon-said")).to_contain_text(re.compile(r"line 700 · \d\d:\d\d:\d\d"))
    mixed.hover("#log-scroll")
    follow = mixed.locator("#log-follow")
    for _ in range(1_000):
        if follow.get_attribute("aria-pressed") == "true":
            break
        # A turn at the lowest row, while more are loaded, leads nowhere: as many as it takes.
        mixed.mouse.wheel(0, 4000)
        mixed.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    expect(follow).to_have_attribute("aria-pressed", "true")
    numbers = shown_numbers(mixed)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_rows_that_could_not_be_loaded_come_by_themselves(open_page: Open, api: Api) -> None:
    page = open_page(f"/runs/{api.start('mixed')}", statuses=(503,))
    expect(page.locator("#L3001")).to_be_attached()
    page.reload()  # with its last lines only
    go_to(page, "1500")
    expect(page.locator("#L1500")).to_be_in_viewport()
    last = shown_numbers(page)[-1]
    refused = re.compile(r"[?&]after=")
    page.route(refused, lambda route: route.fulfill(status=503), times=1)
    with page.expect_response(refused):
        page.locator("#log-scroll").evaluate("(pane) => pane.scrollTo({ top: pane.scrollHeight })")
    # Nobody touches it: at its edge there is nothing left to scroll.
    expect(page.locator(f"#L{last + 1}")).to_be_attached()


def test_a_press_on_a_chart_lands_on_the_line_of_that_moment(mixed: Page) -> None:
    expect(mixed.locator("#usage-rows tr").nth(4)).to_be_attached()
    plot = mixed.locator("[data-chart=cpu] .u-over")
    size = plot.bounding_box()
    assert size is not None
    plot.click(position={"x": size["width"] * 0.7, "y": size["height"] / 2})
    expect(mixed.locator(".ln.target")).to_be_in_viewport()
    expect(mixed.locator("#log-follow")).to_have_attribute("aria-pressed", "false")
    assert int(mixed.locator(".ln.target").get_attribute("data-n") or 0) >= 3002


def test_a_menu_closes_by_escape_and_by_going_elsewhere(mixed: Page) -> None:
    view, download = mixed.locator("#log-view"), mixed.locator("#log-download")
    mixed.click("#log-view > summary")
    mixed.check("#log-json")
    expect(view).to_have_attribute("open", "")
    mixed.keyboard.press("Escape")
    expect(view).not_to_have_attribute("open", "")
    expect(mixed.locator("#log-view > summary")).to_be_focused()
    for elsewhere in (lambda: mixed.click("#log-title"), lambda: mixed.locator("#log-q").focus()):
        mixed.click("#log-download > summary")
        expect(download).to_have_attribute("open", "")
        elsewhere()
        expect(download).not_to_have_attribute("open", "")


def test_thousands_of_lines_are_no_stops_between_two_buttons(mixed: Page) -> None:
    for _ in ("rows that came over the wire", "rows of the server"):
        mixed.locator("#log-scroll").focus()
        for _ in range(4):
            mixed.keyboard.press("Tab")
            assert not mixed.evaluate("document.querySelector('#log-rows').contains(document.activeElement)")
        assert not mixed.evaluate("document.querySelector('#log').contains(document.activeElement)")
        mixed.reload()


def test_times_numbers_size_wrapping_and_json_are_remembered(mixed: Page) -> None:
    go_to(mixed, "55")
    line = mixed.locator("#L55 .tx")
    expect(line).to_have_text('{"number": 55, "nested": {"deep": [1, 2]}}')
    mixed.click("#log-view > summary")
    mixed.select_option("#log-times", "since")
    mixed.select_option("#log-size", "l")
    mixed.uncheck("#log-wrap")
    mixed.check("#log-json")
    mixed.uncheck("#log-numbers")
    expect(line).to_have_text(re.compile(r'^\{\n  "number": 55,\n  "nested": \{\n', re.MULTILINE), use_inner_text=True)
    mixed.reload()
    expect(mixed.locator("#L55 .tx")).to_contain_text('"deep": [\n')
    assert re.fullmatch(r"\+\d+\.\d{3} s", mixed.locator("#L55 .no").get_attribute("data-r") or "")
    expect(mixed.locator("#log")).to_have_class(re.compile("nowrap.*no-numbers"))
    expect(mixed.locator("#log")).to_have_attribute("data-size", "l")
    mixed.keyboard.press("o")
    expect(mixed.locator("#L55 .tx")).to_have_text('{"number": 55, "nested": {"deep": [1, 2]}}')


def test_what_came_while_paused_is_counted_by_level_and_its_first_error_is_one_press_away(
    open_page: Open, api: Api
) -> None:
    page = open_page(f"/runs/{api.start('faltering')}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect(page.locator("#L100")).to_be_attached()
    page.hover("#log-scroll")
    page.mouse.wheel(0, -1500)
    pill = page.locator("#log-pill")
    expect(pill).to_have_text(re.compile(r"^paused · \d+ new · [2-9]\d* errors · [2-9]\d* warnings – jump to the end$"))
    here = page.locator("#log-scroll").evaluate("(pane) => pane.scrollTop")
    expect(pill).to_have_text(re.compile(r" [3-9]\d* errors "))
    assert page.locator("#log-scroll").evaluate("(pane) => pane.scrollTop") == here, "what is read stays where it is"

    page.keyboard.press("e")
    error = page.locator(".ln.target")
    expect(error).to_be_in_viewport()
    expect(error.locator(".tx")).to_have_text("<3>203 broke")
    expect(error).to_have_class(re.compile("lv-error"))
    error.hover()
    page.click("#log-copy-line")
    expect(page.locator("#say")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == "<3>203 broke"
    page.click("#log-pill")
    expect(pill).to_be_hidden()
    expect(page.locator("#log-first-error")).to_be_hidden()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_contain_text("Copy the line under the pointer")


def test_a_link_and_the_text_of_a_range_can_be_copied(mixed: Page) -> None:
    mixed.context.grant_permissions(["clipboard-read", "clipboard-write"])
    go_to(mixed, "10")
    mixed.locator("#L12 .no").click(modifiers=["Shift"])
    expect(mixed.locator("#log-marked-text")).to_have_text("Lines 10 to 12")
    mixed.click("#log-copy-text")
    expect(mixed.locator("#say")).to_have_text("Copied.")
    assert mixed.evaluate("navigator.clipboard.readText()") == "10 WARNING: it may break\n11 tick\n12 tick"
    mixed.click("#log-copy-link")
    expect(mixed.locator("#say")).to_have_text("Copied.")
    assert mixed.evaluate("navigator.clipboard.readText()").endswith("#L10-L12")
    mixed.evaluate("location.hash = '#L10-L700'")
    expect(mixed.locator("#log-marked-text")).to_have_text("Lines 10 to 700")
    mixed.click("#log-copy-text")
    mixed.wait_for_function("async () => (await navigator.clipboard.readText()).split('\\n').length === 691")


def test_all_of_it_or_what_is_found_can_be_had_as_a_file(mixed: Page, tmp_path: Path) -> None:
    mixed.fill("#log-q", "Needle")
    mixed.check("#log-search input[name=case]")
    expect(mixed.locator("#log-found-text")).to_have_text("30 lines")
    mixed.click("#log-download > summary")
    for found in (False, True):
        mixed.set_checked("#log-download-found", found)
        for name in ("Text, gzip", "JSON lines, gzip"):
            with mixed.expect_download() as download:
                mixed.get_by_role("link", name=name, exact=True).click()
            download.value.save_as(tmp_path / "file.gz")
            lines = gzip.decompress((tmp_path / "file.gz").read_bytes()).splitlines()
            texts = [json.loads(line)["text"].encode() for line in lines] if "JSON" in name else lines
            if found:
                assert [int(text.split()[0]) for text in texts] == list(range(100, 3001, 100))
            else:
                assert texts[:10:9] == [b"1 tick", b"10 WARNING: it may break"]
                assert len(texts) >= 3001
