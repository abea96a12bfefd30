"""How fast the store takes output, how small it keeps it, and how fast it gives it back.

    python -m benchmarks.store [--lines 500000] [--folder /a/disk] [--only disk] [--logs FILE …]

Beside each figure stands a reference measured in the same run: a flat file, zlib, one row per line.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import lzma
import random
import sqlite3
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from app.domain.limits import RunLimits
from app.domain.runs import EvaluationRequest, PlannedRun, Policy
from app.store import compacting, output, runs
from app.store.database import Database, sqlite_url
from app.store.output import RelayPosition, StoredLine

BATCH = 64 * 1024
#: What the recorder hands over at once: of one busy run, and when many are busy or the disk was slow.
BATCHES = (BATCH, 1024 * 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One row of a table."""

    name: str
    seconds: float
    cpu: float
    bytes: int


def package_log(lines: int, dice: random.Random) -> Iterator[bytes]:
    """Text like a package manager's log: what agents that install things print most."""
    names = [f"lib{dice.choice('abcdefgmnpqrstxyz')}{dice.choice(WORDS)}{dice.randrange(1, 30)}" for _ in range(400)]
    steps = (
        "status unpacked", "status half-configured", "status installed", "configure", "install", "upgrade",
        "trigproc", "status half-installed", "status triggers-pending",
    )  # fmt: skip
    second = 0
    for _ in range(lines):
        second += dice.random() < 0.15
        clock = f"2024-05-01 {second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}"
        version = f"{dice.randrange(12)}.{dice.randrange(30)}.{dice.randrange(9)}-{dice.randrange(1, 6)}+deb12u1"
        yield f"{clock} {dice.choice(steps)} {dice.choice(names)}:amd64 {version}".encode()


WORDS = ("audio", "base", "core", "data", "event", "font", "graph", "http", "image", "json", "kit", "log", "math")


def hundred_bytes(lines: int, dice: random.Random) -> Iterator[bytes]:
    """Lines of 100 bytes, numbered, half of them the same words: neither all alike nor noise."""
    for number in range(lines):
        words = " ".join(dice.choice(WORDS) for _ in range(9))
        yield f"{number:09} {words} ".encode().ljust(80)[:80] + b"%020x" % dice.getrandbits(80)


def stored(texts: Sequence[bytes]) -> list[StoredLine]:
    return [
        StoredLine(number=number, at=1.7e9 + number / 2000, stream=1, data=text, complete=True)
        for number, text in enumerate(texts, 1)
    ]


def batches(lines: Sequence[StoredLine], size: int) -> Iterator[Sequence[StoredLine]]:
    begin = weight = 0
    for end, line in enumerate(lines, 1):
        weight += len(line.data) + 1
        if weight >= size:
            yield lines[begin:end]
            begin, weight = end, 0
    if begin < len(lines):
        yield lines[begin:]


def on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


async def new_run(db: Database) -> int:
    planned = PlannedRun(
        suite="s", family="f", task="t", agent="a", model=None, epoch=1, limits=RunLimits(), policy=Policy.NOTIFY
    )
    _, [run] = await runs.submit(db, EvaluationRequest(suite="s"), [planned], actor="benchmark", at=0.0)
    return run.id


async def ours(folder: Path, lines: Sequence[StoredLine], size: int) -> Measured:
    db = await Database.open(sqlite_url(folder))
    run = await new_run(db)
    work = list(batches(lines, size))
    offset = 0
    begun, cpu = time.perf_counter(), time.process_time()
    for batch in work:
        offset += sum(len(line.data) + 1 for line in batch)
        await output.append_many(db, {run: (batch, RelayPosition(sandbox="s", offset=offset))})
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    await db.close()
    return Measured(name="the store: zstd chunks", seconds=seconds, cpu=cpu, bytes=on_disk(folder))


def flat_file(folder: Path, lines: Sequence[StoredLine], size: int) -> Measured:
    work = list(batches(lines, size))
    begun, cpu = time.perf_counter(), time.process_time()
    with (folder / "flat").open("wb", buffering=0) as file:
        for batch in work:
            file.write(b"".join([line.data + b"\n" for line in batch]))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return Measured(name="flat file, no index", seconds=seconds, cpu=cpu, bytes=on_disk(folder))


def zlib_blocks(folder: Path, lines: Sequence[StoredLine], size: int) -> Measured:
    work = list(batches(lines, size))
    begun, cpu = time.perf_counter(), time.process_time()
    with (folder / "blocks").open("wb", buffering=0) as file:
        for batch in work:
            file.write(zlib.compress(b"".join([line.data + b"\n" for line in batch]), 1))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return Measured(name="flat file of zlib-1 blocks", seconds=seconds, cpu=cpu, bytes=on_disk(folder))


