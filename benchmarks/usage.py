"""What watching the usage of many sandboxes costs, beside `docker stats` of the same ones.

    python -m benchmarks.usage [--sandboxes 20] [--seconds 15] [--folder /a/disk]

Read: each sandbox ten times a second from its cgroup's files. Watched: the same, folded to a point a second, stored
and held against limits and rules, as the server does it. Shares are of one core, of processor time; "engine" is the
engine's process, which anything else on this machine may use too. Needs the base image.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path

import uvloop

from app.domain.events import LimitReached
from app.safety.watch import Watch
from app.settings import Settings
from app.store import runs, usage
from app.store.database import Database, sqlite_url
from app.store.usage import UsagePoint
from app.supervision.doorbell import Doorbell
from app.supervision.engine_disk import EngineDisk
from app.supervision.host_alerts import HostAlerts
from app.supervision.live_run import LiveRun
from app.supervision.recorder import Recorder
from app.supervision.runtimes import Runtimes
from app.supervision.usage_log import UsageLog
from app.supervision.usage_watch import FAST, WallClock, watch_usage
from app.supervision.workshop import Workshop
from benchmarks.output_path import IMAGE, cpu_of, engine_pid
from benchmarks.store import new_run
from sandbox_runner.docker_driver import DockerDriver
from sandbox_runner.driver import Sandbox, Usage
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import Role, SandboxSpec


@contextlib.asynccontextmanager
async def sandboxes(driver: DockerDriver, count: int, seconds: float) -> AsyncIterator[list[Sandbox]]:
    """That many, whose keepers wait for somebody long enough."""
    instance = f"benchmark-{secrets.token_hex(4)}"
    started: list[Sandbox] = []
    try:
        for number in range(count):
            spec = SandboxSpec(
                image=IMAGE, role=Role.AGENT, instance=instance, run=str(number + 1), grace_seconds=60 + 4 * seconds
            )
            started.append(await driver.start(spec))
        yield started
    finally:
        for sandbox in started:
            await kill_until_verified(driver, sandbox)


async def read_only(driver: DockerDriver, sandbox: Sandbox) -> None:
    while True:
        await driver.usage(sandbox)
        await asyncio.sleep(FAST)


async def watched(shop: Workshop, run: int, sandbox: Sandbox, times: list[float]) -> None:
    watch, live = Watch(), LiveRun(run=await runs.get(shop.db, run))

    def look(point: UsagePoint) -> None:
        watch.usage(point, live.run.limits)

    def stop(reached: LimitReached) -> None:
        raise SystemExit(f"a limit was reached: {reached}")

    async def see(reading: Usage) -> None:
        """A run looks at its reading for what was tried here."""
        times.append(reading.at)

    await watch_usage(shop, live, sandbox, clock=WallClock(), on_point=look, on_limit=stop, on_reading=see)


async def share(name: str, work: Sequence[Coroutine[object, object, None]], seconds: float, engine: int) -> None:
    """Run `work` for `seconds` and say what it costs."""
    tasks = [asyncio.create_task(each) for each in work]
    await asyncio.sleep(1.0)
    begun, cpu, engine_cpu = time.perf_counter(), time.process_time(), cpu_of(engine)
    await asyncio.sleep(seconds)
    took, cpu, engine_cpu = time.perf_counter() - begun, time.process_time() - cpu, cpu_of(engine) - engine_cpu
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError):
            raise SystemExit(f"{name}: ended early: {ended!r}")
    print(f"{name:42}{100 * cpu / took:9.2f} %{100 * engine_cpu / took:10.2f} %")


async def docker_stats(found: Sequence[Sandbox], seconds: float, engine: int) -> None:
    command = ("docker", "stats", "--format", "{{.CPUPerc}} {{.MemUsage}} {{.PIDs}}", *(each.id for each in found))
    stats = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    await asyncio.sleep(3.0)
    begun, engine_cpu, own = time.perf_counter(), cpu_of(engine), cpu_of(stats.pid)
    await asyncio.sleep(seconds)
    took, engine_cpu, own = time.perf_counter() - begun, cpu_of(engine) - engine_cpu, cpu_of(stats.pid) - own
    stats.kill()
    await stats.wait()
    print(f"{'docker stats, about once a second':42}{100 * own / took:9.2f} %{100 * engine_cpu / took:10.2f} %")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sandboxes", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each way is measured")
    parser.add_argument("--folder", type=Path, default=None, help="where to write; a real disk, not memory")
    chosen = parser.parse_args()
    engine, seconds = engine_pid(), chosen.seconds
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        db, driver, bell = await Database.open(sqlite_url(Path(name) / "data")), DockerDriver(), Doorbell()
        settings = Settings()
        recorder = Recorder(db, bell, batch_seconds=settings.batch_seconds, patience_seconds=settings.patience_seconds)
        shop = Workshop(
            driver=driver,
            db=db,
            settings=settings,
            doorbell=bell,
            recorder=recorder,
            usage=UsageLog(db, bell),
            instance="benchmark",
            runtimes=Runtimes(driver=driver, doorbell=bell, image=IMAGE, instance="benchmark"),
            disk=EngineDisk(
                driver,
                host=HostAlerts(db=db, doorbell=bell, group=asyncio.TaskGroup()),
                reserve_bytes=settings.engine_reserve_bytes,
            ),
        )
        ids = [await new_run(db) for _ in range(chosen.sandboxes)]
        async with sandboxes(driver, chosen.sandboxes, seconds) as found:
            print(f"{len(found)} sandboxes, {seconds:.0f} s each way; one-minute load {os.getloadavg()[0]:.1f}")
            print(f"{'':42}{'server':>11}{'engine':>12}")
            await share("nothing", [], seconds, engine)
            await share("read at 10 Hz", [read_only(driver, each) for each in found], seconds, engine)
            times: list[list[float]] = [[] for _ in found]
            work = [watched(shop, run, each, seen) for run, each, seen in zip(ids, found, times, strict=True)]
            work.append(shop.usage.run())
            await share("watched: folded, stored, held to limits", work, seconds, engine)
            points = [len(await usage.read(db, run)) for run in ids]
            print(f"{'points stored for each':42}{min(points):9}-{max(points)}")
            rates = [(len(seen) - 1) / (seen[-1] - seen[0]) for seen in times]
            print(f"{'readings a second of each':42}{min(rates):9.1f}-{max(rates):.1f}")
            await docker_stats(found, seconds, engine)
        await driver.close()
        await db.close()


if __name__ == "__main__":
    uvloop.run(main())  # the server's own loop
