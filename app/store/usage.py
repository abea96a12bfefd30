"""Resource usage: one folded point a second, and fewer long after a run's end. Peaks are never lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Integer, ScalarSelect, and_, cast, func, insert, or_, select

from app.store import tables
from app.store.database import Database
from app.store.whole import whole

#: Most points `read_folded` answers.
MOST_POINTS = 4000
#: Runs of one statement: SQLite bounds the depth of a condition.
_RUNS_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePoint:
    """One second of one run. `seq` is dense per run from 1. CPU in cores (1.0 = one core busy).

    Long after the run's end one point stands for several `seconds`: then it has the `seq` of the last of them and
    lowest and mean values of its own. None: as the second's only figure.
    """

    seq: int
    at: float
    cpu_mean: float
    cpu_max: float
    memory_bytes: int  #: highest in the second
    pids: int  #: highest in the second
    seconds: int = 1
    cpu_min: float | None = None
    memory_min: int | None = None
    memory_mean: float | None = None
    pids_min: int | None = None
    pids_mean: float | None = None
    #: Counters since the sandbox's start, as they stood last; they never fall. None: the host does not tell.
    disk_written_bytes: int | None = None
    network_attempts: int | None = None
    disk_used_bytes: int | None = None  #: in the agent's home, highest in the second. None: the host does not tell.
    cpu_seconds: float | None = None  #: counter, too: user and system time. None: the point is older than it.


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Lowest, mean and highest of one figure in a stretch of time."""

    min: float
    mean: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """A stretch of time, from `since` to `until` (unix seconds, of its first and last point), `seconds` of it measured.

    `seq` is its last point's: a reader goes on after it.
    """

    seq: int
    since: float
    until: float
    seconds: int
    cpu: Figure  #: cores
    memory: Figure  #: bytes
    pids: Figure
    #: Counters since the sandbox's start: what happened in the stretch is the difference to the one before.
    disk_written_bytes: int | None
    network_attempts: int | None
    disk_used_bytes: int | None  #: highest


async def append(db: Database, run: int, points: Sequence[UsagePoint]) -> None:
    """Store points. Raises `Broken` when it cannot, also for a `seq` that is there already."""
    await append_many(db, {run: points})


@whole
async def append_many(db: Database, by_run: Mapping[int, Sequence[UsagePoint]]) -> None:
    """`append` for several runs in one transaction, which is most of the price. All or nothing."""
    rows = [{"run": run, **dataclasses.asdict(point)} for run, some in by_run.items() for point in some]
    if not rows:
        return
    async with db.writing() as connection:
        await connection.execute(insert(tables.usage_points), rows)


@whole
async def read(db: Database, run: int, *, after: int = 0, limit: int = 4000) -> list[UsagePoint]:
    """Points with seq > `after`, in order."""
    table = tables.usage_points
    query = select(table).where(table.c.run == run, table.c.seq > after).order_by(table.c.seq).limit(limit)
    async with db.reading(following=True) as connection:
        return [_point(row) for row in await connection.execute(query)]


@whole
async def between(
    db: Database, run: int, *, since: float | None = None, until: float | None = None, limit: int
) -> list[UsagePoint]:
    """The first `limit` points from `since` to before `until` (None: all there is), in order."""
    table = tables.usage_points
    here = [table.c.run == run]
    here += [table.c.at >= since] if since is not None else []
    here += [table.c.at < until] if until is not None else []
    async with db.reading() as connection:
        rows = await connection.execute(select(table).where(*here).order_by(table.c.seq).limit(limit))
        return [_point(row) for row in rows]


@whole
async def read_folded(
    db: Database, run: int, *, since: float | None = None, until: float | None = None, points: int = 600
) -> list[Folded]:
    """Usage from `since` to before `until` (None: all there is) as at most `points` equal stretches, in order.

    Highest and lowest values are those of the single seconds (as long as these are kept; then of what was kept of
    them), so that no peak disappears however long the run. Stretches without any point are left out. `points` is at
    most MOST_POINTS.
    """
    points = min(max(points, 1), MOST_POINTS)
    table = tables.usage_points.c
    here = [table.run == run]
    here += [table.at >= since] if since is not None else []
    here += [table.at < until] if until is not None else []
    async with db.reading() as connection:
        ends = select(func.min(table.at).label("first"), func.max(table.at).label("last")).where(*here)
        row = (await connection.execute(ends)).one()
        if row.first is None:
            return []
        begin = row.first if since is None else max(since, row.first)
        end = row.last if until is None else min(until, row.last)
        # A little more than the length, so that the last point is in the last stretch and not behind it; never
        # finer than the points are.
        width = max((end - begin) / points * (1 + 1e-9), 1.0)
        # The clock may have been set in the middle: order is that of the points.
        stretch = cast((table.at - begin) / width, Integer)
        folded = select(*fold_columns(), func.min(table.at).label("since"), func.max(table.at).label("until"))
        query = folded.where(*here).group_by(stretch).order_by(func.max(table.seq))
        return [_folded(row) for row in await connection.execute(query)]


@whole
async def last(db: Database, run: int, count: int, *, until: float | None = None) -> list[UsagePoint]:
    """The newest `count` points, up to `until` (unix seconds) if given, in order of time."""
    table = tables.usage_points
    query = select(table).where(*_here(run, until)).order_by(table.c.seq.desc()).limit(count)
    async with db.reading() as connection:
        points = [_point(row) for row in await connection.execute(query)]
    points.reverse()
    return points


