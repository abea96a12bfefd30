"""Usage: one point a second, read like a book, from its end, or as its peak."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from sqlalchemy import func, select

from app.domain.errors import Broken
from app.domain.runs import Outcome, RunState
from app.store import runs, tables, thinning, usage
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


async def test_points_of_several_runs_are_stored_at_once_or_not_at_all(db: Database, queue: Queue) -> None:
    one, other = (run.id for run in await queue(2))
    await usage.append_many(db, {one: [point(1), point(2)], other: [point(1, cpu=1.0)]})
    await usage.append_many(db, {})

    with pytest.raises(Broken):
        await usage.append_many(db, {one: [point(3)], other: [point(1)]})

    assert await usage.read(db, one) == [point(1), point(2)]
    assert await usage.read(db, other) == [point(1, cpu=1.0)]


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


def curve(seconds: int) -> list[UsagePoint]:
    """Quiet, with one loud second."""
    return [
        point(seq, cpu=8.0 if seq == 777 else 0.5, memory=10_000 if seq == 778 else 100 + seq % 7, pids=seq % 5)
        for seq in range(1, seconds + 1)
    ]


async def test_a_long_run_is_folded_to_as_many_points_as_asked_and_keeps_its_peaks(db: Database, run: int) -> None:
    points = curve(2000)
    await usage.append(db, run, points)

    folded = await usage.read_folded(db, run, points=50)

    assert len(folded) == 50
    assert max(each.cpu.max for each in folded) == 8.0
    assert max(each.memory.max for each in folded) == 10_000
    assert min(each.pids.min for each in folded) == 0
    assert [each.seq for each in folded] == sorted(each.seq for each in folded)
    assert folded[-1].seq == 2000
    assert sum(each.seconds for each in folded) == 2000
    mean = sum(each.cpu.mean * each.seconds for each in folded) / 2000
    assert mean == pytest.approx(sum(each.cpu_mean for each in points) / 2000)
    assert all(each.since <= each.until for each in folded)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 600])
async def test_folding_a_window_counts_every_point_in_it_once(db: Database, run: int, count: int) -> None:
    await usage.append(db, run, curve(100))

    folded = await usage.read_folded(db, run, since=111.0, until=151.0, points=count)

    assert len(folded) <= count
    assert sum(each.seconds for each in folded) == 40
    assert (folded[0].since, folded[-1].until) == (111.0, 150.0)


async def test_a_short_run_is_not_stretched(db: Database, run: int) -> None:
    assert await usage.read_folded(db, run) == []
    await usage.append(db, run, [point(1, cpu=1.0), point(2, cpu=2.0)])

    folded = await usage.read_folded(db, run, points=600)

    assert [(each.seq, each.cpu.min, each.cpu.mean, each.cpu.max) for each in folded] == [
        (1, 0.5, 0.5, 1.0),
        (2, 1.0, 1.0, 2.0),
    ]
    assert await usage.read_folded(db, run, since=500.0) == []


async def test_thinned_usage_keeps_means_and_peaks(db: Database, run: int) -> None:
    points = curve(1234)
    await usage.append(db, run, points)
    before = await usage.peak(db, run)

    await thinning.thin(db, run, 10)
    ten = await usage.read(db, run)
    await thinning.thin(db, run, 60)
    sixty = await usage.read(db, run)

    assert (len(ten), len(sixty)) == (124, 21)
    for kept in (ten, sixty):
        assert sum(each.seconds for each in kept) == 1234
        assert max(each.cpu_max for each in kept) == 8.0
        assert max(each.memory_bytes for each in kept) == 10_000
        assert min(each.pids_min or 0 for each in kept) == 0
        assert kept[-1].seq == 1234
    after = await usage.peak(db, run)
    assert before is not None
    assert after is not None
    assert after.cpu_mean == pytest.approx(before.cpu_mean)
    assert (after.cpu_max, after.memory_bytes, after.pids) == (before.cpu_max, before.memory_bytes, before.pids)
    loud = next(each for each in sixty if each.cpu_max == 8.0)
    assert loud.cpu_min == 0.25
    assert loud.cpu_mean < 1.0
    [whole] = await usage.read_folded(db, run, points=1)
    assert whole.memory.mean == pytest.approx(sum(each.memory_bytes for each in points) / 1234)


async def test_usage_is_thinned_by_the_age_of_the_runs_end_and_once(db: Database, queue: Queue) -> None:
    day = 86_400.0
    ids = [run.id for run in await queue(4)]
    for run, ended in zip(ids, (0.0, 29 * day, 30 * day, None), strict=True):
        await usage.append(db, run, curve(120))
        if ended is not None:
            await runs.transition(
                db, run, RunState.QUEUED, RunState.ENDED, at=ended, outcome=Outcome.CANCELLED, detail="x"
            )

    assert await thinning.thin_old(db, now=30 * day + 1) == 2
    assert [len(await usage.read(db, run)) for run in ids] == [2, 12, 120, 120]
    assert await thinning.thin_old(db, now=30 * day + 1) == 0
    assert await thinning.thin_old(db, now=60 * day + 1) == 2
    assert [len(await usage.read(db, run)) for run in ids] == [2, 2, 2, 120]


async def test_thinning_that_was_cut_short_goes_on_where_it_was(db: Database, run: int) -> None:
    async def stored() -> int:
        table = tables.usage_points.c
        async with db.reading() as connection:
            return await connection.scalar(select(func.count()).where(table.run == run)) or 0

    await usage.append(db, run, curve(30_000))
    task = asyncio.create_task(thinning.thin(db, run, 10))
    while await stored() == 30_000:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert 3000 < await stored() < 30_000

    await thinning.thin(db, run, 10)

    kept = await usage.read(db, run, limit=30_000)
    assert len(kept) == 3000
    assert sum(each.seconds for each in kept) == 30_000


async def test_counters_stay_what_they_came_to_however_points_are_folded(db: Database, run: int) -> None:
    points = [
        dataclasses.replace(
            point(seq),
            disk_written_bytes=seq * 4096,
            network_attempts=3 * (seq > 30),
            disk_used_bytes=seq % 100,
            cpu_seconds=seq / 8,
        )
        for seq in range(1, 121)
    ]
    await usage.append(db, run, points)
    assert await usage.last(db, run, 120) == points

    await thinning.thin(db, run, 60)

    kept = await usage.read(db, run)
    assert [(each.disk_written_bytes, each.network_attempts) for each in kept] == [(60 * 4096, 3), (120 * 4096, 3)]
    assert [each.disk_used_bytes for each in kept] == [60, 99]
    assert [each.cpu_seconds for each in kept] == [7.5, 15.0]
    [whole] = await usage.read_folded(db, run, points=1)
    assert (whole.disk_written_bytes, whole.network_attempts) == (120 * 4096, 3)
    peak = await usage.peak(db, run)
    assert peak is not None
    assert (peak.disk_written_bytes, peak.network_attempts) == (120 * 4096, 3)
    assert (whole.disk_used_bytes, peak.disk_used_bytes) == (99, 99)
    assert peak.cpu_seconds == 15.0


async def test_a_counter_the_host_does_not_tell_is_not_zero(db: Database, run: int) -> None:
    await usage.append(db, run, curve(20))
    await thinning.thin(db, run, 10)

    assert {each.network_attempts for each in await usage.read(db, run)} == {None}
    assert {each.disk_written_bytes for each in await usage.read_folded(db, run)} == {None}
    assert {each.disk_used_bytes for each in await usage.read(db, run)} == {None}
