"""From a line's print in a sandbox to its row in a browser's page; and what a burst does to the page.

    python -m benchmarks.page [--seconds 20] [--runs 40] [--only latency|burst|many]

A real server, engine and Chromium. Beside each figure stands a bare page that appends the same rows from a plain
EventSource, whose server prints by itself: no sandbox, no store, nothing kept. Rows count when they are in the
document. Of a burst's longest task the processor time is told as well: what it would take on a machine to itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.served import Server, end_server, start_server

BURST = 40_000
READERS = 20
ROUNDS = 3
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]

#: Each line: its place and when it was printed.
METRONOME = """
import time
begun = time.time()
for number in range(1, 1_000_000):
    print(number, f"{time.time():.6f} a line of ordinary length, as agents print them all day", flush=True)
    time.sleep(max(0, begun + number * PAUSE - time.time()))
"""
BURSTS = """
import time
for _ in range(ROUNDS):
    time.sleep(8)
    lines = [f"{n} {time.time():.6f} a line of ordinary length, as agents print them" for n in range(1, BURST)]
    print("\\n".join(lines), flush=True)
    print(BURST, f"{time.time():.6f} the last one of the burst", flush=True)
time.sleep(600)
"""
#: Notes when each row came, and the longest time between two pictures.
WATCH = """(rows) => {
  const now = () => performance.timeOrigin + performance.now();
  const seen = (window.seen = { rows: [], longest: 0, task: 0, most: 0 });
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) seen.task = Math.max(seen.task, duration);
  }).observe({ type: "longtask" });
  new MutationObserver((changes) => {
    const at = now();
    for (const { addedNodes } of changes) {
      for (const row of addedNodes) {
        const found = /(\\d+) (\\d{10}\\.\\d+) /.exec(row.querySelector?.(".tx")?.textContent ?? "");
        if (found) seen.rows.push([Number(found[1]), Number(found[2]) * 1000, at]);
      }
    }
    seen.most = Math.max(seen.most, rows.childElementCount);
  }).observe(rows, { childList: true });
  let before = performance.now();
  const picture = (at) => {
    seen.longest = Math.max(seen.longest, at - before);
    before = at;
    requestAnimationFrame(picture);
  };
  requestAnimationFrame(picture);
}"""
BARE = """<!doctype html><meta charset=utf-8><style>
#log-scroll { height: 600px; overflow: auto; font: 14px/1.5 monospace } .no { display: inline-block; width: 5em }
</style><div id=log-scroll><div id=log-rows></div></div><script>
let due = 0;
const rows = document.getElementById("log-rows"), scroll = document.getElementById("log-scroll");
new EventSource("/events" + location.search).onmessage = ({ data }) => {
  const row = document.createElement("div"), place = document.createElement("a"), text = document.createElement("span");
  row.className = "ln"; place.className = "no"; text.className = "tx";
  place.textContent = data.split(" ", 1)[0]; text.textContent = data;
  row.append(place, text); rows.append(row);
  due ||= requestAnimationFrame(() => { due = 0; scroll.scrollTop = scroll.scrollHeight; });
};
</script>"""


class Bare(BaseHTTPRequestHandler):
    """`/` the page, `/events?pause=0.01` a line each pause, `/events?burst` many at once after a while."""

    protocol_version = "HTTP/1.0"
    text: ClassVar[str] = "a line of ordinary length, as agents print them all day"

    def do_GET(self) -> None:
        events = self.path.startswith("/events")
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if events else "text/html")
        self.end_headers()
        if not events:
            self.wfile.write(BARE.encode())
            return
        with contextlib.suppress(OSError):
            self._burst() if "burst" in self.path else self._lines(float(self.path.split("=")[1]))

    def _lines(self, pause: float) -> None:
        begun = time.time()
        for number in range(1, 1_000_000):
            self.wfile.write(f"data: {number} {time.time():.6f} {self.text}\n\n".encode())
            time.sleep(max(0.0, begun + number * pause - time.time()))

    def _burst(self) -> None:
        time.sleep(3)
        lines = [f"data: {number} {time.time():.6f} {self.text}\n\n" for number in range(1, BURST + 1)]
        self.wfile.write("".join(lines).encode())
        time.sleep(600)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def bare_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bare)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


def written(folder: Path, name: str, program: str) -> None:
    """A suite of one task with an agent that is this program."""
    agent = folder / "suites" / "agents" / name
    agent.mkdir(parents=True)
    (agent / "agent.yaml").write_text(f"title: {name}\ndescription: For a benchmark.\n")
    (agent / "main.py").write_text(program)
    limits = "{wall_seconds: 30m, output_bytes: 1g, memory_bytes: 128m}"
    task = f"  - task: counting/short\n    agent: {name}\n    limits: {limits}\n"
    (folder / "suites" / f"{name}.yaml").write_text(f"title: {name}\ndescription: For a benchmark.\ntasks:\n{task}")


def asked(server: Server, method: str, path: str, body: object = None) -> Any:
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}/api/v1{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def started(server: Server, suite: str, *, runs: int = 1) -> list[int]:
    answer = asked(server, "POST", "/evaluations", {"suite": suite, "epochs": runs})
    return [run["id"] for run in answer["runs"]]


def ended(server: Server, runs: Sequence[int]) -> None:
    for run in runs:
        asked(server, "POST", f"/runs/{run}/stop", {"wait": True})


def signed_in(browser: Browser, server: Server) -> Page:
    page = browser.new_context(viewport={"width": 1600, "height": 1000}).new_page()
    page.set_default_timeout(300_000)
    page.goto(server.link)
    page.fill("input[name=password]", "a password for this benchmark")
    page.fill("input[name=again]", "a password for this benchmark")
    page.click("button.primary")
    page.wait_for_selector("#strip", state="attached")
    return page


def watched(page: Page) -> None:
    page.locator("#log-rows").evaluate(WATCH)


def delays(page: Page, seconds: float) -> list[float]:
    """Milliseconds from print to row, of the lines that came in this time."""
    watched(page)
    page.wait_for_timeout(seconds * 1000)
    return sorted(at - printed for _, printed, at in page.evaluate("seen.rows"))


def said(what: str, found: Sequence[float]) -> None:
    p50, p99 = statistics.median(found), found[min(len(found) - 1, int(len(found) * 0.99))]
    print(f"{what:44}{len(found):8,}{p50:9.1f}{p99:9.1f}{found[-1]:9.1f}", flush=True)


def latency(page: Page, bare: Page, server: Server, reference: str, seconds: float) -> None:
    print(f"\n{'print to row, 100 lines/s':44}{'lines':>8}{'p50 ms':>9}{'p99 ms':>9}{'most':>9}")
    runs = started(server, "metronome")
    page.goto(f"{server.url}/runs/{runs[0]}")
    page.wait_for_selector(".ln >> nth=100", state="attached")
    said("this page (target 60, 150)", delays(page, seconds))
    ended(server, runs)
    bare.goto(f"{reference}/?pause=0.01")
    bare.wait_for_selector(".ln >> nth=100", state="attached")
    said("bare EventSource", delays(bare, seconds))
    bare.goto("about:blank")


def burst(page: Page, bare: Page, server: Server, reference: str) -> None:
    head = f"{'s':>7}{'from 1st row':>14}{'rows':>8}{'longest frame ms':>18}{'task ms':>9}{'its CPU ms':>12}"
    print(f"\n{f'a burst of {BURST:,} lines':30}{head}")
    runs = started(server, "bursts")
    page.goto(f"{server.url}/runs/{runs[0]}")
    page.wait_for_selector("#panel[data-state=running]", state="attached")
    watched(page)
    for _ in range(ROUNDS):
        page.evaluate("Object.assign(seen, { rows: [], longest: 0, task: 0, most: 0 })")
        burst_said("this page (1.5 s, 100 ms)", page)
    ended(server, runs)
    bare.goto(f"{reference}/?burst")
    watched(bare)
    burst_said("bare EventSource", bare)
    bare.goto("about:blank")


def burst_said(what: str, page: Page) -> None:
    browser = page.context.browser
    assert browser is not None
    browser.start_tracing(page=page, categories=["toplevel", "disabled-by-default-devtools.timeline"])
    page.wait_for_function(f"() => seen.rows.some(([number]) => number === {BURST})")
    page.wait_for_timeout(500)
    cpu = longest_cpu(json.loads(browser.stop_tracing())["traceEvents"])
    seen = page.evaluate("seen")
    last = next(at for number, _, at in seen["rows"] if number == BURST)
    printed = min(printed for _, printed, _ in seen["rows"])
    first = min(at for _, _, at in seen["rows"])
    took, arriving = (last - printed) / 1000, (last - first) / 1000
    slowest = f"{seen['longest']:18.0f}{seen['task']:9.0f}{cpu:12.0f}"
    print(f"{what:30}{took:7.2f}{arriving:14.2f}{seen['most']:8,}{slowest}", flush=True)


def longest_cpu(events: Sequence[Any]) -> float:
    """Milliseconds of processor time of the longest task of a page's main thread."""
    mains = {(e["pid"], e["tid"]) for e in events if e["args"].get("name") == "CrRendererMain"}
    return max((e["tdur"] / 1000 for e in events if (e["pid"], e["tid"]) in mains and "tdur" in e), default=0.0)


