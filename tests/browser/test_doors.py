"""Signing in and out; what a stranger sees; what a page says when the server or the engine is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PASSWORD, PATIENCE, Api, Open, sign_in_by_link
from tests.browser.served import Server, end_server, start_server

expect.set_options(timeout=PATIENCE)
NOBODY = {"cookies": [], "origins": []}


@pytest.mark.parametrize("path", ["/", "/runs/1", "/new", "/evaluations", "/alerts", "/health", "/audit", "/account"])
def test_a_stranger_sees_only_the_sign_in_page(open_page: Open, path: str) -> None:
    page = open_page(path, storage_state=NOBODY)
    assert "/sign-in" in page.url
    expect(page.locator("h1")).to_have_text("Sign in")
    assert page.locator("#strip, .nav").count() == 0


def test_someone_signs_in_comes_to_the_page_they_asked_for_and_signs_out(open_page: Open, server: Server) -> None:
    page = open_page("/health", storage_state=NOBODY)
    page.fill("input[name=name]", "admin")
    page.fill("input[name=password]", PASSWORD)
    page.click("button.primary")
    page.wait_for_url("**/health")
    expect(page.locator("h1")).to_have_text("Health")

    page.click("text=Sign out")
    page.goto("/")
    assert "/sign-in" in page.url


def test_the_printed_link_works_once(open_page: Open, server: Server, signed_in: object) -> None:
    page = open_page(server.link, storage_state=NOBODY, statuses=(404, 410))
    expect(page.locator("h1")).to_have_text("This link does not work any more")


def test_a_token_is_shown_once_and_can_be_revoked(open_page: Open) -> None:
    page = open_page("/account")
    page.fill("form[action='/account/tokens'] input[name=name]", "for a test")
    page.click("text=Make a token")
    expect(page.locator("#new-token")).to_have_text(re.compile(r"^crc_\d+_\S{43}$"))
    page.goto("/account")
    assert page.locator("#new-token").count() == 0
    row = page.locator("tr", has_text="for a test")
    row.locator("button").click()
    expect(row).to_have_count(0)


def test_a_page_whose_session_ended_says_so_and_stop_leads_back(open_page: Open, api: Api) -> None:
    run = api.start("chatter")
    page = open_page(f"/runs/{run}", storage_state=NOBODY, statuses=(401,))
    page.fill("input[name=name]", "admin")
    page.fill("input[name=password]", PASSWORD)
    page.click("button.primary")
    expect(page.locator("#L5")).to_be_attached()
    page.context.clear_cookies()
    page.click(".stop-large")
    page.wait_for_url("**/sign-in?*")
    expect(page.locator(".notice-stop")).to_contain_text(f"Run {run} has not been stopped")
    expect(page.locator(".notice-stop")).to_contain_text(f"crucible stop {run}")
    page.fill("input[name=name]", "admin")
    page.fill("input[name=password]", PASSWORD)
    page.click("button.primary")
    expect(page.locator(".notice-stop")).to_contain_text("Press STOP again")
    assert api.run(run)["state"] == "running"

    page.click(".stop-large")
    expect(page.locator(".receipt .marks li.done")).to_have_count(3)
    expect(page.locator(".runbar .mark")).to_have_text("Stopped")
    assert api.run(run)["outcome"] == "stopped"


def test_when_the_engine_is_away_every_page_says_so_and_runs_wait(browser: Browser, tmp_path: Path) -> None:
    server = start_server(tmp_path, CRUCIBLE_DOCKER_HOST=f"unix://{tmp_path}/nobody.sock")
    try:
        context = browser.new_context(base_url=server.url)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        sign_in_by_link(page, server.link)
        for path in ("/", "/new", "/evaluations", "/health"):
            page.goto(path)
            expect(page.locator(".banner-warn")).to_contain_text("The container engine does not answer")
        page.goto("/new")
        page.check("input[name=suite][value=chatter]")
        page.click("text=Start the evaluation")
        page.goto("/")
        expect(page.locator("#queue li")).to_have_count(1)
        expect(page.locator("#queue .stop")).to_be_visible()
        context.close()
    finally:
        end_server(server)


@pytest.mark.parametrize("path", ["/runs/999999", "/evaluations/999999", "/nowhere"])
def test_an_error_page_says_what_is_wrong_and_keeps_its_stop(open_page: Open, path: str) -> None:
    page = open_page(path, statuses=(404,))
    expect(page.locator("h1")).to_have_text("Not found")
    expect(page.locator("main b")).not_to_be_empty()
    expect(page.locator("#stop-all > summary")).to_be_visible()


def test_a_form_that_cannot_be_taken_says_what_where_and_keeps_what_was_written(open_page: Open) -> None:
    page = open_page("/new", statuses=(400,))
    page.check("input[name=suite][value=chatter]")
    page.fill("input[name='limits.memory_bytes']", "12 apples")
    page.click("text=Start the evaluation")
    expect(page.locator(".problem")).to_contain_text("memory_bytes cannot be read from '12 apples'")
    assert page.input_value("input[name='limits.memory_bytes']") == "12 apples"
    assert page.is_checked("input[name=suite][value=chatter]")
