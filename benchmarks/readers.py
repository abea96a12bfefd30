"""How many can watch: readers over real sockets, beside a bare Starlette with sse-starlette that sends the same frames.

    python -m benchmarks.readers [--readers 1000] [--seconds 20] [--lines 100] [--frames 10] [--stalled 200]
                                 [--only fan,bare,many,stalled,end]

The server is a process of its own with its real store. Its runs are played by the fake driver, so that no container
takes part; all they print goes the whole way of output: relay with credit, lines, rules, recorder, chunks in SQLite.
Readers are processes of their own (`benchmarks/reading.py`), on the same cores: latencies are upper bounds. Delivery is
from the time in the frame's first line, taken when it was printed, to the arrival of the frame.

fan      every reader follows one run that prints `--lines` lines of 100 bytes a second, in `--frames` bursts; meanwhile
         others are stopped
bare     the reference: the very frames of fan, encoded once, at that rate, to as many readers, from memory
many     40 runs print 500 lines a second in all; 20 readers follow the wall and two runs each
stalled  readers that never read, beside twenty that do
end      from SIGTERM to the end of a server that all of them and `--stalled` that never read are connected to
"""

from __future__ import annotations

import argparse
import array
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.served import QUIET, one_frame

ROOT = Path(__file__).resolve().parents[1]
#: Processes that read.
CLIENTS = 2
#: The stream of run 1 as its page asks for it: after the lines that the page shows.
FROM_NOW = "/api/v1/runs/1/stream?after=0.{newest}.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server process under measurement."""

    url: str
    token: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def cpu(self) -> float:
        """Seconds of processor time so far, of all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss(self) -> int:
        """Bytes of memory."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def ask(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, f"/api/v1{path}", json.dumps(body), {"Authorization": f"Bearer {self.token}"})
            return json.loads(connection.getresponse().read())


@dataclass(slots=True, kw_only=True)
class Figures:
    """What one scenario came to."""

    name: str
    frames_a_second: float = 0.0
    cpu: float = 0.0  #: share of one core, in percent
    idle_cpu: float = 0.0  #: the same before anyone watched
    bytes_each: float = 0.0  #: memory of one reader
    delivery: Sequence[float] = ()  #: milliseconds
    posts: Sequence[float] = ()  #: milliseconds
    faults: dict[str, int] = field(default_factory=dict)  #: lines missing or twice, connections cut

    def tell(self) -> None:
        frames, each = f"{self.frames_a_second:,.0f}", f"{max(0.0, self.bytes_each) / 1000:.0f}"
        delivery, posts = f"{percentiles(self.delivery)} ms", f"{percentiles(self.posts)} ms"
        print(
            f"{self.name:10}{frames:>10}{self.cpu:>8.0f} %{self.idle_cpu:>8.0f} %{each:>9} kB{delivery:>18}{posts:>18}"
        )
        if any(self.faults.values()):
            print(f"{'':10}{self.faults}")


def percentiles(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "-"
    ordered = statistics.quantiles(values, n=100, method="inclusive")
    return f"{ordered[49]:.0f} / {ordered[98]:.0f}"


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "benchmarks.served", *arguments]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(20)
            started.kill()


def heard(process: subprocess.Popen[str]) -> Any:
    """What the process says next."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a process of the benchmark ended too early; its messages are above")
    return json.loads(line)


@contextlib.contextmanager
def server(*, printing: int, lines: int, seconds: float) -> Iterator[Served]:
    """A server at work: its runs are at it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        process("crucible", folder, str(printing), str(lines), str(seconds)) as started,
    ):
        said = heard(started)
        served = Served(url=said["url"], token=said["token"], process=started)
        served.ask("POST", "/evaluations", {"suite": "printers", "epochs": printing + QUIET})
        while len(served.ask("GET", "/runs?state=running&limit=1000")["runs"]) < printing + QUIET:
            time.sleep(0.1)
        yield served


