"""Searching a run's whole output: counted, marked, walked, filtered, followed; the address carries it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import PATIENCE, Api, Open
from tests.browser.test_story import shown, shown_numbers

expect.set_options(timeout=PATIENCE)


@pytest.fixture
def mixed(open_page: Open, api: Api) -> Page:
    page = open_page(f"/runs/{api.start('mixed')}")
    expect(page.locator("#L3001")).to_be_attached()
    return page


def look_for(page: Page, text: str, *switches: str) -> None:
    for name in switches:
        page.check(f"#log-search input[name={name}]")
    page.fill("#log-q", text)
    page.press("#log-q", "Enter")


def test_hits_are_counted_marked_and_walked_and_new_ones_are_found_as_they_come(mixed: Page) -> None:
    look_for(mixed, "(Needle")
    said = mixed.locator("#log-found-text")
    expect(said).to_have_text("30 lines")
    expect(mixed.locator("#ribbon-hits rect")).to_have_count(30)
    mixed.locator("#log-scroll").focus()
    mixed.keyboard.press("p")
    expect(said).to_have_text("30 of 30 lines")
    expect(mixed.locator("#L3000.target .hit")).to_have_text("(Needle")
    expect(mixed.locator("#L3000")).to_be_in_viewport()
    mixed.keyboard.press("n")
    expect(said).to_have_text("1 of 30 lines")
    expect(mixed.locator("#L100.target")).to_be_in_viewport()
    expect(mixed.locator("#L101")).to_be_attached()
    mixed.keyboard.press("n")
    expect(mixed.locator("#L200.target")).to_be_in_viewport()
    assert "q=%28Needle" in mixed.url
    assert mixed.url.endswith("#L200")

    look_for(mixed, "late needle")
    expect(said).to_have_text(re.compile(r"^[1-9]\d* lines?$"))
    before = int(said.inner_text().split()[0])
    grown = "(least) => parseInt(document.getElementById('log-found-text').textContent) >= least"
    mixed.wait_for_function(grown, arg=before + 3)


def test_only_what_is_found_is_shown_and_followed_and_leads_back_to_its_context(mixed: Page) -> None:
    look_for(mixed, "^[0-9]+ late n.{3}le$", "regex", "only")
    expect(mixed.locator(".ln .hit").first).to_be_attached()
    first = shown_numbers(mixed)
    assert first[0] == 3002
    last = first[-1]
    expect(mixed.locator(f"#L{last + 4}.found")).to_be_in_viewport()
    assert all(text.endswith("late needle") for _, text in shown(mixed))

    mixed.uncheck("#log-search input[name=regex]")
    look_for(mixed, "Needle 200)")
    expect(mixed.locator(".ln")).to_have_count(1)
    mixed.locator("#L200 .no").click()
    mixed.click("#log-context")
    expect(mixed.locator("#L200.target")).to_be_in_viewport()
    expect(mixed.locator("#L201")).to_be_in_viewport()
    expect(mixed.locator("input[name=only]")).not_to_be_checked()


def test_levels_streams_case_and_inverse(mixed: Page) -> None:
    mixed.click("#log-which > summary")
    mixed.check("input[name=level][value=error]")
    said = mixed.locator("#log-found-text")
    expect(said).to_have_text("30 lines")
    expect(mixed.locator("#log-which-count")).to_have_text(" · 1")
    mixed.check("input[name=level][value=warning]")
    expect(said).to_have_text("300 lines")
    mixed.uncheck("input[name=level][value=error]")
    mixed.uncheck("input[name=level][value=warning]")
    mixed.check("input[name=stream][value='2']")
    expect(said).to_have_text("1 line")
    mixed.check("#log-search input[name=only]")
    expect(mixed.locator(".ln")).to_have_count(1)
    expect(mixed.locator("#L3001.err")).to_be_visible()
    mixed.click("#log-clear")
    expect(mixed.locator("#L3000")).to_be_attached()

    look_for(mixed, "needle", "case", "inverse")
    expect(said).to_have_text("3\u202f001 lines")


def test_a_bad_pattern_is_explained_in_place_and_the_output_stays(open_page: Open, api: Api) -> None:
    mixed = open_page(f"/runs/{api.start('mixed')}", statuses=(400,))
    expect(mixed.locator("#L3001")).to_be_attached()
    rows = len(shown(mixed))
    mixed.check("#log-search input[name=regex]")
    look_for(mixed, "(broken")
    problem = mixed.locator("#log-problem")
    expect(problem).to_contain_text("missing )")
    expect(problem).to_contain_text("Close each (")
    expect(mixed.locator("#log-q")).to_have_attribute("aria-invalid", "")
    assert len(shown(mixed)) >= rows
    for part in ("log-found-text", "log-prev", "log-next"):
        expect(mixed.locator(f"#{part}")).to_be_hidden()
    expect(mixed.locator("#log-clear")).to_be_visible()
    look_for(mixed, "(broke")
    mixed.uncheck("#log-search input[name=regex]")
    expect(problem).to_be_empty()
    expect(mixed.locator("#log-next")).to_be_visible()
    expect(mixed.locator("#log-found-text")).to_have_text("0 lines")


def test_new_lines_are_not_searched_for_a_pattern_that_the_server_has_not_taken(open_page: Open, api: Api) -> None:
    page = open_page(f"/runs/{api.start('chatter')}", statuses=(400,))
    expect(page.locator("#L10")).to_be_attached()
    look_for(page, "[0-9]", "regex")
    expect(page.locator("#log-found-text")).to_have_text(re.compile(r"^[1-9]\d* lines?$"))
    asked: list[str] = []
    questions: list[Route] = []

    def ask(route: Route) -> None:
        asked.append(route.request.url)
        if "after=999999999999" in route.request.url:
            questions.append(route)  # its answer is long in coming
        else:
            route.continue_()

    page.route("**/search?*", ask)
    look_for(page, "(broken")
    newest = shown_numbers(page)[-1]
    expect(page.locator(f"#L{newest + 20}")).to_be_attached()
    assert [address for address in asked if "broken" in address] == [questions[0].request.url]
    questions[0].continue_()
    expect(page.locator("#log-problem")).to_contain_text("missing )")


def test_the_address_brings_the_search_back_with_and_without_javascript(mixed: Page, open_page: Open) -> None:
    look_for(mixed, "needle 300", "only")
    expect(mixed.locator(".ln")).to_have_count(2)
    expect(mixed.locator("#log-found-text")).to_have_text("2 lines")
    address = mixed.url
    assert "only=1" in address
    mixed.reload()
    expect(mixed.locator("#log-q")).to_have_value("needle 300")
    expect(mixed.locator("#log-found-text")).to_have_text("2 lines")
    expect(mixed.locator(".ln")).to_have_count(2)

    plain = open_page(address, java_script_enabled=False)
    assert shown_numbers(plain) == [300, 3000]
    expect(plain.locator("#L300 .hit")).to_have_text("Needle 300")
    plain.fill("#log-q", "needle 1000")
    plain.click("#log-search button:has-text('Search')")
    assert shown_numbers(plain) == [1000]
