"""The server processes that `benchmarks.readers` measures.

    python -m benchmarks.served crucible FOLDER RUNS LINES SECONDS
    python -m benchmarks.served bare LINES SECONDS

The first is Crucible with its real store; its runs are played by the fake driver. The second is the reference: a bare
Starlette with sse-starlette. Each says on its first line of output where it is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
import uvloop
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.cli.local_server import allow_many_connections, local_server
from app.settings import Settings
from app.store import accounts
from app.store.database import Database
from app.store.output import StoredLine
from app.web.live.frames import Cursor, at, frame
from app.web.views.log import row
from sandbox_runner.driver import Stream
from sandbox_runner.fake_driver import FakeDriver
from sandbox_runner.fake_script import FakeKnobs, Write

FAMILY = """\
class TaskFamily:
    standard_version = "0.5.0"

    @staticmethod
    def get_tasks():
        return {"one": {}}

    @staticmethod
    def get_instructions(t):
        return "print"
"""
SETUP = {"ok": {"instructions": "print", "permissions": [], "required_environment": [], "warnings": []}}
RESULTS = {
    "install": b'{"ok": null}',
    "setup": json.dumps(SETUP).encode(),
    "start": b'{"ok": null}',
    "score": b'{"ok": {"kind": "none"}}',
    "teardown": b'{"ok": null}',
}
LINE = b"%07d step: the quick brown agent reads a file, thinks about it and says so in a hundred bytes or so\n"
#: The session of a browser that is signed in.
COOKIE = "s" * 43
#: Runs that print nothing: to be stopped while others are watched.
QUIET = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Printing:
    """`lines` lines at once, each `seconds` seconds, for ever."""

    lines: int
    seconds: float

    def __iter__(self) -> Iterator[Write]:
        number = 0
        while True:
            yield self.seconds, Stream.STDOUT, b"".join(LINE % (number + each) for each in range(self.lines))
            number += self.lines


def crucible(folder: Path, printing: int, each: Printing) -> None:
    """A server; the first `printing` runs it is asked for print, the others do not."""
    suites = folder / "suites"
    family, agent = suites / "families" / "printer", suites / "agents" / "printer"
    family.mkdir(parents=True)
    agent.mkdir(parents=True)
    (family / "printer.py").write_text(FAMILY)
    (agent / "main.py").write_text("")
    task = "{task: printer/one, agent: printer, limits: {output_bytes: 10g, wall_seconds: 1h}}"
    (suites / "printers.yaml").write_text(f"title: Printers\ndescription: They print.\ntasks:\n  - {task}\n")
    settings = Settings(data=folder / "data", suites=suites, port=0, slots=printing + QUIET)
    printer, quiet = (FakeKnobs(results=RESULTS, run_for=1e9, lines=lines) for lines in (each, ()))
    driver = FakeDriver(quiet, by_run={str(run): printer for run in range(1, printing + 1)})

    async def serve() -> None:
        async with local_server(settings, driver, until_signal=True) as local:
            db: Database = local.server.lifespan.state["db"]  # type: ignore[union-attr]
            user = await accounts.administrator(db)
            await accounts.create_session(db, user.id, COOKIE, "c" * 43, expires_at=time.time() + 3600)
            say({"url": local.address.url, "token": local.address.token})
            await asyncio.wait({local.serving})

    uvloop.run(serve())


def one_frame(lines: int, number: int) -> bytes:
    """What a reader of `Printing` is sent at once, first line `number`: printed now."""
    stored = [
        StoredLine(
            number=number + each, at=time.time(), stream=1, data=(LINE % (number + each)).rstrip(), complete=True
        )
        for each in range(lines)
    ]
    shared = frame("lines", {"run": 1, "lines": [row(one) for one in stored]})
    return at(Cursor(line=number + lines - 1), shared)


def bare(each: Printing) -> None:
    """The reference process: nothing but the library, with frames from memory."""
    fresh = asyncio.Condition()
    newest = b""

    async def print_for_ever() -> None:
        nonlocal newest
        number = 1
        while True:
            await asyncio.sleep(each.seconds)
            newest = one_frame(each.lines, number)
            number += each.lines
            async with fresh:
                fresh.notify_all()

    async def frames() -> AsyncIterator[bytes]:
        while True:
            async with fresh:
                await fresh.wait()
            yield newest

    async def stream(_request: Request) -> Response:
        return EventSourceResponse(frames(), sep="\n", ping=0, send_timeout=10)

    async def stop(_request: Request) -> Response:
        return JSONResponse({})

    routes = [
        Route("/api/v1/runs/1/stream", stream),
        Route("/api/v1/runs/{run}/stop", stop, methods=["POST"]),
    ]

    async def serve() -> None:
        config = uvicorn.Config(Starlette(routes=routes), log_level="error", timeout_graceful_shutdown=1)
        listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        printing = asyncio.create_task(print_for_ever())
        say({"url": f"http://127.0.0.1:{listening.getsockname()[1]}", "token": ""})
        await uvicorn.Server(config).serve(sockets=[listening])
        printing.cancel()

    uvloop.run(serve())


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    allow_many_connections()
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # It reports each stream that is let go.
    match sys.argv[1:]:
        case ["crucible", folder, runs, lines, seconds]:
            crucible(Path(folder), int(runs), Printing(lines=int(lines), seconds=float(seconds)))
        case ["bare", lines, seconds]:
            bare(Printing(lines=int(lines), seconds=float(seconds)))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
