"""A real server and a real browser that is signed in by the printed link."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, sync_playwright

from tests.browser.served import Server, end_server, start_server

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "a password for tests only"
#: Milliseconds an expectation may take: generous, the machine is shared. Nothing waits for it to pass.
PATIENCE = 30_000


@dataclass
class Api:
    """The JSON API with the server's own token; remembers runs to end them after the test."""

    client: httpx.Client
    started: list[int] = field(default_factory=list)

    def start(self, suite: str, **request: object) -> int:
        """Submit a suite of one task; its run."""
        answer = self.client.post("/evaluations", json={"suite": suite, **request})
        assert answer.status_code == 201, answer.text
        run: int = answer.json()["runs"][0]["id"]
        self.started.append(run)
        return run

    def run(self, run: int) -> dict[str, object]:
        found: dict[str, object] = self.client.get(f"/runs/{run}").json()
        return found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = start_server(tmp_path_factory.mktemp("server"))
    yield started
    end_server(started)


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=30) as client:
        api = Api(client)
        yield api
        for run in api.started:
            client.post(f"/runs/{run}/stop", json={"wait": True})


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def signed_in(server: Server, browser: Browser) -> StorageState:
    """The cookies of someone who opened the printed link and set a password."""
    context = browser.new_context(base_url=server.url)
    sign_in_by_link(context.new_page(), server.link)
    state = context.storage_state()
    context.close()
    return state


def sign_in_by_link(page: Page, link: str) -> None:
    page.goto(link)
    page.fill("input[name=password]", PASSWORD)
    page.fill("input[name=again]", PASSWORD)
    page.click("button.primary")
    page.wait_for_selector("#strip", state="attached")


Open = Callable[..., Page]


@pytest.fixture
def open_page(server: Server, browser: Browser, signed_in: StorageState) -> Iterator[Open]:
    """Pages in contexts of their own. Anything blocked, logged as an error or asked of others fails the test."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []
    expected: list[str] = []

    def watch(page: Page) -> None:
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda said: problems.append(f"console: {said.text}") if said.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: foreign(request.url))

    def foreign(url: str) -> None:
        own, other = urlsplit(server.url), urlsplit(url)
        by_the_warden = (other.hostname, other.path) == (own.hostname, "/stop")  # the second way of a STOP
        if not url.startswith((server.url, "data:")) and not by_the_warden:
            problems.append(f"foreign request: {url}")

    def open_page(path: str = "/", *, statuses: tuple[int, ...] = (), **options: object) -> Page:
        """`statuses`: answers that this test asks for, which the browser logs as errors."""
        expected.extend(f"status of {status} " for status in statuses)
        context = browser.new_context(**{"base_url": server.url, "storage_state": signed_in, **options})  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        watch(page)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [said for said in problems if not any(one in said for one in expected)] == []
