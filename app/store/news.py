"""How far a run's record is, and what came since: all that whoever follows a run asks for, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select

from app.domain.errors import NotFound
from app.domain.runs import RunState
from app.store import tables
from app.store.chunk_rows import lines_of
from app.store.database import Database
from app.store.lines import StoredLine
from app.store.whole import whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far the record of a run is."""

    live: bool
    events: int  #: the newest event's seq
    lines: int
    bytes: int
    usage: int  #: the newest usage point's seq


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Where the run stands; its lines since then, or None when they are too many to read at once."""

    standing: Standing
    lines: Sequence[StoredLine] | None = None


_USAGE = select(func.max(tables.usage_points.c.seq)).where(tables.usage_points.c.run == bindparam("of_run"))
_STANDING = (
    select(
        tables.runs.c.state,
        tables.progress.c.events,
        tables.progress.c.lines,
        tables.progress.c.bytes,
        _USAGE.scalar_subquery().label("usage"),
    )
    .join(tables.progress, tables.progress.c.run == tables.runs.c.id)
    .where(tables.runs.c.id == bindparam("of_run"))
)
_LINES = (
    select(tables.output_chunks)
    .where(tables.output_chunks.c.run == bindparam("of_run"), tables.output_chunks.c.last_line > bindparam("after"))
    .order_by(tables.output_chunks.c.last_line)
)


@whole
async def news(db: Database, run: int, since: Standing | None, *, most_lines: int, most_bytes: int) -> News:
    """Where `run` stands, and its lines after `since`: not without `since`, nor when there are more than so.

    Raises `NotFound`.
    """
    async with db.reading(following=True) as connection:
        row = (await connection.execute(_STANDING, {"of_run": run})).one_or_none()
        if row is None:
            raise NotFound(f"there is no run {run}")
        standing = Standing(
            live=row.state != RunState.ENDED.value,
            events=row.events,
            lines=row.lines,
            bytes=row.bytes,
            usage=row.usage or 0,
        )
        if since is None or standing.lines - since.lines > most_lines or standing.bytes - since.bytes > most_bytes:
            return News(standing=standing)
        if standing.lines == since.lines:
            return News(standing=standing, lines=())
        rows = (await connection.execute(_LINES, {"of_run": run, "after": since.lines})).all()
    return News(standing=standing, lines=lines_of(rows, since.lines, standing.lines - since.lines))
