"""Usage of runs that ended long ago, at falling resolution. A background task calls `thin_old` now and then."""

from __future__ import annotations

from sqlalchemy import delete, func, insert, or_, select, update

from app.store import tables
from app.store.database import Database
from app.store.usage import fold_columns
from app.store.whole import whole

#: (seconds since a run's end, seconds of a point from then on). Before the first a point is a second.
RESOLUTIONS = ((86_400.0, 10), (30 * 86_400.0, 60))
#: Folded points written in one transaction, which everybody else's writes wait for: some 10 ms.
_GROUPS = 500


async def thin_old(db: Database, *, now: float, most_runs: int = 20) -> int:
    """Fold the points of up to `most_runs` runs whose end is long enough ago; how many there were.

    Means stay means of all seconds, lowest and highest values stay; the points' `seq` no longer follow each other one
    by one. It may be cancelled at any moment and called again: what is folded stays folded.
    """
    found = await _due(db, now, most_runs)
    for run, seconds in found:
        await thin(db, run, seconds)
    return len(found)


async def thin(db: Database, run: int, seconds: int) -> None:
    """Fold the points of a run to one for `seconds` of them, where they are finer."""
    after: int | None = 0
    while after is not None:
        after = await _thin_some(db, run, seconds, after)


@whole
async def _due(db: Database, now: float, most: int) -> list[tuple[int, int]]:
    runs, progress = tables.runs.c, tables.progress.c
    old = [(runs.ended_at <= now - age) & (progress.usage_seconds < seconds) for age, seconds in RESOLUTIONS]
    query = (
        select(runs.id, runs.ended_at)
        .join(tables.progress, progress.run == runs.id)
        .where(or_(*old))
        .order_by(runs.ended_at)
        .limit(most)
    )
    async with db.reading() as connection:
        rows = (await connection.execute(query)).all()
    return [(row.id, max(seconds for age, seconds in RESOLUTIONS if row.ended_at <= now - age)) for row in rows]


@whole
async def _thin_some(db: Database, run: int, seconds: int, after: int) -> int | None:
    """Fold some of the points after seq `after`; the last seq that is done, None when all are."""
    table = tables.usage_points
    async with db.writing() as connection:
        last = await connection.scalar(select(func.max(table.c.seq)).where(table.c.run == run))
        if last is None or after >= last:
            done = update(tables.progress).where(tables.progress.c.run == run).values(usage_seconds=seconds)
            await connection.execute(done)
            return None
        # By number, which no clock can disturb: points `seconds` × n + 1 to `seconds` × (n + 1) become one.
        before = after + seconds * _GROUPS
        here = (table.c.run == run, table.c.seq > after, table.c.seq <= before)
        group = (table.c.seq - 1) // seconds
        folded = select(*fold_columns(), func.max(table.c.at).label("at")).where(*here).group_by(group)
        rows = (await connection.execute(folded)).mappings().all()
        await connection.execute(delete(table).where(*here))
        if rows:
            await connection.execute(insert(table), [{"run": run, **row} for row in rows])
    return before