class Reader(threading.Thread):
    """Reads a stream like a program would, for as long as it comes."""

    def __init__(self, url: str, token: str = "") -> None:
        super().__init__(daemon=True)
        self._request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
        self.bytes = 0

    def run(self) -> None:
        with contextlib.suppress(OSError), urllib.request.urlopen(self._request, timeout=60) as answer:
            while data := answer.read1(65536):
                self.bytes += len(data)


def reading(urls: Sequence[str], token: str = "") -> list[Reader]:
    readers = [Reader(url, token) for url in urls]
    for reader in readers:
        reader.start()
    return readers


def many(page: Page, bare: Page, server: Server, reference: str, runs: int, seconds: float) -> None:
    print(
        f"\n{f'{runs} runs, 500 lines/s in all, {READERS} readers':44}{'lines':>8}{'p50 ms':>9}{'p99 ms':>9}{'most':>9}"
    )
    all_runs = started(server, "shared", runs=runs)
    while not all(asked(server, "GET", f"/runs/{run}")["lines"] > 20 for run in all_runs):
        time.sleep(1)
    streams = [f"{server.url}/api/v1/runs/{all_runs[place % runs]}/stream" for place in range(READERS)]
    readers = reading(streams, server.token)
    found: list[float] = []
    for run in all_runs[:3]:
        page.goto(f"{server.url}/runs/{run}")
        page.wait_for_selector(".ln >> nth=20", state="attached")
        found += delays(page, seconds)
    said("this page, three of the runs (target p99 300)", sorted(found))
    page.goto("about:blank")
    print(f"{f'bytes read by the {READERS} readers':44}{sum(reader.bytes for reader in readers):8,}", flush=True)
    asked(server, "POST", "/stop-all", {"text": "the benchmark is over"})
    # The same rate to as many readers, printed by the server itself: no sandbox runs beside it.
    pause = runs / 500
    reading([f"{reference}/events?pause={pause}"] * READERS)
    bare.goto(f"{reference}/?pause={pause}")
    bare.wait_for_selector(".ln >> nth=20", state="attached")
    said(f"bare EventSource, {READERS} readers, no sandboxes", delays(bare, seconds))
    bare.goto("about:blank")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=40, help="runs at once, each in its own sandbox")
    parser.add_argument("--only", choices=["latency", "burst", "many"])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        server = start_server(folder, CRUCIBLE_SLOTS=str(chosen.runs))
        stack.callback(end_server, server)
        written(folder, "metronome", METRONOME.replace("PAUSE", "0.01"))
        written(folder, "shared", METRONOME.replace("PAUSE", str(chosen.runs / 500)))
        written(folder, "bursts", BURSTS.replace("BURST", str(BURST)).replace("ROUNDS", str(ROUNDS)))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        stack.callback(browser.close)
        page, bare = signed_in(browser, server), browser.new_context().new_page()
        bare.set_default_timeout(300_000)
        reference = stack.enter_context(bare_server())
        print(f"{os.cpu_count()} cores, one-minute load {os.getloadavg()[0]:.1f}")
        if chosen.only in (None, "latency"):
            latency(page, bare, server, reference, chosen.seconds)
        if chosen.only in (None, "burst"):
            burst(page, bare, server, reference)
        if chosen.only in (None, "many"):
            many(page, bare, server, reference, chosen.runs, chosen.seconds)


if __name__ == "__main__":
    main()
