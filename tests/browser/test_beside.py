"""Two runs beside each other, each live, and scrolling together by time."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, Api, Open

expect.set_options(timeout=PATIENCE)


@pytest.fixture
def both(open_page: Open, api: Api) -> Page:
    """Chatter on the left, mixed on the right."""
    page = open_page(f"/compare?run={api.start('chatter')}&run={api.start('mixed')}")
    expect(page.locator("#left-L70")).to_be_attached()
    expect(page.locator("#right-L3003")).to_be_attached()
    return page


def numbers(page: Page, pane: str) -> list[int]:
    found: list[int] = page.locator(f"#{pane}-log-rows .ln").evaluate_all(
        "(rows) => rows.map((row) => Number(row.dataset.n))"
    )
    return found


def test_both_follow_in_one_stream_and_each_can_be_stopped(both: Page, api: Api) -> None:
    assert api.client.get("/health").json()["streams"] == 1
    left, right = both.locator(".side").nth(0), both.locator(".side").nth(1)
    for pane in ("left", "right"):
        shown = numbers(both, pane)
        assert shown == list(range(shown[0], shown[0] + len(shown)))
    expect(left.locator(".side-alerts")).to_have_text("1 alert")
    expect(both.locator("#left-L40.cited")).to_be_attached()
    expect(right.locator("[data-chart=memory] [data-now] b")).to_be_visible()
    left.locator(".stop-large").click()
    expect(left.locator(".receipt .marks li.done")).to_have_count(3)
    expect(left.locator(".runbar .mark")).to_have_text("Stopped")
    expect(right.locator(".runbar .mark")).to_have_text("Running · agent")
    expect(both.locator(".chips")).to_have_count(0)
    before = numbers(both, "right")[-1]
    expect(both.locator(f"#right-L{before + 2}")).to_be_attached()


def test_each_output_is_gone_through_on_its_own_or_both_by_the_time_since_their_agents_began(both: Page) -> None:
    both.fill("#right-log-q", "Needle 15")
    both.press("#right-log-q", "Enter")
    expect(both.locator("#right-log-found-text")).to_contain_text("1 line")
    both.click("#right-log-next")
    expect(both.locator("#right-L1500.target")).to_be_in_viewport()
    expect(both.locator("#right-log-marked-text")).to_have_text(re.compile(r"Line 1.500"))
    expect(both.locator("#left-log-found")).to_be_hidden()
    expect(both.locator("#left-log-follow")).to_have_attribute("aria-pressed", "true")
    assert "#" not in both.url
    both.locator("#right-L1502 .no").click(modifiers=["Shift"])
    expect(both.locator("#right-log-marked-text")).to_have_text(re.compile(r"Lines 1.500 to 1.502"))
    # How lines are shown holds for both.
    both.click("#left-log-view > summary")
    both.uncheck("#left-log-wrap")
    expect(both.locator("#right-log")).to_have_class(re.compile("nowrap"))

    both.click("#right-log-clear")
    both.click("#right-log-follow")
    expect(both.locator("#right-log-follow")).to_have_attribute("aria-pressed", "true")
    both.check("#beside-lock")
    both.fill("#left-log-go-to", "60")
    both.press("#left-log-go-to", "Enter")
    expect(both.locator("#left-L60.target")).to_be_in_viewport()
    expect(both.locator("#right-log-follow")).to_have_attribute("aria-pressed", "false")

    # The first line of the right one that was printed as long after its agent's beginning, or later.
    beyond = both.evaluate(
        """() => {
            const [left, right] = document.querySelectorAll(".side");
            const since = (side, row) => row.dataset.at - side.dataset.agent;
            const wanted = since(left, document.getElementById("left-L60"));
            return [...right.querySelectorAll(".ln")].find((row) => since(right, row) >= wanted).id;
        }"""
    )
    expect(both.locator(f"#{beyond}")).to_be_in_viewport()


def test_two_are_chosen_from_the_results_and_from_a_run(open_page: Open, api: Api) -> None:
    one, other = api.start("chatter"), api.start("chatter")
    page = open_page(f"/runs/{one}")
    page.click("text=beside another run")
    page.check(f"#choose-{other}")
    page.click("text=Show two beside each other")
    expect(page.locator(".side")).to_have_count(2)
    expect(page.locator(f".side[data-run='{other}'] .stop-large")).to_be_visible()
