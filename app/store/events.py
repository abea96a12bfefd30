"""Events of runs: append and read, never change."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.errors import NotFound
from app.domain.events import Event, Recorded, event_from_json, event_to_json
from app.store import tables
from app.store.database import Database
from app.store.whole import whole


@whole
async def append(db: Database, run: int, *events: Event, at: float) -> list[Recorded]:
    """Record events with the next dense `seq` of the run and its current last line. Raises `NotFound`."""
    async with db.writing() as connection:
        return await record(connection, run, events, at=at)


@whole
async def read(db: Database, run: int, *, after: int = 0, limit: int = 1000) -> list[Recorded]:
    """Events with seq > `after`, in order."""
    table = tables.events
    query = select(table).where(table.c.run == run, table.c.seq > after).order_by(table.c.seq).limit(limit)
    async with db.reading() as connection:
        rows = (await connection.execute(query)).all()
    return [
        Recorded(seq=row.seq, run=row.run, at=row.at, line=row.line, event=event_from_json(row.data)) for row in rows
    ]


@whole
async def last_seq(db: Database, run: int) -> int:
    """The newest event's `seq`; 0 when there is none."""
    async with db.reading() as connection:
        seq = await connection.scalar(select(tables.progress.c.events).where(tables.progress.c.run == run))
    return seq or 0


async def record(connection: AsyncConnection, run: int, events: Sequence[Event], *, at: float) -> list[Recorded]:
    """`append` inside the caller's transaction: a change and the event that tells of it are stored together."""
    progress = tables.progress
    # The counter's row is locked by this update, so that two writers never give the same number.
    row = (
        await connection.execute(
            update(progress)
            .where(progress.c.run == run)
            .values(events=progress.c.events + len(events))
            .returning(progress.c.events, progress.c.lines)
        )
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no run {run}")
    recorded = [
        Recorded(seq=seq, run=run, at=at, line=row.lines, event=event)
        for seq, event in enumerate(events, row.events - len(events) + 1)
    ]
    if recorded:
        await connection.execute(
            insert(tables.events),
            [
                {"run": run, "seq": each.seq, "at": at, "line": each.line, "data": event_to_json(each.event)}
                for each in recorded
            ],
        )
    return recorded