@whole
async def newest(db: Database, after: Mapping[int, int], count: int) -> Mapping[int, list[UsagePoint]]:
    """Of each run the points with a seq above the one given, at most its newest `count`, in order of time.

    A run without any is no key.
    """
    table = tables.usage_points
    found: dict[int, list[UsagePoint]] = {}
    async with db.reading() as connection:
        for some in _portions(after):
            last = {run: _last_seq(run) for run, _ in some}
            ends = (await connection.execute(select(*(end.label(f"run{run}") for run, end in last.items())))).one()
            first = {run: max(seq, (getattr(ends, f"run{run}") or 0) - count) for run, seq in some}
            wanted = or_(*(and_(table.c.run == run, table.c.seq > seq) for run, seq in first.items()))
            for row in await connection.execute(select(table).where(wanted).order_by(table.c.run, table.c.seq)):
                found.setdefault(row.run, []).append(_point(row))
    return found


def _portions(after: Mapping[int, int]) -> Iterator[list[tuple[int, int]]]:
    items = iter(after.items())
    while some := list(islice(items, _RUNS_AT_ONCE)):
        yield some


def _last_seq(run: int) -> ScalarSelect[Any]:
    table = tables.usage_points.c
    return select(func.max(table.seq)).where(table.run == run).scalar_subquery()


@whole
async def peak(db: Database, run: int, *, until: float | None = None) -> UsagePoint | None:
    """Highest cpu_max, memory, pids and used disk over the whole run, or up to `until`, as one point.

    Its seq is that of the last; None without points.

    `cpu_mean` is the mean over the whole run; the counters are the run's sums.
    """
    table = tables.usage_points.c
    query = select(*fold_columns(), func.max(table.at).label("at")).where(*_here(run, until))
    async with db.reading() as connection:
        row = (await connection.execute(query)).one()
    if row.seq is None:
        return None
    return UsagePoint(
        seq=row.seq,
        at=row.at,
        cpu_mean=row.cpu_mean,
        cpu_max=row.cpu_max,
        memory_bytes=row.memory_bytes,
        pids=row.pids,
        disk_written_bytes=row.disk_written_bytes,
        network_attempts=row.network_attempts,
        disk_used_bytes=row.disk_used_bytes,
        cpu_seconds=row.cpu_seconds,
    )


def _here(run: int, until: float | None) -> list[ColumnElement[bool]]:
    table = tables.usage_points.c
    return [table.run == run] + ([] if until is None else [table.at <= until])


def fold_columns() -> list[ColumnElement[Any]]:
    """The columns of several points folded to one; named as in a point."""
    table = tables.usage_points.c

    def mean(value: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.sum(value * table.seconds) * 1.0 / func.sum(table.seconds)

    return [
        func.max(table.seq).label("seq"),
        func.sum(table.seconds).label("seconds"),
        mean(table.cpu_mean).label("cpu_mean"),
        func.max(table.cpu_max).label("cpu_max"),
        func.min(func.coalesce(table.cpu_min, table.cpu_mean)).label("cpu_min"),
        func.max(table.memory_bytes).label("memory_bytes"),
        func.min(func.coalesce(table.memory_min, table.memory_bytes)).label("memory_min"),
        mean(func.coalesce(table.memory_mean, table.memory_bytes)).label("memory_mean"),
        func.max(table.pids).label("pids"),
        func.min(func.coalesce(table.pids_min, table.pids)).label("pids_min"),
        mean(func.coalesce(table.pids_mean, table.pids)).label("pids_mean"),
        func.max(table.disk_written_bytes).label("disk_written_bytes"),
        func.max(table.network_attempts).label("network_attempts"),
        func.max(table.disk_used_bytes).label("disk_used_bytes"),
        func.max(table.cpu_seconds).label("cpu_seconds"),
    ]


def _folded(row: Any) -> Folded:
    return Folded(
        seq=row.seq,
        since=row.since,
        until=row.until,
        seconds=row.seconds,
        cpu=Figure(min=row.cpu_min, mean=row.cpu_mean, max=row.cpu_max),
        memory=Figure(min=row.memory_min, mean=row.memory_mean, max=row.memory_bytes),
        pids=Figure(min=row.pids_min, mean=row.pids_mean, max=row.pids),
        disk_written_bytes=row.disk_written_bytes,
        network_attempts=row.network_attempts,
        disk_used_bytes=row.disk_used_bytes,
    )


def _point(row: Any) -> UsagePoint:
    return UsagePoint(
        seq=row.seq,
        at=row.at,
        cpu_mean=row.cpu_mean,
        cpu_max=row.cpu_max,
        memory_bytes=row.memory_bytes,
        pids=row.pids,
        seconds=row.seconds,
        cpu_min=row.cpu_min,
        memory_min=row.memory_min,
        memory_mean=row.memory_mean,
        pids_min=row.pids_min,
        pids_mean=row.pids_mean,
        disk_written_bytes=row.disk_written_bytes,
        network_attempts=row.network_attempts,
        disk_used_bytes=row.disk_used_bytes,
        cpu_seconds=row.cpu_seconds,
    )
