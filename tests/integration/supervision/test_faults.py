"""The record in trouble: what was printed waits, one run's trouble stays its own, the end is always recorded."""

from __future__ import annotations

import asyncio
import os
import sqlite3

from sqlalchemy import text

from app.domain.events import OutputLost
from app.domain.runs import Outcome
from app.store import events, output, runs
from sandbox_runner.driver import Stream
from tests.integration.supervision.conftest import House, OpenHouse, knobs

TICKS = tuple((0.02, Stream.STDOUT, b"tick %d\n" % number) for number in range(100))


async def test_a_database_locked_for_seconds_delays_the_record_and_loses_nothing(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=TICKS)) as house:
        (run,) = await house.submit()
        await house.until(run.id, lambda found: found.lines >= 5)
        file = house.settings.data / "crucible.db"
        stray = sqlite3.connect(file, isolation_level=None, timeout=30, check_same_thread=False)
        # In a thread: our own writer may hold the lock and needs the event loop to let it go.
        await asyncio.to_thread(stray.execute, "BEGIN IMMEDIATE")
        await asyncio.sleep(3.0)
        stray.execute("ROLLBACK")
        stray.close()
        ended = await house.until_ended(run.id, within=40)

        assert (ended.outcome, ended.lines) == (Outcome.SUCCEEDED, 100)
        stored = await output.read(house.db, run.id, after=0)
        assert [line.data for line in stored] == [data.strip() for _, _, data in TICKS]


async def room(house: House, pages: int | None) -> None:
    """Let the database grow by so many pages; None: as it likes."""
    async with house.db.writing() as connection:
        used = await connection.scalar(text("PRAGMA page_count"))
        most = 2**30 if pages is None else used + pages
        await connection.exec_driver_sql(f"PRAGMA max_page_count = {most}")


async def test_a_full_disk_breaks_the_run_that_fills_it_and_what_was_stored_stays_readable(
    open_house: OpenHouse,
) -> None:
    noise = tuple((0.02, Stream.STDOUT, os.urandom(4000).replace(b"\n", b" ") + b"\n") for _ in range(400))
    async with open_house(knobs(lines=noise), patience_seconds=1.0) as house:
        (run,) = await house.submit()
        await house.until(run.id, lambda found: found.lines >= 1)
        await room(house, 60)
        await asyncio.sleep(3.0)
        stored = (await runs.get(house.db, run.id)).lines
        assert 0 < stored < 400
        await room(house, None)
        ended = await house.until_ended(run.id, within=40)

        assert ended.outcome is Outcome.BROKEN
        assert "disk" in ended.detail
        lines = await output.read(house.db, run.id, after=0, limit=5000)
        assert len(lines) == ended.lines >= stored
        assert [line.data + b"\n" for line in lines] == [data for _, _, data in noise[: ended.lines]]
        told = [each.event for each in await events.read(house.db, run.id)]
        (lost,) = [event for event in told if isinstance(event, OutputLost)]
        assert lost.bytes > 0
        assert await house.driver.list_owned() == []
        house.driver.knobs = knobs(lines=())
        (after,) = await house.submit()
        assert (await house.until_ended(after.id)).outcome is Outcome.SUCCEEDED
