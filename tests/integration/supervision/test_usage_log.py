"""Usage of all runs on its way into the store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from app.domain.limits import RunLimits
from app.domain.runs import EvaluationRequest, PlannedRun, Policy
from app.store import runs, usage
from app.store.database import Database, sqlite_url
from app.store.usage import UsagePoint
from app.supervision import usage_log
from app.supervision.doorbell import Doorbell
from app.supervision.usage_log import UsageLog


def point(seq: int) -> UsagePoint:
    return UsagePoint(seq=seq, at=float(seq), cpu_mean=0.5, cpu_max=1.0, memory_bytes=5, pids=1)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    db = await Database.open(sqlite_url(tmp_path / "data"))
    yield db
    await db.close()


async def two_runs(db: Database) -> tuple[int, int]:
    planned = PlannedRun(
        suite="s", family="f", task="t", agent="a", model=None, epoch=1, limits=RunLimits(), policy=Policy.NOTIFY
    )
    _, (one, two) = await runs.submit(db, EvaluationRequest(suite="s"), [planned, planned], actor="a", at=0.0)
    return one.id, two.id


@contextlib.asynccontextmanager
async def writing(log: UsageLog) -> AsyncIterator[None]:
    task = asyncio.create_task(log.run())
    yield
    task.cancel()
    await asyncio.wait([task])
    await log.close()


async def test_points_of_all_runs_are_stored_and_their_readers_woken(db: Database) -> None:
    bell = Doorbell()
    log = UsageLog(db, bell)
    one, two = await two_runs(db)
    with bell.listen() as heard:
        async with writing(log), asyncio.timeout(10):
            log.add(one, point(1))
            log.add(two, point(1))
            while not await usage.read(db, two):
                await heard.wait()

    assert await usage.read(db, one) == [point(1)]


async def test_what_was_added_last_is_stored_at_the_end(db: Database) -> None:
    log = UsageLog(db, Doorbell())
    one, _ = await two_runs(db)
    async with writing(log):
        log.add(one, point(1))

    assert await usage.read(db, one) == [point(1)]


async def test_points_that_find_no_room_wait_and_keep_nobody_else_waiting(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_log, "AGAIN", 0.01)
    log = UsageLog(db, Doorbell())
    one, two = await two_runs(db)
    await usage.append(db, one, [point(1)])
    async with writing(log), asyncio.timeout(10):
        log.add(one, point(1))  # cannot be stored: it is there
        log.add(two, point(1))
        while not await usage.read(db, two):
            await asyncio.sleep(0.01)
        async with db.writing() as connection:
            await connection.execute(text("DELETE FROM usage_points"))
        while not await usage.read(db, one):
            await asyncio.sleep(0.01)
    assert await usage.read(db, one) == [point(1)]
    assert await usage.read(db, two) == [], "what was stored is not stored again"


async def test_no_more_than_two_hours_of_points_wait(db: Database) -> None:
    log = UsageLog(db, Doorbell())
    one, _ = await two_runs(db)
    for seq in range(1, usage_log.MOST_WAITING + 3):
        log.add(one, point(seq))

    await log.close()

    [first] = await usage.read(db, one, limit=1)
    assert first.seq == 3