def row_per_line(folder: Path, lines: Sequence[StoredLine], size: int) -> Measured:
    work = list(batches(lines, size))
    db = sqlite3.connect(folder / "rows.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("CREATE TABLE lines (run, number, at, stream, complete, data, PRIMARY KEY (run, number)) WITHOUT ROWID")
    begun, cpu = time.perf_counter(), time.process_time()
    for batch in work:
        db.execute("BEGIN IMMEDIATE")
        rows = [(1, line.number, line.at, line.stream, line.complete, line.data) for line in batch]
        db.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?)", rows)
        db.execute("COMMIT")
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    db.close()
    return Measured(name="a row per line, plain sqlite3", seconds=seconds, cpu=cpu, bytes=on_disk(folder))


Reference = Callable[[Path, Sequence[StoredLine], int], Measured]
REFERENCES: tuple[Reference, ...] = (flat_file, zlib_blocks, row_per_line)


async def writing(root: Path, title: str, texts: Sequence[bytes]) -> None:
    lines = stored(texts)
    raw = sum(len(text) + 1 for text in texts)
    # The collector would walk through all these lines again and again: a server never holds so many.
    gc.collect()
    gc.freeze()
    for size in BATCHES:
        print(f"\n{title}: {len(lines)} lines, {raw / len(lines):.0f} bytes each, batches of {size // 1024} KiB")
        print(f"{'':32}{'lines/s':>12}{'CPU µs/line':>14}{'disk/raw':>10}")
        rows = []
        for _ in range(3):
            with tempfile.TemporaryDirectory(dir=root) as folder:
                rows.append(await ours(Path(folder) / "data", lines, size))
        measured = [sorted(rows, key=lambda row: row.seconds)[1]]
        for reference in REFERENCES:
            with tempfile.TemporaryDirectory(dir=root) as folder:
                measured.append(await asyncio.to_thread(reference, Path(folder), lines, size))
        for row in measured:
            rate, cpu = len(lines) / row.seconds, row.cpu / len(lines) * 1e6
            print(f"{row.name:32}{rate:12,.0f}{cpu:14.2f}{row.bytes / raw:10.3f}")
    gc.unfreeze()


async def typing_speed(root: Path, texts: Sequence[bytes]) -> None:
    """A live run that prints now and then: one or a few lines per append, merged as they gather."""
    print("\nSmall appends, one transaction each, with the relay's position (ms)")
    print(f"{'':32}{'median':>8}{'p99':>8}{'worst':>8}{'disk/raw':>10}")
    for count in (1, 10):
        with tempfile.TemporaryDirectory(dir=root) as name:
            folder = Path(name) / "data"
            db = await Database.open(sqlite_url(folder))
            run = await new_run(db)
            await db.close()
            empty = on_disk(folder)
            db = await Database.open(sqlite_url(folder))
            lines = stored(texts[: 5000 * count])
            took = []
            for begin in range(0, len(lines), count):
                begun = time.perf_counter()
                await output.append(db, run, lines[begin : begin + count], RelayPosition(sandbox="s", offset=begin))
                took.append((time.perf_counter() - begun) * 1000)
            await db.close()
            raw = sum(len(line.data) + 1 for line in lines)
            took.sort()
            print(
                f"{f'{count} line(s) an append':32}{statistics.median(took):8.2f}{took[len(took) * 99 // 100]:8.2f}"
                f"{took[-1]:8.2f}{(on_disk(folder) - empty) / raw:10.3f}"
            )


async def many_runs(root: Path, texts: Sequence[bytes]) -> None:
    """The recorder's beat: a line or two of each live run, all in one transaction."""
    with tempfile.TemporaryDirectory(dir=root) as name:
        db = await Database.open(sqlite_url(Path(name) / "data"))
        for count in (1, 8, 32):
            ids = [await new_run(db) for _ in range(count)]
            took = []
            for beat in range(200):
                batch = [
                    StoredLine(number=beat * 2 + n, at=1.0, stream=1, data=texts[beat], complete=True) for n in (1, 2)
                ]
                begun = time.perf_counter()
                await output.append_many(db, {run: (batch, RelayPosition(sandbox="s", offset=beat)) for run in ids})
                took.append((time.perf_counter() - begun) * 1000)
            print(f"{f'two lines of {count} runs at once':32}{statistics.median(took):8.2f}{sorted(took)[198]:8.2f}")
        await db.close()


