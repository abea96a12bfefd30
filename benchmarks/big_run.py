"""A run of ten million lines: opening it at its end, a window in its middle, a moment, its outline; and its disk.

    python -m benchmarks.big_run [--lines 10000000] [--folder /a/disk]

Needs about 3 GB of disk and one to two minutes. Beside each figure stands what `tail` and `sed` take for the same lines
of a flat file. At last a real server is asked for pages and lines over HTTP, as a browser would.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import httpx
import uvloop

from app.domain.runs import Outcome, RunState
from app.settings import Settings
from app.store import accounts, output, runs
from app.store.compacting import compact
from app.store.database import Database, sqlite_url
from app.store.output import StoredLine
from app.store.ribbon import ribbon
from app.web.access import cookie_name, new_secret
from benchmarks.store import hundred_bytes, new_run, on_disk

BATCH = 8000
#: Lines that are different; they come again and again, each time with other numbers.
DIFFERENT = 200_000


def batches(lines: int) -> Iterator[list[StoredLine]]:
    texts = [text[9:] for text in hundred_bytes(min(lines, DIFFERENT), random.Random(1))]
    for begin in range(0, lines, BATCH):
        yield [
            StoredLine(
                number=number + 1,
                at=1.7e9 + number / 20_000,
                stream=1,
                data=b"%09d" % number + texts[number % len(texts)],
                complete=True,
            )
            for number in range(begin, min(lines, begin + BATCH))
        ]


def of_program(*command: str) -> tuple[float, bytes]:
    begun = time.perf_counter()
    said = subprocess.run(command, capture_output=True, check=True).stdout
    return (time.perf_counter() - begun) * 1e3, said


def size_of(file: Path) -> int:
    return file.stat().st_size


async def median(ask: Callable[[], Awaitable[object]], *, times: int = 15) -> float:
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(took)


def same(lines: Sequence[StoredLine], text: bytes) -> None:
    if b"".join([line.data + b"\n" for line in lines]) != text:
        raise SystemExit("the store answers other lines than the file has")


async def opened(folder: Path, run: int) -> float:
    """Milliseconds from nothing open to the last 500 lines: a server just started, a page just asked for."""
    begun = time.perf_counter()
    db = await Database.open(sqlite_url(folder))
    await output.tail(db, run, limit=500)
    took = (time.perf_counter() - begun) * 1e3
    await db.close()
    return took


async def looked_at(folder: Path, run: int, flat: Path, lines: int) -> None:
    middle = lines // 2
    print(f"{'opened, and the last 500':34}{await opened(folder, run):9.1f}")
    db = await Database.open(sqlite_url(folder))
    last, text = of_program("tail", "-n", "500", str(flat))
    same(await output.tail(db, run, limit=500), text)
    print(f"{'the last 500':34}{await median(lambda: output.tail(db, run, limit=500)):9.1f}{last:12.1f}  tail -n 500")
    sed, text = of_program("sed", "-n", f"{middle},{middle + 499}p;{middle + 499}q", str(flat))
    same(await output.read(db, run, after=middle - 1, limit=500), text)
    window = await median(lambda: output.read(db, run, after=middle - 1, limit=500))
    print(f"{f'500 at line {middle:,}':34}{window:9.1f}{sed:12.1f}  sed -n")
    dice = random.Random(2)
    anywhere = await median(lambda: output.read(db, run, after=dice.randrange(lines - 500), limit=500), times=50)
    print(f"{'500 anywhere':34}{anywhere:9.1f}")
    moment = 1.7e9 + middle / 20_000
    if await output.line_at(db, run, moment) != middle + 1:
        raise SystemExit("line_at answers another line")
    print(f"{'the line of a moment':34}{await median(lambda: output.line_at(db, run, moment)):9.1f}")
    print(f"{'200 buckets of levels':34}{await median(lambda: ribbon(db, run)):9.1f}")
    begun = time.perf_counter()
    size = 0
    async for part in output.raw(db, run):
        size += len(part)
    took = time.perf_counter() - begun
    if size != size_of(flat):
        raise SystemExit("the download is not what was printed")
    cat, _ = of_program("sh", "-c", 'cat "$0" > /dev/null', str(flat))
    print(f"{'all of it as bytes':34}{took * 1e3:9.0f}{cat:12.0f}  cat")
    await db.close()


@contextlib.asynccontextmanager
async def served(folder: Path, run: int) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that is signed in to a server of this folder."""
    db = await Database.open(sqlite_url(folder))
    await runs.transition(
        db, run, RunState.QUEUED, RunState.ENDED, at=time.time(), outcome=Outcome.CANCELLED, detail="a benchmark"
    )
    user = await accounts.administrator(db)
    secret = new_secret()
    await accounts.create_session(db, user.id, secret, new_secret(), expires_at=time.time() + 3600)
    await db.close()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRUCIBLE_")}
    command = (str(Path(sys.executable).parent / "crucible"), "serve", "--port", "0")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = await asyncio.create_subprocess_exec(*command, env={**clean, "CRUCIBLE_DATA": str(folder)}, **quiet)
    try:
        address = folder / "server.json"
        while not address.exists():
            if server.returncode is not None:
                raise SystemExit("the server did not start")
            await asyncio.sleep(0.05)
        url = json.loads(address.read_text())["url"]
        headers = {"cookie": f"{cookie_name(Settings())}={secret}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as browser:
            yield browser
    finally:
        server.terminate()
        await server.wait()


async def asked(folder: Path, run: int, lines: int) -> None:
    """Milliseconds of whole answers, by a server that has just started and by one that has answered before."""
    middle = lines // 2
    async with served(folder, run) as browser:
        print(f"\n{'over HTTP':34}{'first':>9}{'median':>12}{'kB':>8}")
        for name, path, sign in (
            ("the page, at its end", f"/runs/{run}", f'id="L{lines}"'),
            (f"the page at line {middle:,}", f"/runs/{run}?line={middle}", f'id="L{middle}"'),
            (f"500 lines around {middle:,}", f"/runs/{run}/lines?around={middle}&limit=500", f"[{middle},"),
            ("the line of a moment", f"/runs/{run}/moment?at={1.7e9 + middle / 20_000}", f"{middle + 1}"),
        ):
            took = []
            for _ in range(8):
                begun = time.perf_counter()
                answer = await browser.get(path)
                took.append((time.perf_counter() - begun) * 1e3)
                if answer.status_code != 200 or sign not in answer.text:
                    raise SystemExit(f"{path} answers {answer.status_code} without {sign}")
            size = len(answer.content) / 1000
            print(f"{name:34}{took[0]:9.1f}{statistics.median(took[1:]):12.1f}{size:8.0f}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; a real disk, not memory")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder, flat = Path(name) / "data", Path(name) / "flat"
        db = await Database.open(sqlite_url(folder))
        run = await new_run(db)
        storing = 0.0
        with flat.open("wb") as file:
            for batch in batches(chosen.lines):
                file.write(b"".join([line.data + b"\n" for line in batch]))
                begun = time.perf_counter()
                await output.append(db, run, batch)
                storing += time.perf_counter() - begun
        await db.close()
        raw = size_of(flat)
        for state in ("as it was written live", "compacted"):
            used = on_disk(folder) / raw
            print(f"\n{chosen.lines:,} lines, {raw / 1e6:.0f} MB, {state}: {used:.3f} of that on disk;", end=" ")
            print(f"one-minute load {os.getloadavg()[0]:.1f}\n{'':34}{'ms':>9}{'reference':>12}")
            await looked_at(folder, run, flat, chosen.lines)
            if state != "compacted":
                print(f"{'stored at, lines/s':34}{chosen.lines / storing:9,.0f}")
                db = await Database.open(sqlite_url(folder))
                begun, cpu = time.perf_counter(), time.process_time()
                await compact(db, run)
                took, cpu = time.perf_counter() - begun, time.process_time() - cpu
                print(f"{'compacted in, s (CPU)':34}{took:9.1f}{cpu:12.1f}")
                await db.close()
        await asked(folder, run, chosen.lines)


if __name__ == "__main__":
    uvloop.run(main())  # the server's own loop
