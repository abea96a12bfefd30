"""The main story in a browser: ask for a run, watch it, see an alert, stop it, see it proven dead."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, Api, Open
from tests.browser.served import Server

expect.set_options(timeout=PATIENCE)


def shown(page: Page) -> list[tuple[int, str]]:
    """Number and text of every row, as they are at one moment."""
    rows: list[tuple[int, str]] = page.eval_on_selector_all(
        "#log-rows .ln", "rows => rows.map((row) => [Number(row.dataset.n), row.querySelector('.tx').textContent])"
    )
    return rows


def shown_numbers(page: Page) -> list[int]:
    return [number for number, _ in shown(page)]


def assert_whole(page: Page) -> None:
    """No line twice, none missing, and each says the number it has."""
    rows = shown(page)
    first = rows[0][0]
    assert [number for number, _ in rows] == list(range(first, first + len(rows)))
    assert [int(text.split()[0]) for _, text in rows] == [number for number, _ in rows]


def test_a_run_is_asked_for_watched_reloaded_alerted_stopped_and_proven_dead(
    open_page: Open, server: Server, api: Api
) -> None:
    page = open_page("/new")
    page.check("input[name=suite][value=chatter]")
    expect(page.locator("#command")).to_have_text("crucible evaluate --suite chatter")
    page.click("text=Start the evaluation")

    page.goto("/")
    card = page.locator(".card", has_text="chatter").first
    expect(card.locator(".mark")).to_contain_text("Running · agent")
    card.locator(".stretch").click()
    page.wait_for_url(re.compile(r"/runs/\d+$"))
    run = int(page.url.rsplit("/", 1)[1])
    api.started.append(run)

    page.evaluate("window.here = 1")
    expect(page.locator("#L20 .tx")).to_have_text("20 tick")
    assert page.evaluate("window.here") == 1, "lines have to arrive without a reload"
    assert_whole(page)

    page.reload()
    before = shown_numbers(page)[-1]
    expect(page.locator(f"#L{before + 10}")).to_be_attached()
    assert_whole(page)

    alert = page.locator("#alerts .alert").first
    expect(alert).to_contain_text("Self-replication")
    expect(alert.locator(".quote a")).to_have_text("line 40")
    expect(page.locator("#L40")).to_have_class(re.compile(r"\bcited\b"))

    page.click(".stop-large")
    marks = page.locator(".receipt .marks li")
    expect(marks.nth(2)).to_have_class("done")
    expect(marks).to_contain_text(["Received", "Acted", "Verified dead"])
    assert re.search(r"\+[\d.]+ (ms|s)", marks.nth(1).inner_text())
    assert re.search(r"\+[\d.]+ (ms|s)", marks.nth(2).inner_text())
    expect(page.locator(".runbar .mark")).to_have_text("Stopped")
    assert server.containers() == []

    page.click("text=Drill")
    expect(page.locator(".receipt")).to_contain_text("Reason: Drill")
    last = api.run(run)["lines"]
    expect(page.locator("#log-rows .ln").last).to_have_id(f"L{last}")
    assert_whole(page)


def test_scrolling_up_pauses_and_the_pill_leads_back_to_the_end(open_page: Open, api: Api) -> None:
    page = open_page(f"/runs/{api.start('chatter')}")
    expect(page.locator("#L80")).to_be_attached()
    page.hover("#log-scroll")
    page.mouse.wheel(0, -600)

    pill = page.locator("#log-pill")
    expect(pill).to_contain_text(re.compile(r"paused · \d+ new"))
    top = page.evaluate("document.getElementById('log-scroll').scrollTop")
    rows = len(shown_numbers(page))
    expect(pill).to_contain_text(re.compile(r"paused · [2-9]\d new"))
    assert page.evaluate("document.getElementById('log-scroll').scrollTop") == top
    assert len(shown_numbers(page)) == rows

    pill.click()
    expect(pill).to_be_hidden()
    expect(page.locator(f"#L{rows + 25}")).to_be_in_viewport()
    assert_whole(page)


def test_a_link_to_a_range_of_lines_shows_and_marks_it(open_page: Open, api: Api) -> None:
    run = api.start("chatter")
    page = open_page(f"/runs/{run}")
    expect(page.locator("#L30")).to_be_attached()

    page.goto(f"/runs/{run}#L10-L12")
    page.reload()
    expect(page.locator(".ln.target")).to_have_count(3)
    expect(page.locator("#L10")).to_be_in_viewport()
    expect(page.locator("#log-follow")).to_have_attribute("aria-pressed", "false")


def test_a_frozen_run_stands_still_and_goes_on(open_page: Open, api: Api) -> None:
    page = open_page(f"/runs/{api.start('chatter')}")
    expect(page.locator("#L5")).to_be_attached()
    page.click("text=Freeze")
    expect(page.locator(".runbar .mark")).to_contain_text("Frozen")
    page.click("text=Let it go on")
    expect(page.locator(".runbar .mark")).to_contain_text("Running")
    seen = shown_numbers(page)[-1]
    expect(page.locator(f"#L{seen + 5}")).to_be_attached()
    assert_whole(page)