async def reading(root: Path, texts: Sequence[bytes]) -> None:
    print("\nReading 200 lines at random places (ms, median), and opening")
    lines = stored(texts)
    dice = random.Random(3)
    places = [dice.randrange(len(lines) - 200) for _ in range(200)]
    with tempfile.TemporaryDirectory(dir=root) as name:
        folder = Path(name) / "ours"
        await ours(folder, lines, BATCH)
        opened = time.perf_counter()
        db = await Database.open(sqlite_url(folder))
        opened = (time.perf_counter() - opened) * 1000
        took = []
        for place in places:
            begun = time.perf_counter()
            found = await output.read(db, 1, after=place, limit=200)
            took.append((time.perf_counter() - begun) * 1000)
            assert found == lines[place : place + 200]
        await db.close()
        print(f"{'the store':32}{statistics.median(took):8.2f}")
        await asyncio.to_thread(row_per_line, Path(name), lines, BATCH)
        raw = sqlite3.connect(Path(name) / "rows.db")
        took = []
        for place in places:
            begun = time.perf_counter()
            raw.execute("SELECT * FROM lines WHERE run = 1 AND number > ? LIMIT 200", (place,)).fetchall()
            took.append((time.perf_counter() - begun) * 1000)
        raw.close()
        print(f"{'a row per line, plain sqlite3':32}{statistics.median(took):8.2f}   (on the calling thread)")
        print(f"{'opening an up-to-date database':32}{opened:8.2f}")


def logs_here(named: Sequence[Path]) -> list[Path]:
    """The named files, or the larger logs of this machine."""
    found = list(named) or sorted(Path("/var/log").rglob("*.log"))
    return [file for file in found if file.is_file() and file.stat().st_size > (0 if named else 100_000)]


async def disk(root: Path, logs: Sequence[Path]) -> None:
    """Ordinary logs, each line with a time of its own: what a run's output takes, and when it is compacted."""
    print("\nDisk for real logs, of their raw bytes")
    print(f"{'':32}{'MB':>8}{'live':>8}{'compacted':>11}{'file':>8}{'gzip -6':>9}{'xz -6':>8}")
    sums = [0, 0, 0]
    for log in logs:
        text = log.read_bytes()[: 32 * 1024 * 1024]
        dice = random.Random(1)
        at = 1.7e9
        lines = []
        for number, piece in enumerate(text.split(b"\n"), 1):
            # Half of the lines come together with the one before, as a pipe gives them.
            at += dice.choice((0, dice.expovariate(20)))
            lines.append(StoredLine(number=number, at=at, stream=1, data=piece, complete=True))
        with tempfile.TemporaryDirectory(dir=root) as name:
            folder = Path(name) / "data"
            db = await Database.open(sqlite_url(folder))
            run = await new_run(db)
            await db.close()
            empty = on_disk(folder)
            db = await Database.open(sqlite_url(folder))
            for batch in batches(lines, 4096):
                await output.append(db, run, batch)
            live = await chunk_bytes(db)
            await compacting.compact(db, run)
            compacted = await chunk_bytes(db)
            await db.close()
            grown = on_disk(folder) - empty
        raw = len(text)
        packed = (len(zlib.compress(text, 6)), len(lzma.compress(text)))
        shares = (
            f"{live / raw:8.3f}{compacted / raw:11.3f}{grown / raw:8.3f}{packed[0] / raw:9.3f}{packed[1] / raw:8.3f}"
        )
        print(f"{log.name[:31]:32}{raw / 1e6:8.1f}{shares}")
        sums = [total + size for total, size in zip(sums, (raw, live, compacted), strict=True)]
    if sums[0]:
        print(f"{'all of them':32}{sums[0] / 1e6:8.1f}{sums[1] / sums[0]:8.3f}{sums[2] / sums[0]:11.3f}")


async def chunk_bytes(db: Database) -> int:
    """Of all chunks, without the database's own pages."""
    async with db.reading() as connection:
        return (await connection.exec_driver_sql("SELECT sum(length(data)) FROM output_chunks")).scalar_one()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; a real disk, not memory")
    parser.add_argument("--only", choices=("disk",), help="only this part")
    parser.add_argument("--logs", type=Path, nargs="*", default=(), help="text files; else the logs of this machine")
    chosen = parser.parse_args()
    if chosen.only:
        await disk(chosen.folder or Path(tempfile.gettempdir()), logs_here(chosen.logs))
        return
    dice = random.Random(1)
    numbered = list(hundred_bytes(chosen.lines, dice))
    logs = list(package_log(chosen.lines, dice))
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        root = Path(name)
        await writing(root, "Synthetic lines", numbered)
        await writing(root, "A package manager's log", logs)
        await typing_speed(root, logs)
        await many_runs(root, logs)
        await reading(root, numbered)
        await disk(root, logs_here(chosen.logs))


if __name__ == "__main__":
    uvloop.run(main())  # the server's own loop
