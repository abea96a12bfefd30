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
    assert "data: forged\\r" in found
    assert "event: bye" in found
    assert "one\\u2028two\\u2029three" in found
    assert_inert(page)


def assert_inert(page: Page) -> None:
    """Nothing of what an agent printed became an element, wherever it is shown."""
    forged = "#main :is(script:not([type*=json]), iframe, [onerror], img[src=x], [hx-trigger=load], #forged)"
    assert page.locator(forged).count() == 0


def test_hostile_lines_are_shown_as_text_live_and_after_a_reload(open_page: Open, api: Api) -> None:
    run = api.start("hostile-text")
    page = open_page(f"/runs/{run}")
    policy = page.request.get(f"/runs/{run}").headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    expect(page.locator("#log-rows", has_text=LAST)).to_be_visible()
    expect(page.locator(".ln.err .tx")).to_have_text("<b>on stderr</b>")
    assert_only_text(page)

    expect(page.locator("#alerts")).to_contain_text("<img src=x onerror=alert('quoted')>")
    assert_inert(page)

    page.fill("#log-q", "onerror")
    page.check("#log-search input[name=only]")
    expect(page.locator("#log-found-text")).to_have_text("3 lines")
    expect(page.locator(".ln .hit")).to_have_count(3)
    assert_inert(page)
    page.click("#log-clear")

    page.reload()
    expect(page.locator("#log-rows", has_text=LAST)).to_be_visible()
    assert_only_text(page)
    for form in ("output.txt", "output.jsonl"):
        answer = page.request.get(f"/runs/{run}/{form}")
        assert answer.headers["content-disposition"].startswith("attachment; ")
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"

    page.goto("/alerts")
    expect(page.locator("#main", has_text="onerror=alert('quoted')")).to_be_visible()
    assert_inert(page)
    page.goto("/")
    expect(page.locator(f"#run-{run} .last")).to_contain_text("<b>on stderr</b>")
    assert_inert(page)
    assert api.run(run)["state"] == "running", "a forged press must not have stopped anything"


def test_a_line_of_a_hundred_megabytes_is_pieces_that_the_page_can_hold(open_page: Open, api: Api) -> None:
    page = open_page(f"/runs/{api.start('long-line')}")
    expect(page.locator("#log-rows .ln .tx").last).to_have_text("After the long line.", timeout=3 * PATIENCE)
    page.reload()
    expect(page.locator("#log-rows .ln .tx").last).to_have_text("After the long line.")
    pieces = page.locator("#log-rows .ln.cont .tx")
    assert pieces.count() > 10
    assert max(map(len, texts(page))) < 6_000
    expect(pieces.last).to_contain_text("more bytes")
    expect(page.locator(".log-gap")).to_have_count(0)
