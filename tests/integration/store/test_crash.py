"""A server that is killed in the middle of a write leaves a whole record."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from app.store import output, runs
from app.store.database import Database
from app.store.output import StoredLine

#: Appends batches of 10 lines of one run for ever, and says each offset that is stored.
WRITER = """
import asyncio, os, sys
from app.store import output
from app.store.database import Database
from app.store.output import RelayPosition, StoredLine

async def main():
    db, run, lines = await Database.open(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    while True:
        batch = [
            StoredLine(number=lines + n, at=1.0, stream=1, data=os.urandom(97) + b"%d" % (lines + n), complete=True)
            for n in range(1, 11)
        ]
        lines += 10
        pending = {1: (float(lines), b"%d" % lines)}
        await output.append(db, run, batch, RelayPosition(sandbox="s", offset=lines, pending=pending))
        print(lines, flush=True)

asyncio.run(main())
"""


def write_and_kill(url: str, run: int, *, lines: int, batches: int) -> int:
    """Returns the last line the writer said was stored."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, url, str(run), str(lines)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer:
        for _ in range(batches):
            assert writer.stdout.readline()
        # At once: the writer is somewhere in its next batch, or the one after.
        writer.kill()
        said = writer.stdout.read().split()
    assert writer.returncode == -signal.SIGKILL
    return int(said[-1]) if said else lines + 10 * batches


@pytest.mark.parametrize("seed", range(3))
async def test_a_killed_writer_leaves_whole_batches_and_all_it_said_was_stored(
    db: Database, run: int, url: str, tmp_path: Path, seed: int
) -> None:
    await db.close()
    dice = random.Random(seed)
    lines = 0
    for _ in range(3):
        said = await asyncio.to_thread(write_and_kill, url, run, lines=lines, batches=dice.randrange(1, 40))

        again = await Database.open(url)
        lines = (await runs.get(again, run)).lines
        assert lines >= said
        assert lines % 10 == 0
        assert await output.position(again, run, "s") == output.RelayPosition(
            sandbox="s", offset=lines, pending={1: (float(lines), b"%d" % lines)}
        )
        stored = await output.read(again, run, after=0, limit=100_000)
        assert [each.number for each in stored] == list(range(1, lines + 1))
        assert all(each.data.endswith(b"%d" % each.number) for each in stored)
        await again.close()

    with sqlite3.connect(tmp_path / "data" / "crucible.db") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()
    again = await Database.open(url)
    await output.append(again, run, [StoredLine(number=lines + 1, at=1.0, stream=1, data=b"on", complete=True)])
    await again.close()