def newest_line(served: Served) -> int:
    """Of run 1, where there is one."""
    return int(served.ask("GET", "/runs/1")["lines"]) if served.token else 0


@contextlib.contextmanager
def readers(served: Served, paths: Sequence[str], seconds: float) -> Iterator[list[subprocess.Popen[str]]]:
    """Readers of these paths, dealt to processes of their own; all of them are connected."""
    with contextlib.ExitStack() as stack:
        started = []
        for place in range(CLIENTS):
            argv = [sys.executable, "-m", "benchmarks.reading", str(served.port), served.token, str(seconds)]
            one = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(one.wait)
            stack.callback(one.kill)
            assert one.stdin is not None
            one.stdin.write(json.dumps({"paths": paths[place::CLIENTS], "newest": newest_line(served)}) + "\n")
            one.stdin.flush()
            started.append(one)
        for one in started:
            assert heard(one) == "connected"
        yield started


def measure(name: str, served: Served, paths: Sequence[str], *, seconds: float, stop: Sequence[int]) -> Figures:
    """Readers of `paths` for `seconds`, while these runs are stopped again and again."""
    figures = Figures(name=name)
    time.sleep(2.0)
    cpu = served.cpu()
    time.sleep(5.0)
    figures.idle_cpu = (served.cpu() - cpu) / 5.0 * 100
    with readers(served, list(paths[:20]), 0.0):
        time.sleep(5.0)  # What the first readers of anything cost is not the price of one more.
    before = served.rss()
    with readers(served, paths, seconds) as clients:
        time.sleep(3.0)  # What came before they did has reached them.
        figures.bytes_each = (served.rss() - before) / len(paths)
        cpu, begun = served.cpu(), time.monotonic()
        for client in clients:
            assert client.stdin is not None
            client.stdin.write("go\n")
            client.stdin.flush()
        figures.posts = stopped_again_and_again(served, stop, seconds)
        took = time.monotonic() - begun
        figures.cpu = (served.cpu() - cpu) / took * 100
        found = [heard(client) for client in clients]
    delivery = array.array("f")
    for each in found:
        with open(each["latencies"], "rb") as file:
            delivery.frombytes(file.read())
        os.unlink(each["latencies"])
    figures.delivery = [value * 1000 for value in delivery]
    figures.frames_a_second = len(delivery) / seconds
    figures.faults = {what: sum(each[what] for each in found) for what in ("missing", "twice", "cut")}
    return figures


