"""Resource usage: one folded point a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select

from app.store import tables
from app.store.database import Database
from app.store.whole import whole


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePoint:
    """One second of one run. `seq` is dense per run from 1. CPU in cores (1.0 = one core busy)."""

    seq: int
    at: float
    cpu_mean: float
    cpu_max: float
    memory_bytes: int  #: highest in the second
    pids: int  #: highest in the second


@whole
async def append(db: Database, run: int, points: Sequence[UsagePoint]) -> None:
    """Store points. Raises `Broken` when it cannot, also for a `seq` that is there already."""
    if not points:
        return
    async with db.writing() as connection:
        await connection.execute(
            insert(tables.usage_points), [{"run": run, **dataclasses.asdict(point)} for point in points]
        )


@whole
async def read(db: Database, run: int, *, after: int = 0, limit: int = 4000) -> list[UsagePoint]:
    """Points with seq > `after`, in order."""
    table = tables.usage_points
    query = select(table).where(table.c.run == run, table.c.seq > after).order_by(table.c.seq).limit(limit)
    async with db.reading() as connection:
        return [_point(row) for row in await connection.execute(query)]


@whole
async def last(db: Database, run: int, count: int) -> list[UsagePoint]:
    """The newest `count` points, in order of time."""
    table = tables.usage_points
    query = select(table).where(table.c.run == run).order_by(table.c.seq.desc()).limit(count)
    async with db.reading() as connection:
        points = [_point(row) for row in await connection.execute(query)]
    points.reverse()
    return points


@whole
async def peak(db: Database, run: int) -> UsagePoint | None:
    """Highest cpu_max, memory and pids over the whole run, as one point (seq of the last); None without points.

    `cpu_mean` is the mean over the whole run.
    """
    table = tables.usage_points.c
    query = select(
        func.max(table.seq).label("seq"),
        func.max(table.at).label("at"),
        func.avg(table.cpu_mean).label("cpu_mean"),
        func.max(table.cpu_max).label("cpu_max"),
        func.max(table.memory_bytes).label("memory_bytes"),
        func.max(table.pids).label("pids"),
    ).where(table.run == run)
    async with db.reading() as connection:
        row = (await connection.execute(query)).one()
    return None if row.seq is None else _point(row)


def _point(row: Any) -> UsagePoint:
    return UsagePoint(
        seq=row.seq,
        at=row.at,
        cpu_mean=row.cpu_mean,
        cpu_max=row.cpu_max,
        memory_bytes=row.memory_bytes,
        pids=row.pids,
    )
