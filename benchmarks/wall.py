"""A wall of 300 runs: its page, one changed card on its way to a reader, and the server's CPU while people watch.

    python -m benchmarks.wall [--runs 300] [--readers 20] [--changes 10] [--seconds 15]

The server is in this process with SQLite on disk and no containers; the readers are another process. References of the
same run: the same number of rows from a bare template loop, a page with the header alone (/account), and the same
changes written and rung while nobody watches. CPU is processor time of this process, so what else runs here counts
little; waiting times are upper bounds on a busy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from jinja2 import Environment

from app.domain.limits import RunLimits
from app.domain.runs import EvaluationRequest, Phase, PlannedRun, Policy, RunState
from app.main import create_app
from app.settings import ROOT, Settings
from app.store import accounts, hold, output, runs, usage
from app.store.database import Database
from app.store.output import StoredLine
from app.store.usage import UsagePoint
from app.web.server import Server
from sandbox_runner.fake_driver import FakeDriver
from sandbox_runner.fake_script import FakeKnobs

ROUNDS = 15
SECRET = "s" * 43
BARE = "{% for run in runs %}<p><a href='/runs/{{ run.id }}'>{{ run.task_id }}</a> {{ run.state }}</p>{% endfor %}"


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[str, Any]]:
    """A server on a free port; its address and its state."""
    settings = Settings(data=folder / "data", suites=ROOT / "suites", slots=1000)
    app = create_app(settings, driver=FakeDriver(FakeKnobs()))
    server = Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=3))
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", server.lifespan.state
    finally:
        server.should_exit = True
        await task


async def fill(db: Database, count: int) -> list[int]:
    """Runs at work, each with a minute of usage and some lines."""
    chance, now = random.Random(1), time.time()
    plans = [
        PlannedRun(
            suite="demo", family="counting", task=f"t{n % 40}", agent="talker", model=None, epoch=1,
            limits=RunLimits(), policy=Policy.NOTIFY,
        )
        for n in range(count)
    ]  # fmt: skip
    _, made = await runs.submit(db, EvaluationRequest(suite="demo"), plans, actor="admin", at=now)
    for run in made:
        for before, after in ((RunState.QUEUED, RunState.STARTING), (RunState.STARTING, RunState.RUNNING)):
            await runs.transition(db, run.id, before, after, at=now)
        await runs.enter_phase(db, run.id, Phase.AGENT, at=now)
        await usage.append(db, run.id, [_point(n, now - 60 + n, chance) for n in range(1, 61)])
        lines = [StoredLine(number=n, at=now, stream=1, data=b"step %d of many" % n, complete=True) for n in (1, 2, 3)]
        await output.append(db, run.id, lines)
    return [run.id for run in made]


def _point(seq: int, at: float, chance: random.Random) -> UsagePoint:
    cores, memory = chance.random(), chance.randint(10**7, 4 * 10**8)
    return UsagePoint(seq=seq, at=at, cpu_mean=cores, cpu_max=cores, memory_bytes=memory, pids=5)


class Writer:
    """Changes runs one after another, each with one point of usage and one line, and rings."""

    def __init__(self, state: Any, ids: Sequence[int]) -> None:
        self._state = state
        self._ids = ids
        self._at = 0
        self._chance = random.Random(2)

    async def change(self) -> int:
        round_, place = divmod(self._at, len(self._ids))
        self._at += 1
        run, db, now = self._ids[place], self._state["db"], time.time()
        await usage.append(db, run, [_point(61 + round_, now, self._chance)])
        line = StoredLine(number=4 + round_, at=now, stream=1, data=b"a new line", complete=True)
        await output.append(db, run, [line])
        self._state["supervisor"].doorbell.ring(run)
        return run


async def median_ms(act: Callable[[], Awaitable[object]], rounds: int = ROUNDS) -> float:
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await act()
        took.append(time.perf_counter() - begun)
    return 1000 * statistics.median(took)


def read_for_ever(url: str, readers: int) -> None:
    """Another process: so many walls, each reading what comes."""

    async def read(client: httpx.AsyncClient) -> None:
        async with client.stream("GET", "/stream?wall=1", timeout=None) as answer:
            async for _ in answer.aiter_raw():
                pass

    async def all_of_them() -> None:
        limits = httpx.Limits(max_connections=readers + 1)
        async with httpx.AsyncClient(base_url=url, cookies={"crucible": SECRET}, limits=limits) as client:
            await asyncio.gather(*(read(client) for _ in range(readers)))

    asyncio.run(all_of_them())


async def cpu_of(changes: Callable[[], Awaitable[object]] | None, per_second: float, seconds: float) -> float:
    """Part of one core this process uses meanwhile."""
    begun, used = time.perf_counter(), time.process_time()
    until = begun + seconds
    while (now := time.perf_counter()) < until:
        if changes is not None:
            await changes()
        await asyncio.sleep(max(0.0, 1 / per_second - (time.perf_counter() - now)))
    return (time.process_time() - used) / (time.perf_counter() - begun)


async def one_card(client: httpx.AsyncClient, writer: Writer) -> tuple[float, float]:
    """From the ring to the frame at the reader, in ms: median, and the size of the frame."""
    took, sizes = [], []
    async with client.stream("GET", "/stream?wall=1", timeout=30) as answer:
        lines = answer.aiter_lines()
        async for line in lines:
            if line == "event: queue":
                break
        for _ in range(ROUNDS):
            await asyncio.sleep(0.7)  # Apart from each other: what is measured is one change.
            run = await writer.change()
            begun = time.perf_counter()
            async for line in lines:
                if line.startswith(f'data: {{"run":{run},'):
                    break
            took.append(time.perf_counter() - begun)
            sizes.append(len(line))
    return 1000 * statistics.median(took), statistics.median(sizes)


async def measure(options: argparse.Namespace, folder: Path) -> None:
    async with serving(folder) as (url, state):
        db = state["db"]
        await hold.set_hold(db, actor="benchmark", text="nothing starts", at=time.time())
        user = await accounts.administrator(db)
        await accounts.create_session(db, user.id, SECRET, "c" * 43, expires_at=time.time() + 3600)
        ids = await fill(db, options.runs)
        writer = Writer(state, ids)
        async with httpx.AsyncClient(base_url=url, cookies={"crucible": SECRET}, timeout=60) as client:
            cold = await median_ms(lambda: client.get("/"), 1)
            warm = await median_ms(lambda: client.get("/"))
            size = len((await client.get("/")).content)
            filtered = await median_ms(lambda: client.get("/?q=t7&sort=cpu"))
            header = await median_ms(lambda: client.get("/account"))
            found = await runs.select(db, limit=options.runs)
            bare = Environment(autoescape=True).from_string(BARE)

            async def loop() -> None:
                bare.render(runs=found)

            reference = await median_ms(loop)
            print(f"page of {options.runs} runs, cold          {cold:8.1f} ms   {size / 1000:.0f} kB")
            print(
                f"page, nothing changed            {warm:8.1f} ms   ({warm / header:.1f} x a page of the header alone)"
            )
            print(f"page, filtered and sorted        {filtered:8.1f} ms")
            print(f"page of the header alone         {header:8.1f} ms   (reference)")
            print(f"bare template loop, no store     {reference:8.1f} ms   (reference)")
            way, bytes_ = await one_card(client, writer)
            print(f"one changed card, ring to reader {way:8.1f} ms   {bytes_:.0f} bytes")
        quiet = await cpu_of(writer.change, options.changes, options.seconds)
        print(f"CPU, {options.changes}/s changes, nobody watches  {quiet:6.1%} of a core   (reference)")
        process = multiprocessing.get_context("spawn").Process(target=read_for_ever, args=(url, options.readers))
        process.start()
        try:
            while state["feeds"].readers < options.readers:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            await asyncio.sleep(3)
            still = await cpu_of(None, 10, options.seconds)
            busy = await cpu_of(writer.change, options.changes, options.seconds)
            print(f"CPU, no change, {options.readers} readers         {still:6.1%} of a core")
            watched = f"CPU, {options.changes}/s changes, {options.readers} readers"
            print(f"{watched}    {busy:6.1%} of a core   ({busy / quiet:.1f} x)")
            all_busy = await cpu_of(writer.change, len(ids), options.seconds)
            print(f"CPU, each run once a second      {all_busy:6.1%} of a core   (asked for {len(ids)}/s)")
        finally:
            process.terminate()
            process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--readers", type=int, default=20)
    parser.add_argument("--changes", type=int, default=10, help="changed cards a second")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement of CPU")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(options, Path(folder)))


if __name__ == "__main__":
    main()
