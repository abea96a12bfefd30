"""A process full of readers, for `benchmarks.readers`.

    python -m benchmarks.reading PORT TOKEN SECONDS

Reads JSON, opens one stream for each of its `paths`, says "connected", waits for a line, and then notes for `SECONDS`
when each frame of output arrived. Ends by saying what it saw; the latencies are a file of C floats, in seconds.
"""

from __future__ import annotations

import array
import asyncio
import json
import re
import sys
import tempfile
import time
import typing
from dataclasses import dataclass, field

import uvloop

from benchmarks.served import COOKIE

#: A frame of output: its last line, its run, and number and time of its first line.
LINES = re.compile(rb'id: \d+\.(\d+)\.\d+\nevent: lines\ndata: \{"run":(\d+),"lines":\[\[(\d+),([0-9.]+)')
#: Connections that are opened at once.
AT_ONCE = 50


@dataclass(slots=True, kw_only=True)
class Seen:
    """What all readers of this process saw."""

    newest: int  #: line of the run they all follow
    noting: bool = False
    latencies: array.array[float] = field(default_factory=lambda: array.array("f"))
    missing: int = 0
    twice: int = 0
    cut: int = 0


class Reader(asyncio.Protocol):
    """One stream: asks, then looks at each frame as it arrives."""

    def __init__(self, request: bytes, seen: Seen) -> None:
        self._request = request
        self._seen = seen
        self._rest = b""
        self._last: dict[bytes, int] = {}
        self.answered = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        typing.cast(asyncio.Transport, transport).write(self._request)  # uvloop's is none by name

    def data_received(self, data: bytes) -> None:
        now = time.time()
        if not self.answered.done():
            self.answered.set_result(data.split(b"\r\n", 1)[0])
        data = self._rest + data
        end = data.rfind(b"\n\n")
        self._rest = data[end:] if end >= 0 else data
        for last, run, first, at in LINES.findall(data, 0, max(end, 0)):
            self._frame(run, int(first), int(last), now - float(at))

    def _frame(self, run: bytes, first: int, last: int, latency: float) -> None:
        seen, before = self._seen, self._last.get(run)
        if before is not None:
            seen.missing += max(0, first - before - 1)
            seen.twice += max(0, before + 1 - first)
        self._last[run] = last
        seen.newest = max(seen.newest, last)
        if seen.noting:
            seen.latencies.append(latency)

    def connection_lost(self, error: Exception | None) -> None:
        self._seen.cut += 1


async def main(port: int, token: str, seconds: float) -> None:
    asked, loop = json.loads(sys.stdin.readline()), asyncio.get_running_loop()
    seen = Seen(newest=asked["newest"])
    free = asyncio.Semaphore(AT_ONCE)

    async def connect(path: str) -> None:
        async with free:
            head = f"GET {path.format(newest=seen.newest)} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: crucible={COOKIE}\r\n"
            head += f"Authorization: Bearer {token}\r\n" if path.startswith("/api/") else ""
            request = f"{head}\r\n".encode()
            _, reader = await loop.create_connection(lambda: Reader(request, seen), "127.0.0.1", port)
            answer = await reader.answered
        if answer != b"HTTP/1.1 200 OK":
            raise SystemExit(f"{path}: {answer.decode()}")

    async with asyncio.TaskGroup() as group:
        for path in asked["paths"]:
            group.create_task(connect(path))
    print(json.dumps("connected"), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    seen.noting = True
    await asyncio.sleep(seconds)
    seen.noting = False
    with tempfile.NamedTemporaryFile("wb", delete=False) as file:
        file.write(seen.latencies.tobytes())
    found = {"latencies": file.name, "missing": seen.missing, "twice": seen.twice, "cut": seen.cut}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
