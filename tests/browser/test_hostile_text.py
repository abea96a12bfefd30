"""What an agent prints stays text, under the real content security policy."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, Api, Open

expect.set_options(timeout=PATIENCE)
LAST = "The last line."


def texts(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all("#log-rows .tx", "rows => rows.map((row) => row.textContent)")
    return found


def assert_only_text(page: Page) -> None:
    found = texts(page)
    assert "<script>alert('from the agent')</script>" in found
    assert any("hx-trigger" in text for text in found)
    assert any("</div></section></main>" in text for text in found)
    assert page.locator("#log-rows :is(script, img, link, button, h1, b, a:not(.no))").count() == 0
    assert page.locator("#forged").count() == 0
    assert not any(ord(sign) < 32 or sign in "\u202e\u202c\ufffd" for text in found for sign in text)
    assert any("\\u202e" in text for text in found)
    assert any("\\x00" in text for text in found)
    assert any("\\xff" in text for text in found)
    assert max(map(len, found)) < 6_000
    assert page.locator(".tx .fg-1").first.inner_text() == "red"


def test_hostile_lines_are_shown_as_text_live_and_after_a_reload(open_page: Open, api: Api) -> None:
    run = api.start("hostile-text")
    page = open_page(f"/runs/{run}")
    policy = page.request.get(f"/runs/{run}").headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    expect(page.locator("#log-rows", has_text=LAST)).to_be_visible()
    expect(page.locator(".ln.err .tx")).to_have_text("<b>on stderr</b>")
    assert_only_text(page)

    page.reload()
    expect(page.locator("#log-rows", has_text=LAST)).to_be_visible()
    assert_only_text(page)

    page.goto("/")
    expect(page.locator(f"#run-{run} .last")).to_be_visible()
    assert api.run(run)["state"] == "running", "a forged press must not have stopped anything"
