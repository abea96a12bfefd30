"""Usage: one point a second, read like a book, from its end, or as its peak."""

from __future__ import annotations

import pytest

from app.domain.errors import Broken
from app.store import usage
from app.store.database import Database
from app.store.usage import UsagePoint
from tests.integration.store.conftest import Queue


def point(seq: int, *, cpu: float = 0.25, memory: int = 1000, pids: int = 3) -> UsagePoint:
    return UsagePoint(seq=seq, at=100.0 + seq, cpu_mean=cpu / 2, cpu_max=cpu, memory_bytes=memory, pids=pids)


async def test_points_come_back_in_order_after_a_cursor(db: Database, run: int) -> None:
    points = [point(seq) for seq in range(1, 11)]
    await usage.append(db, run, points[:4])
    await usage.append(db, run, [])
    await usage.append(db, run, points[4:])

    assert await usage.read(db, run) == points
    assert await usage.read(db, run, after=3, limit=2) == points[3:5]
    assert await usage.read(db, run, after=10) == []


async def test_the_newest_points_are_in_order_of_time(db: Database, run: int) -> None:
    assert await usage.last(db, run, 3) == []
    points = [point(seq) for seq in range(1, 11)]
    await usage.append(db, run, points)

    assert await usage.last(db, run, 3) == points[-3:]
    assert await usage.last(db, run, 100) == points


async def test_runs_do_not_mix(db: Database, queue: Queue) -> None:
    one, other = (run.id for run in await queue(2))
    await usage.append(db, one, [point(1)])
    await usage.append(db, other, [point(1, cpu=1.0), point(2)])

    assert await usage.read(db, one) == [point(1)]
    assert len(await usage.read(db, other)) == 2


async def test_the_peak_is_of_each_figure_over_the_whole_run(db: Database, run: int) -> None:
    assert await usage.peak(db, run) is None
    await usage.append(
        db, run, [point(1, cpu=2.0, memory=10, pids=1), point(2, cpu=1.0, memory=99, pids=2), point(3, cpu=0.0, pids=7)]
    )

    assert await usage.peak(db, run) == UsagePoint(
        seq=3, at=103.0, cpu_mean=0.5, cpu_max=2.0, memory_bytes=1000, pids=7
    )


async def test_a_second_is_stored_once(db: Database, run: int) -> None:
    await usage.append(db, run, [point(1)])

    with pytest.raises(Broken, match="UNIQUE"):
        await usage.append(db, run, [point(2), point(1)])

    assert await usage.read(db, run) == [point(1)]
