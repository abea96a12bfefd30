"""An ended run's chunks made large: better compressed, fewer rows, the same lines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.errors import Conflict
from app.domain.runs import RunState
from app.store import tables
from app.store.chunk import SMALL, Chunk, CorruptChunk, columns, encode
from app.store.chunk_rows import chunk_of, row_of
from app.store.database import Database
from app.store.lines import LINE_WEIGHT, Lines, in_one
from app.store.whole import whole

log = logging.getLogger(__name__)

#: Weight of a compacted chunk. Four times larger saves another 2 % of the disk, and costs four times the time to read
#: a window in the middle.
LARGE = 256 * 1024
#: Chunks that are looked at at once.
_MOST_CHUNKS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Neighbouring chunks that become one, and where to look on."""

    rows: Sequence[Row[Any]]
    end: int | None  #: the last line that was looked at; None at the run's end


async def compact(db: Database, run: int) -> None:
    """Rewrite the output of `run` in chunks of about 256 KiB, better compressed; give the room back.

    One chunk at a time, each in a short transaction: whatever else is written or read goes on between them, also for
    this run. It may be cancelled at any moment and called again; a damaged chunk is left as it is. Raises `Broken`.
    """
    end: int | None = 0
    while end is not None:
        group = await _group(db, run, end)
        if len(group.rows) > 1:
            try:
                await _replace(db, run, group.rows)
            except Conflict:
                # The run still prints and has just merged these itself: look again.
                continue
        end = group.end
    await _note(db, run)
    more = True
    while more:
        more = await _reclaim(db)


@whole
async def due(db: Database, *, limit: int = 20) -> list[int]:
    """Runs that have ended and are not compacted yet, oldest first: what a server that was killed left undone."""
    runs, progress = tables.runs.c, tables.progress.c
    query = (
        select(runs.id)
        .join(tables.progress, progress.run == runs.id)
        .where(runs.state == RunState.ENDED.value, progress.compacted.is_(False))
        .order_by(runs.id)
        .limit(limit)
    )
    async with db.reading() as connection:
        return list((await connection.scalars(query)).all())


@whole
async def _reclaim(db: Database) -> bool:
    return await db.reclaim()


@whole
async def _note(db: Database, run: int) -> None:
    async with db.writing() as connection:
        await connection.execute(update(tables.progress).where(tables.progress.c.run == run).values(compacted=True))


@whole
async def _group(db: Database, run: int, after: int) -> _Group:
    """The next neighbours that are too small, as many as make one large chunk."""
    table = tables.output_chunks
    known = (table.c.first_line, table.c.last_line, table.c.raw_bytes)
    here = (table.c.run == run, table.c.last_line > after)
    async with db.reading() as connection:
        outline = select(*known).where(*here).order_by(table.c.last_line).limit(_MOST_CHUNKS)
        found = (await connection.execute(outline)).all()
        first, last = _neighbours(found)
        if first is None:
            return _Group(rows=(), end=None if len(found) < _MOST_CHUNKS else found[-1].last_line)
        rows = (
            select(table).where(table.c.run == run, table.c.last_line.between(first, last)).order_by(table.c.last_line)
        )
        return _Group(rows=(await connection.execute(rows)).all(), end=last)


def _weight(row: Any) -> int:
    return int(row.raw_bytes + LINE_WEIGHT * (row.last_line - row.first_line + 1))


def _neighbours(outline: Sequence[Any]) -> tuple[int | None, int]:
    """The keys of the first and the last of the first neighbours worth merging; None when there are none."""
    first, last, gathered, count = None, 0, 0, 0
    for row in outline:
        heavy = _weight(row)
        if heavy >= LARGE // 2:
            if count > 1:
                break
            first, gathered, count = None, 0, 0
            continue
        first = row.last_line if first is None else first
        last, gathered, count = row.last_line, gathered + heavy, count + 1
        if gathered >= LARGE:
            break
    return (first, last) if count > 1 else (None, 0)


@whole
async def _replace(db: Database, run: int, rows: Sequence[Row[Any]]) -> None:
    """Put one chunk in the place of each row of neighbours that can be read. Raises `Conflict` when they are gone."""
    async with db.one_scan:
        made = await asyncio.to_thread(_merge_all, rows)
    if not made:
        return
    async with db.writing() as connection:
        for parts, chunk in made:
            await _put(connection, run, parts, chunk)


async def _put(connection: AsyncConnection, run: int, parts: Sequence[Row[Any]], chunk: Chunk) -> None:
    table, progress = tables.output_chunks, tables.progress
    replaced = (table.c.run == run, table.c.last_line.in_([row.last_line for row in parts]))
    # The same rows with the same bytes: nobody merged them in between.
    here = select(table.c.last_line, table.c.first_line, table.c.crc32).where(*replaced).order_by(table.c.last_line)
    now = [tuple(row) for row in await connection.execute(here)]
    if now != [(row.last_line, row.first_line, row.crc32) for row in parts]:
        raise Conflict(f"run {run}: its chunks changed")
    await connection.execute(delete(table).where(*replaced))
    await connection.execute(insert(table), [row_of(run, chunk)])
    standing = (await connection.execute(select(progress).where(progress.c.run == run))).one()
    # Of the open small chunks at the end some may be among these.
    tail = [row for row in parts if row.last_line > standing.tail_after]
    if tail:
        values = {
            "tail_after": chunk.last_line,
            "tail_chunks": standing.tail_chunks - len(tail),
            "tail_weight": standing.tail_weight - sum(_weight(row) for row in tail),
        }
        await connection.execute(update(progress).where(progress.c.run == run).values(values))


def _merge_all(rows: Sequence[Row[Any]]) -> list[tuple[Sequence[Row[Any]], Chunk]]:
    """One chunk for each series of rows that can be read; a damaged one parts them and stays."""
    series: list[list[tuple[Row[Any], Lines]]] = [[]]
    for row in rows:
        try:
            series[-1].append((row, columns(chunk_of(row))))
        except CorruptChunk as error:
            log.error("run %d: lines %d to %d are not compacted: %s", row.run, row.first_line, row.last_line, error)
            series.append([])
    return [
        ([row for row, _ in parts], encode(in_one([lines for _, lines in parts]), effort=SMALL))
        for parts in series
        if len(parts) > 1
    ]
