"""The time machine, and the cursor that charts and output share."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PATIENCE, Api, Open
from tests.browser.served import Server
from tests.browser.test_story import assert_whole, shown_numbers

expect.set_options(timeout=PATIENCE)
START = 1_700_000_000.0


@pytest.fixture
def chatter(open_page: Open, api: Api) -> Page:
    """A live run with an alert at line 40 and some seconds behind it."""
    page = open_page(f"/runs/{api.start('chatter')}")
    expect(page.locator("#alerts .alert")).to_have_count(1)
    expect(page.locator("#L80")).to_be_attached()
    expect(page.locator("#usage-rows tr").nth(3)).to_be_attached()
    return page


def drag_to(page: Page, at: float) -> None:
    """The slider, to a moment in unix seconds."""
    page.locator("#time-slider").evaluate(
        "(slider, at) => { slider.value = at - slider.closest('.time').dataset.began;"
        " slider.dispatchEvent(new Event('input')) }",
        at,
    )


def time_of(page: Page, line: int) -> float:
    return float(page.locator(f"#L{line}").get_attribute("data-at") or 0)


def expect_past(page: Page, last: int) -> None:
    expect(page.locator("#time")).to_have_class(re.compile("is-past"))
    expect(page.locator(f"#L{last}")).to_be_in_viewport()
    expect(page.locator(f"#L{last + 1}")).to_have_count(0)
    expect(page.locator("#log-count")).to_have_text(f"{last} lines")


def test_a_live_run_is_shown_as_it_was_and_is_recorded_meanwhile(chatter: Page) -> None:
    page, before = chatter, time_of(chatter, 30) + 0.01
    drag_to(page, before)
    expect_past(page, 30)
    expect(page.locator("#ribbon-said")).to_have_text(re.compile(r"^line 30 · "))
    expect(page.locator("#time-said")).to_contain_text(re.compile(r"As it was at \d\d:\d\d:\d\d\.\d · \d+ s ago"))
    expect(page.locator("#alerts .alert")).to_have_count(0)
    expect(page.locator("#panel .produced")).to_contain_text("Stored 30 lines")
    expect(page.locator(".runbar .stop-large")).to_be_visible()
    drag_to(page, time_of(page, 30) + 2)
    expect(page.locator("#alerts .alert")).to_have_count(1)
    drag_to(page, before)
    expect_past(page, 30)
    # Arrow keys step, with Shift further; the address leads here, and Escape leads back.
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator("#log-count")).to_have_text("0 lines")
    expect(page.locator("#log-empty")).to_have_text("It had printed nothing yet.")
    drag_to(page, before)
    expect_past(page, 30)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#L35")).to_be_attached()
    drag_to(page, before)
    expect_past(page, 30)
    assert re.search(r"\?at=\d+\.\d{3}$", page.url)
    # What is looked for is found in what there was.
    page.fill("#log-q", "tick")
    page.press("#log-q", "Enter")
    expect(page.locator("#log-found-text")).to_have_text("30 lines")
    page.click("#log-clear")
    expect(page.locator("#log-found")).to_be_hidden()
    expect_past(page, 30)
    page.keyboard.press("Escape")
    expect(page.locator("#time-said")).to_have_text("Now")
    expect(page.locator("#alerts .alert")).to_have_count(1)
    expect(page.locator("#log-follow")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#L100")).to_be_attached()
    assert "at=" not in page.url
    assert_whole(page)

    # The knob of now is at the very end of its way.
    assert page.locator("#time-slider").evaluate("slider => getComputedStyle(slider).paddingInlineEnd") == "0px"

    # A link to a moment opens it, and leads back to what came meanwhile.
    drag_to(page, before)
    expect_past(page, 30)
    page.reload()
    expect_past(page, 30)
    expect(page.locator("#alerts .alert")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator("#time-said")).to_have_text("Now")
    expect(page.locator("#alerts .alert")).to_have_count(1)
    expect(page.locator("#log-follow")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#log-pill")).to_be_hidden()
    expect(page.locator("#L110")).to_be_attached()
    expect(page.locator("#log-rows .ln").last).to_be_in_viewport()
    numbers = shown_numbers(page)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    # Whose address names a line as well does not follow without the moment either.
    page.goto(f"{page.url}?at={before:.3f}#L10")
    page.reload()
    expect(page.locator("#L10.target")).to_be_in_viewport()
    expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
    page.keyboard.press("Escape")
    expect(page.locator("#time-said")).to_have_text("Now")
    expect(page.locator("#log-follow")).to_have_attribute("aria-pressed", "false")


def test_a_page_of_the_past_says_no_alert_that_was_there_when_it_was_loaded_and_every_later_one(
    chatter: Page, server: Server
) -> None:
    page = chatter
    page.add_init_script(
        "window.said = []; new MutationObserver(() => said.push(document.querySelector('#say')?.textContent))"
        ".observe(document, { childList: true, subtree: true })"
    )
    page.goto(f"{page.url}?at={time_of(page, 30) + 0.01:.3f}")
    expect_past(page, 30)
    expect(page.locator("#alerts .alert")).to_have_count(0)
    expect(page.locator("[data-tally=here]")).not_to_have_text("–")  # the stream has told all by then
    page.keyboard.press("Escape")
    expect(page.locator("#alerts .alert")).to_have_count(1)
    assert page.evaluate("said.filter(Boolean)") == []
    page.reload()
    expect(page.locator("#fresh")).to_have_attribute("data-state", "live")

    with contextlib.closing(sqlite3.connect(next((server.folder / "data").glob("*.db")))) as record, record:
        columns = [name for _, name, *_ in record.execute("PRAGMA table_info(alerts)") if name != "id"]
        record.row_factory = sqlite3.Row
        (found,) = record.execute("SELECT * FROM alerts WHERE run = ?", (page.url.rsplit("/", 1)[1],))
        later = {**{name: found[name] for name in columns}, "title": "It came later", "severity": 4}
        places = ", ".join(f":{name}" for name in columns)
        record.execute(f"INSERT INTO alerts ({', '.join(columns)}) VALUES ({places})", later)
    expect(page.locator("#say")).to_have_text("Alert: It came later")


def test_stop_works_while_the_past_is_shown_and_shows_its_receipt(chatter: Page) -> None:
    drag_to(chatter, time_of(chatter, 30) + 0.01)
    expect_past(chatter, 30)
    chatter.click(".stop-large")
    expect(chatter.locator("#time")).not_to_have_class(re.compile("is-past"))
    expect(chatter.locator(".receipt .marks li.done")).to_have_count(3)
    expect(chatter.locator("#time-said")).to_have_text("At its end")
    # After its end it is as it was all the same.
    drag_to(chatter, time_of(chatter, 50) + 0.01)
    expect_past(chatter, 50)
    expect(chatter.locator(".runbar .mark")).to_have_text("Running · agent")
    expect(chatter.locator("#time-said")).to_contain_text("before the end")
    expect(chatter.locator("#time-state")).to_have_text("Stopped")
    expect(chatter.locator(".receipt")).to_have_count(0)


def test_a_long_run_is_drawn_in_few_points_that_say_so_and_finer_where_one_looks(
    open_page: Open, api: Api, server: Server
) -> None:
    run = api.start("chatter")
    api.client.post(f"/runs/{run}/stop", json={"wait": True})
    hours = 5400
    points = [(run, seq, START + seq, 0.1, 0.9 if seq == 1234 else 0.2, 1 << 20, 3) for seq in range(1, hours + 1)]
    with contextlib.closing(sqlite3.connect(next((server.folder / "data").glob("*.db")))) as record, record:
        record.execute("DELETE FROM usage_points WHERE run = ?", (run,))
        names = "run, seq, at, cpu_mean, cpu_max, memory_bytes, pids"
        record.executemany(f"INSERT INTO usage_points ({names}) VALUES (?, ?, ?, ?, ?, ?, ?)", points)
    page = open_page(f"/runs/{run}")
    expect(page.locator("#usage-grain")).to_have_text("1 point = up to 6 s, highest shown")
    kept = json.loads(page.locator("#usage").text_content() or "")["points"]
    assert len(kept) <= 900
    assert max(point[3] for point in kept) == 0.9
    plot = page.locator("[data-chart=cpu] .u-over")
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 20, steps=5)
    with page.expect_response(re.compile(r"/usage\?since=")):
        page.mouse.up()
    expect(page.locator("#usage-grain")).to_have_text("")
    plot.dblclick()
    expect(page.locator("#usage-grain")).to_have_text("1 point = up to 6 s, highest shown")


def hovered(page: Page, chart: str, part: float) -> Locator:
    plot = page.locator(f"[data-chart={chart}] .u-over")
    size = plot.bounding_box()
    assert size is not None
    plot.hover(position={"x": size["width"] * part, "y": size["height"] / 2})
    return page.locator(f"[data-chart={chart}] [data-now]")


def test_charts_and_output_share_one_cursor(chatter: Page) -> None:
    page = chatter
    page.locator("#L60 .tx").hover()
    clock = (page.locator("#L60 .no").get_attribute("title") or "")[:6]
    for chart in ("cpu", "memory", "pids"):
        expect(page.locator(f"[data-chart={chart}] [data-now]")).to_contain_text(f" at {clock}")
    said = hovered(page, "pids", 0.5)
    expect(said).to_contain_text(" at ")
    line = page.locator(".ln.under-cursor")
    expect(line).to_have_count(1)
    at = re.search(r"\d\d:\d\d:\d\d", page.locator("[data-chart=cpu] [data-now]").inner_text())
    shown = line.locator(".no").get_attribute("title") or ""
    assert at is not None
    assert abs(seconds_of(shown) - seconds_of(at[0])) <= 2
    page.hover("#log-scroll")
    expect(line).to_have_count(0)


def seconds_of(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
