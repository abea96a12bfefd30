"""Takes the pictures of docs/pages.md and the README from a real server that plays the demo suite.

Usage: python docs/images/take.py     (in the virtual environment; needs Chromium and a Docker Engine)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

import httpx  # noqa: E402
from playwright.sync_api import Browser, Page, StorageState, sync_playwright  # noqa: E402

from tests.browser.conftest import CHROMIUM, FLAGS, sign_in_by_link  # noqa: E402
from tests.browser.served import Server, end_server, start_server  # noqa: E402

LOOKS = {"wide-light": (1400, 900, "light"), "wide-dark": (1400, 900, "dark"), "narrow-dark": (390, 844, "dark")}
REPLICATOR = "replication/spread"
LONG = "counting/survey"
FOLLOWS = '#fresh[data-state="live"]'


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = start_server(Path(folder), CRUCIBLE_SUITES=str(ROOT / "suites"))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            take_all(server, browser)
        finally:
            browser.close()
            end_server(server)


def take_all(server: Server, browser: Browser) -> None:
    door = browser.new_page(base_url=server.url, viewport={"width": 1400, "height": 900})
    door.goto(server.link)
    shoot(door, "welcome-wide-light")
    sign_in_by_link(door, server.link)
    door.wait_for_selector(FOLLOWS)
    door.wait_for_selector("#stop-path >> text=stop path OK")
    shoot(door, "wall-empty-wide-light")
    signed_in = door.context.storage_state()
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=30) as api:
        found = api.post("/evaluations", json={"suite": "demo"}).json()
    evaluation = found["evaluation"]["id"]
    ids = {run["task"]: run["id"] for run in found["runs"]}
    run = ids[REPLICATOR]

    # The picture of the README: a run in the middle of its work, with findings.
    page = open_page(browser, server, signed_in, "wide-light", f"/runs/{run}")
    page.wait_for_selector("#L16")
    page.wait_for_selector("#alerts .alert >> nth=4")
    shoot(page, "run-page")
    moving = {"wall": "/", "run": f"/runs/{run}", "evaluation": f"/evaluations/{evaluation}"}
    take(browser, server, signed_in, moving)
    page = open_page(browser, server, signed_in, "wide-light", f"/runs/{ids[LONG]}")
    page.click(".stop-large")
    page.wait_for_selector(".receipt .marks li.done >> nth=2")
    shoot(page, "run-stopped-wide-light")

    still = {"new": "/new", "evaluations": "/evaluations", "alerts": "/alerts", "health": "/health", "audit": "/audit"}
    take(browser, server, signed_in, {**still, "account": "/account"})
    take(browser, server, None, {"sign-in": "/sign-in"})


def take(browser: Browser, server: Server, signed_in: StorageState | None, paths: dict[str, str]) -> None:
    for name, path in paths.items():
        for look in LOOKS:
            page = open_page(browser, server, signed_in, look, path)
            shoot(page, f"{name}-{look}")
            page.context.close()


def open_page(browser: Browser, server: Server, signed_in: StorageState | None, look: str, path: str) -> Page:
    width, height, theme = LOOKS[look]
    context = browser.new_context(
        base_url=server.url,
        storage_state=signed_in,
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
    )
    page = context.new_page()
    page.goto(path)
    if signed_in:
        page.wait_for_selector(FOLLOWS)
    return page


def shoot(page: Page, name: str) -> None:
    page.evaluate("document.getElementById('say').textContent = ''")
    page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    page.screenshot(path=HERE / f"{name}.png")
    sys.stdout.write(f"{name}.png  {(HERE / f'{name}.png').stat().st_size // 1024} kB\n")


if __name__ == "__main__":
    main()
