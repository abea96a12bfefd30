"""SIGTERM with open streams: a farewell on each, then the process ends by itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from app.settings import ROOT, Settings

#: A hang guard, not a figure: benchmarks measure.
GUARD = 20.0
STREAMS = 20


@contextlib.asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, str]]:
    """`crucible serve --fake` as a process of its own: its address and the command line's token."""
    environment = {
        "PATH": os.environ["PATH"],
        "CRUCIBLE_DATA": str(settings.data),
        "CRUCIBLE_SUITES": str(settings.suites),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from app.cli import main; main()", "serve", "--fake", "--port", "0"),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        file = settings.data / "server.json"
        async with asyncio.timeout(GUARD):
            while not file.exists():
                assert process.returncode is None
                await asyncio.sleep(0.05)
        address = json.loads(Path(file).read_text())
        yield process, address["url"], address["token"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_sigterm_with_open_streams_says_goodbye_and_ends(settings: Settings) -> None:
    async with served(settings) as (process, url, token):
        headers = {"authorization": f"Bearer {token}"}
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=GUARD, limits=limits) as client:
            made = await client.post("/api/v1/evaluations", json={"suite": "tiny", "tasks": ["tiny/one"]})
            assert made.status_code == 201
            ready = [asyncio.Event() for _ in range(STREAMS)]

            async def watch(place: int) -> str:
                text = ""
                async with client.stream("GET", "/api/v1/runs/1/stream") as answer:
                    with contextlib.suppress(httpx.RemoteProtocolError):  # How a cut answer ends.
                        async for chunk in answer.aiter_text():
                            text += chunk
                            ready[place].set()
                return text

            async with asyncio.timeout(2 * GUARD), asyncio.TaskGroup() as group:
                watching = [group.create_task(watch(place)) for place in range(STREAMS)]
                for event in ready:
                    await event.wait()
                process.send_signal(signal.SIGTERM)
                await process.wait()
        assert process.returncode in (0, -signal.SIGTERM)
        for task in watching:
            assert 'event: bye\ndata: {"why":"shutdown"}' in task.result()