def stopped_again_and_again(served: Served, runs: Sequence[int], seconds: float) -> list[float]:
    """Milliseconds of each POST, ten a second."""
    took, ends, count = [], time.monotonic() + seconds, 0
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    headers = {"Authorization": f"Bearer {served.token}", "Content-Type": "application/json"}
    with contextlib.closing(connection):
        while time.monotonic() < ends:
            begun = time.monotonic()
            connection.request("POST", f"/api/v1/runs/{runs[count % len(runs)]}/stop", "{}", headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise SystemExit(f"a stop was answered with {answer.status}")
            took.append((time.monotonic() - begun) * 1000)
            count += 1
            time.sleep(max(0.0, 0.1 - (time.monotonic() - begun)))
    return took


def fan(count: int, seconds: float, *, lines: int, every: float) -> Figures:
    with server(printing=1, lines=lines, seconds=every) as served:
        quiet = range(2, 2 + QUIET)
        return measure("fan", served, [FROM_NOW] * count, seconds=seconds, stop=quiet)


def bare(count: int, seconds: float, *, lines: int, every: float) -> Figures:
    with process("bare", str(lines), str(every)) as started:
        said = heard(started)
        served = Served(url=said["url"], token=said["token"], process=started)
        return measure("bare", served, ["/api/v1/runs/1/stream"] * count, seconds=seconds, stop=[2])


def many(seconds: float) -> Figures:
    with server(printing=40, lines=1, seconds=0.08) as served:
        quiet = range(41, 41 + QUIET)
        pairs = [(2 * place + 1, 2 * place + 2) for place in range(20)]
        paths = [f"/stream?wall=1&run={one}&after=0.0.0&run={other}&after=0.0.0" for one, other in pairs]
        return measure("many", served, paths, seconds=seconds, stop=quiet)


def stalled(count: int, seconds: float) -> Figures:
    """Twenty that read beside `count` that do not; how much memory those cost, and how soon they are let go."""
    with server(printing=1, lines=400, seconds=0.1) as served:
        before, streams = served.rss(), streams_of(served)
        with contextlib.ExitStack() as stack:
            stuck = [stack.enter_context(contextlib.closing(never_read(served))) for _ in range(count)]
            highest, begun, gone = before, time.monotonic(), 0.0
            while not gone and time.monotonic() - begun < 60:
                time.sleep(0.5)
                highest = max(highest, served.rss())
                if streams_of(served) <= streams:
                    gone = time.monotonic() - begun
            grown = (highest - before) / 1e6
            print(f"{'':10}{len(stuck)} never read: memory grew by {grown:.1f} MB, all let go after {gone:.0f} s")
            stuck += [stack.enter_context(contextlib.closing(never_read(served))) for _ in range(count)]
            return measure("stalled", served, [FROM_NOW] * 20, seconds=seconds, stop=range(2, 2 + QUIET))


def end(count: int, stuck: int, *, lines: int, every: float) -> None:
    """How long a server takes to end with streams open, and runs at work that it has to stop."""
    with (
        server(printing=1, lines=lines, seconds=every) as served,
        contextlib.ExitStack() as stack,
        readers(served, [FROM_NOW] * count, 60.0),
    ):
        for _ in range(stuck):
            stack.enter_context(contextlib.closing(never_read(served)))
        time.sleep(3.0)
        streams, begun = streams_of(served), time.monotonic()
        served.process.terminate()
        code = served.process.wait(60)
        took = time.monotonic() - begun
        open_now = f"{streams} streams open, {1 + QUIET} runs at work"
        print(f"{'end':10}{took:.2f} s from SIGTERM, exit code {code}, {open_now}")


def never_read(served: Served) -> socket.socket:
    """A reader that asks for a stream and then reads nothing."""
    one = socket.create_connection(("127.0.0.1", served.port))
    head = f"GET /api/v1/runs/1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {served.token}\r\n\r\n"
    one.sendall(head.encode())
    return one


def streams_of(served: Served) -> int:
    found: int = served.ask("GET", "/health")["streams"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--stalled", type=int, default=200)
    parser.add_argument("--lines", type=int, default=100, help="lines a second of the run that all follow; 100")
    parser.add_argument("--frames", type=int, default=10, help="bursts, and so frames, a second they come in; 10")
    parser.add_argument("--only", default="fan,bare,many,stalled,end", help="some of the five, with commas")
    chosen = parser.parse_args()
    lines, every = max(1, chosen.lines // chosen.frames), 1 / chosen.frames
    scenarios: dict[str, Callable[[], None]] = {
        "fan": lambda: fan(chosen.readers, chosen.seconds, lines=lines, every=every).tell(),
        "bare": lambda: bare(chosen.readers, chosen.seconds, lines=lines, every=every).tell(),
        "many": lambda: many(chosen.seconds).tell(),
        "stalled": lambda: stalled(chosen.stalled, chosen.seconds).tell(),
        "end": lambda: end(chosen.readers, chosen.stalled, lines=lines, every=every),
    }
    size = len(one_frame(lines, 1))
    load = os.getloadavg()[0]
    print(f"{chosen.readers} readers; {lines} lines, {size} bytes a frame; one-minute load {load:.1f} before")
    columns = f"{'frames/s':>10}{'CPU':>10}{'unwatched':>10}{'each':>12}{'delivery 50/99':>18}{'POST 50/99':>18}"
    print(f"{'':10}{columns}")
    for name in chosen.only.split(","):
        scenarios[name]()


if __name__ == "__main__":
    main()
