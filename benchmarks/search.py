"""How fast a run's output is searched, beside `grep -E` on a flat file of the same lines.

    python -m benchmarks.search [--lines 1000000] [--folder /a/disk]

"first hit" is when the first part with a hit is there, "complete" when every line was looked at, hits counted and
numbered. "late" is the longest that anything else on the server's event loop was kept waiting meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from app.domain.levels import Level
from app.store import output
from app.store.compacting import compact
from app.store.database import Database, sqlite_url
from app.store.query import Query
from app.store.ribbon import ribbon
from app.store.search import find, search
from benchmarks.store import batches, hundred_bytes, new_run, stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A query, and what `grep` is told instead."""

    name: str
    query: Query
    grep: Sequence[str]


def cases(lines: int) -> list[Case]:
    middle = f"{lines // 2:09}"
    return [
        Case(name="words, often", query=Query(pattern=r"math.*kit.*json", regex=True), grep=["-iE", "math.*kit.*json"]),
        Case(name="one line, in the middle", query=Query(pattern=middle, case=True), grep=["-E", middle]),
        Case(name="nowhere", query=Query(pattern="no such words"), grep=["-iE", "no such words"]),
        Case(
            name=r"hostile: ^(\w+\s?)+!$",
            query=Query(pattern=r"^(\w+\s?)+!$", regex=True, case=True),
            grep=["-E", r"^(\w+\s?)+!$"],
        ),
        Case(name="half of all lines", query=Query(pattern="audio", case=True), grep=["-E", "audio"]),
        Case(name="every line", query=Query(pattern=".", regex=True, case=True), grep=["-E", "."]),
        Case(name="all but", query=Query(pattern="audio", case=True, inverse=True), grep=["-vE", "audio"]),
    ]


async def lateness(longest: list[float]) -> None:
    """The longest that one millisecond took, until cancelled."""
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(0.001)
        longest[0] = max(longest[0], time.perf_counter() - begun - 0.001)


async def searched(
    db: Database, run: int, query: Query, *, newest_first: bool
) -> tuple[float, float, float, float, int]:
    """Milliseconds to the first hit, in all and of processor; lateness; matches."""
    longest = [0.0]
    watch = asyncio.create_task(lateness(longest))
    await asyncio.sleep(0.01)
    begun, cpu = time.perf_counter(), time.process_time()
    first, matches = 0.0, 0
    async for part in search(db, run, query, newest_first=newest_first):
        if part.found and not first:
            first = time.perf_counter() - begun
        matches = part.matches
    whole, cpu = time.perf_counter() - begun, time.process_time() - cpu
    watch.cancel()
    return first * 1e3, whole * 1e3, cpu * 1e3, longest[0] * 1e3, matches


def grepped(flat: Path, arguments: Sequence[str]) -> tuple[float, int]:
    """Milliseconds, and the lines counted. In the plain locale, which is grep's fastest."""
    begun = time.perf_counter()
    counted = subprocess.run(
        ["grep", "-n", *arguments, str(flat)], env=os.environ | {"LC_ALL": "C"}, capture_output=True, check=False
    )
    return (time.perf_counter() - begun) * 1e3, counted.stdout.count(b"\n")


async def compared(db: Database, run: int, flat: Path, lines: int) -> None:
    print(f"{'':26}{'first hit':>11}{'complete':>10}{'CPU':>8}{'late':>7}{'hits':>10}   {'grep -nE':>9}   (ms)")
    for case in cases(lines):
        took, counted = min([await asyncio.to_thread(grepped, flat, case.grep) for _ in range(3)])
        for newest_first in (False, True):
            rows = [await searched(db, run, case.query, newest_first=newest_first) for _ in range(3)]
            first, whole, cpu, late, matches = sorted(rows, key=lambda row: row[1])[1]
            name = f"{case.name}, newest first" if newest_first else case.name
            reference = f"   {took:9.0f}" if not newest_first else ""
            print(f"{name[:37]:26}{first:11.0f}{whole:10.0f}{cpu:8.0f}{late:7.1f}{matches:10}{reference}")
            if matches != counted:
                raise SystemExit(f"{case.name}: {matches} hits, grep says {counted}")


async def views(db: Database, run: int) -> None:
    """What a page asks for besides."""
    print()
    wants = {
        "200 buckets of levels": lambda: ribbon(db, run),
        "200 buckets with hits": lambda: ribbon(db, run, Query(pattern="math kit")),
        "the last 500 with a word": lambda: find(db, run, Query(pattern="audio"), newest_first=True),
        "the last 500 errors": lambda: find(db, run, Query(levels=frozenset({Level.ERROR})), newest_first=True),
    }
    for name, ask in wants.items():
        took = []
        for _ in range(5):
            begun = time.perf_counter()
            await ask()
            took.append((time.perf_counter() - begun) * 1e3)
        print(f"{name:26}{sorted(took)[2]:21.1f}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; a real disk, not memory")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        flat = Path(name) / "flat"
        texts = list(hundred_bytes(chosen.lines, random.Random(1)))
        flat.write_bytes(b"".join([text + b"\n" for text in texts]))
        db = await Database.open(sqlite_url(Path(name) / "data"))
        run = await new_run(db)
        for batch in batches(stored(texts), 1024 * 1024):
            await output.append(db, run, batch)
        del texts
        for state in ("as it was written live", "compacted"):
            print(f"\n{chosen.lines} lines of 100 bytes, {state}; one-minute load {os.getloadavg()[0]:.1f}")
            await compared(db, run, flat, chosen.lines)
            await views(db, run)
            await compact(db, run)
        await db.close()


if __name__ == "__main__":
    uvloop.run(main())  # the server's own loop
