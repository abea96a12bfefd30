"""Four bombs at once beside a quiet run, on real containers: what the host, the server and the quiet run notice.

    python -m benchmarks.bombs

A server of its own on a free port. The same figures are taken first with the quiet run alone, so that a busy machine
is seen as one: compare the two columns. Then twenty tries to reach a network, one every 1.5 s: how long until each was
an event.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from tests.docker.house import FAMILY
from tests.docker.test_bombs import BOMBS
from tests.docker.test_detection import BENIGN, TRIES

ROOT = Path(__file__).resolve().parent.parent
BEAT = 0.05
QUIET = f"""\
import time
for number in range(200):
    print("beat", number, flush=True)
    time.sleep({BEAT})
"""
LIMITS = {
    "memory_bytes": "128m",
    "disk_bytes": "16m",
    "pids": 64,
    "cpus": 0.4,
    "output_bytes": "16m",
    "wall_seconds": 90,
}


def lay_out(folder: Path) -> Path:
    suites = folder / "suites"
    agents = {**BOMBS, "quiet": QUIET, "caller": f"PAUSE = 1.5\n{TRIES}", "benign": BENIGN}
    files = {"families/stage/stage.py": FAMILY, **{f"agents/{name}/main.py": text for name, text in agents.items()}}
    for name, members in {
        "alone": ["quiet"],
        "bombs": [*BOMBS, "quiet"],
        "calls": ["caller"],
        "benign": ["benign"],
    }.items():
        tasks = "".join(f"  - {{task: stage/act, agent: {agent}}}\n" for agent in members)
        files[f"{name}.yaml"] = f"title: {name}\ndescription: A benchmark.\ntasks:\n{tasks}"
    for path, text in files.items():
        (suites / path).parent.mkdir(parents=True, exist_ok=True)
        (suites / path).write_text(text)
    return suites


def available() -> int:
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))


async def watch_host(client: httpx.AsyncClient, over: asyncio.Event) -> tuple[list[float], int]:
    """Milliseconds of /healthz ten times a second, and the least memory available."""
    took: list[float] = []
    least = available()
    while not over.is_set():
        begun = time.perf_counter()
        await client.get("/healthz")
        took.append((time.perf_counter() - begun) * 1000)
        least = min(least, available())
        await asyncio.sleep(0.1)
    return took, least


async def play(client: httpx.AsyncClient, suite: str) -> Mapping[str, Any]:
    """Every run of the suite to its end, by its agent."""
    answer = await client.post("/api/v1/evaluations", json={"suite": suite, "limits": LIMITS})
    answer.raise_for_status()
    runs = {run["agent"]: run["id"] for run in answer.json()["runs"]}
    ended: dict[str, Any] = {}
    while len(ended) < len(runs):
        await asyncio.sleep(0.5)
        for agent, run in runs.items():
            found = (await client.get(f"/api/v1/runs/{run}")).json()
            if found["state"] == "ended":
                ended[agent] = found
    return ended


async def lines_of(client: httpx.AsyncClient, run: int) -> list[dict[str, Any]]:
    answer = await client.get(f"/api/v1/runs/{run}/output", params={"after": 0, "limit": 1000})
    return [json.loads(line) for line in answer.text.splitlines()]


async def events_of(client: httpx.AsyncClient, run: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get(f"/api/v1/runs/{run}/events")).json()["events"]
    return found


async def measure(client: httpx.AsyncClient, suite: str) -> Mapping[str, Any]:
    before, over = available(), asyncio.Event()
    watching = asyncio.create_task(watch_host(client, over))
    ended = await play(client, suite)
    over.set()
    took, least = await watching
    beats = [line["at"] for line in await lines_of(client, ended["quiet"]["id"])]
    gaps = [after - at for at, after in pairwise(beats)]
    print(f"\n{suite}")
    p95, left = sorted(took)[len(took) * 95 // 100], least / before
    print(f"  /healthz            median {statistics.median(took):7.1f} ms   p95 {p95:7.1f} ms")
    print(f"  memory available    {least / 2**20:7.0f} MiB at least, {left:.0%} of what was before")
    print(f"  quiet run's beats   {len(beats)} of 200, widest gap {max(gaps):.2f} s")
    for agent, run in ended.items():
        print(f"  {agent:18}  {run['outcome']}: {run['detail']}")
    return ended


async def calls(client: httpx.AsyncClient) -> None:
    run = (await play(client, "calls"))["caller"]["id"]
    tries = [line["at"] for line in await lines_of(client, run) if line.get("text", "").startswith("try")]
    told = [event["at"] for event in await events_of(client, run) if event["kind"] == "NetworkAttempted"]
    late = [min((at - tried for at in told if at >= tried), default=float("inf")) for tried in tries]
    within = [seconds for seconds in late if seconds <= 2.0]
    print(f"\ntries to reach a network: {len(within)} of {len(tries)} an event within 2 s", end="; ")
    print(f"median {statistics.median(within):.2f} s, slowest of those {max(within):.2f} s; {len(told)} events")


async def benign(client: httpx.AsyncClient) -> None:
    """Twenty runs of a program that keeps to itself."""
    answer = await client.post("/api/v1/evaluations", json={"suite": "benign", "epochs": 20})
    answer.raise_for_status()
    runs = [run["id"] for run in answer.json()["runs"]]
    waiting = set(runs)
    while waiting:
        await asyncio.sleep(0.5)
        waiting = {run for run in waiting if (await client.get(f"/api/v1/runs/{run}")).json()["state"] != "ended"}
    outcomes = {(await client.get(f"/api/v1/runs/{run}")).json()["outcome"] for run in runs}
    told = [event["kind"] for run in runs for event in await events_of(client, run)]
    seen = sum(told.count(kind) for kind in ("NetworkAttempted", "HoneytokenTouched", "AlertRaised"))
    print(f"benign runs: {len(runs)} ended as {', '.join(sorted(outcomes))}; {seen} findings in all of them")


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clean = {key: value for key, value in os.environ.items() if not key.startswith("CRUCIBLE_")}
        own = {"CRUCIBLE_DATA": f"{name}/data", "CRUCIBLE_SUITES": str(lay_out(folder)), "CRUCIBLE_PORT": "0"}
        crucible = str(Path(sys.executable).parent / "crucible")
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(  # noqa: ASYNC220 - before anything is measured
                [crucible, "serve"], env={**clean, **own, "CRUCIBLE_SLOTS": "5"}, cwd=ROOT, stdout=log, stderr=log
            )
        try:
            address = folder / "data" / "server.json"
            while not address.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.1)
            told = json.loads(address.read_text())
            headers = {"Authorization": f"Bearer {told['token']}"}
            async with httpx.AsyncClient(base_url=told["url"], headers=headers, timeout=60, trust_env=False) as client:
                await measure(client, "alone")
                await measure(client, "bombs")
                await calls(client)
                await benign(client)
        finally:
            server.terminate()
            server.wait(60)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    asyncio.run(main())
