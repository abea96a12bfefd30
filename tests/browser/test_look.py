"""Every page in both themes, wide and narrow: nothing runs over the edge, and text can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, Api, Open

expect.set_options(timeout=PATIENCE)
PATHS = (
    *("/", "/new", "/evaluations", "/evaluations/{evaluation}", "/runs/{run}"),
    *("/alerts?all=1", "/health", "/audit", "/account"),
)

LOW_CONTRAST = (Path(__file__).parent / "low_contrast.js").read_text()


def overflow(page: Page) -> list[str]:
    found: list[str] = page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
        [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
        .map((one) => `${one.localName}.${one.className}`)"""
    )
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_pages_stay_within_their_edges_and_can_be_read(open_page: Open, api: Api, theme: str, width: int) -> None:
    run = api.start("chatter")
    page = open_page("/", viewport={"width": width, "height": 900}, color_scheme=theme)
    expect(page.locator(f"#run-{run} .mark")).to_contain_text("Running · agent")
    for path in PATHS:
        page.goto(path.format(run=run, evaluation=api.run(run)["evaluation"]))
        expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
        assert overflow(page) == [], path
        assert page.evaluate(LOW_CONTRAST) == [], path
        assert not re.search(r"\b(None|undefined|NaN)\b", page.inner_text("body")), path


def test_the_theme_is_remembered_and_set_before_the_first_paint(open_page: Open) -> None:
    page = open_page("/", color_scheme="light")
    page.click("#theme")
    page.click("#theme")
    expect(page.locator("#theme")).to_have_text("Theme: dark")
    page.goto("/evaluations")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    head = page.locator("head script").first.get_attribute("src") or ""
    assert "theme.js" in head
    assert page.locator("head script").first.get_attribute("defer") is None


def test_everything_that_can_be_pressed_has_a_name(open_page: Open, api: Api) -> None:
    run = api.start("chatter")
    page = open_page("/")
    for path in PATHS:
        page.goto(path.format(run=run, evaluation=api.run(run)["evaluation"]))
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("button, a[href], summary, input:not([type=hidden]), select")]
            .filter((one) => !one.getAttribute("aria-label") && !one.textContent.trim() && !one.labels?.length)
            .map((one) => one.outerHTML)"""
        )
        assert [one for one in nameless if 'aria-hidden="true"' not in one] == [], path


def test_on_a_narrow_page_the_audit_has_every_column_and_a_red_banner_its_place(open_page: Open, api: Api) -> None:
    run = api.start("chatter")
    page = open_page("/audit", viewport={"width": 400, "height": 850})
    for cell in page.locator("#entries tr").first.locator("td").all():
        box = cell.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 400

    page.goto(f"/runs/{run}")
    expect(page.locator("#L5")).to_be_attached()
    page.route(re.compile(rf"/runs/{run}/stop$"), lambda route: None)
    page.click(".stop-large")
    expect(page.locator(".banner-stop")).to_be_visible()
    # In one go: the banner is made anew with each word of the warden.
    banner = page.evaluate("() => document.querySelector('.banner-stop').getBoundingClientRect().toJSON()")
    assert (banner["x"], banner["width"]) == (0, 400)
    page.unroute(re.compile(rf"/runs/{run}/stop$"))


def test_on_a_narrow_page_every_setting_has_what_it_means_beside_no_blank_space(open_page: Open) -> None:
    page = open_page("/health", viewport={"width": 400, "height": 850})
    cells = page.locator(".settings tbody td")
    assert cells.count() > 30
    assert cells.evaluate_all("all => all.every((one) => one.getBoundingClientRect().right <= 400)")
    blank = """all => all.map((row) => {
        const text = document.createRange();
        text.selectNodeContents(row);
        return row.getBoundingClientRect().height - [...row.cells].reduce((sum, cell) => {
            text.selectNodeContents(cell);
            return sum + text.getBoundingClientRect().height;
        }, 0);
    })"""
    assert max(page.locator(".settings tbody tr").evaluate_all(blank)) < 40


def test_of_the_menus_of_the_output_one_is_open_at_a_time(open_page: Open, api: Api) -> None:
    page = open_page(f"/runs/{api.start('chatter')}")
    for name in ("view", "download", "which"):
        page.press(f"#log-{name} > summary", "Enter")  # an open sheet may lie over it
        expect(page.locator(f"#log-{name}")).to_have_attribute("open", "")
        expect(page.locator("#log details.menu[open]")).to_have_count(1)
