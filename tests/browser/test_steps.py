"""Which step printed a line stands between the lines, and is none itself."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, Api, Open

expect.set_options(timeout=PATIENCE)
STORY = [
    "— setup",
    "prepared one",
    "prepared two",
    "— start ended · agent",
    "the agent speaks",
    "the agent is done",
    "— agent ended · scoring",
    "judged",
    "— score ended · teardown",
]


def told(page: Page) -> list[str]:
    """Lines and, with a dash, what stands between them."""
    found: list[str] = page.eval_on_selector_all(
        "#log-rows > *",
        "rows => rows.map((row) => row.matches('.ln') ? row.querySelector('.tx').textContent : `— ${row.textContent}`)",
    )
    return found


def test_the_step_that_printed_a_line_is_told_live_and_later_and_is_no_line(open_page: Open, api: Api) -> None:
    page = open_page(f"/runs/{api.start('talkative')}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("window.here = 1")
    expect(page.locator("#panel")).to_have_attribute("data-state", "ended")
    expect(page.locator("#step-5")).to_have_text("score ended · teardown")
    assert told(page) == STORY
    assert page.evaluate("window.here") == 1, "the steps have to arrive without a reload"
    expect(page.locator("#log-count")).to_have_text("5 lines")

    page.locator("#ribbon-place").evaluate("(one) => { one.value = 2; one.dispatchEvent(new Event('input')) }")
    expect(page.locator("#ribbon-said")).to_contain_text("· setup")
    page.locator("#L2 .no").click()
    page.locator("#L3 .no").click(modifiers=["Shift"])
    page.click("#log-copy-text")
    expect(page.locator("#say")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == "prepared two\nthe agent speaks"

    page.fill("#log-q", "agent")
    page.check("#log-search input[name=only]")
    expect(page.locator("#log-found-text")).to_have_text("2 lines")
    assert told(page) == ["the agent speaks", "the agent is done"]
    page.click("#log-clear")
    expect(page.locator("#step-5")).to_be_attached()
    assert told(page) == STORY

    address = page.url.split("#")[0]
    page.goto(address)
    assert told(page) == STORY
    plain = open_page(address, java_script_enabled=False)
    assert told(plain) == STORY
