"""Windows of a run's output by number and by time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Row, func, or_, select

from app.domain.errors import NotFound
from app.store import tables
from app.store.appending import LINE_COST, OFF_LOOP
from app.store.chunk_rows import lines_of
from app.store.database import Database
from app.store.lines import StoredLine
from app.store.whole import whole

#: Places where the time passes a moment that `line_at` looks at: more than one only when the clock was set.
_MOST_PLACES = 16


@whole
async def read(
    db: Database, run: int, *, after: int, limit: int = 1000, most_bytes: int | None = None
) -> list[StoredLine]:
    """Up to `limit` lines with number > `after`, in order.

    With `most_bytes` fewer when they have more bytes than that, at least one while there are any. Lines of a damaged
    chunk keep their numbers: each says in our own words that it is lost, and has `damaged` set.
    """
    if limit < 1:
        return []
    table = tables.output_chunks.c
    here = (table.run == run, table.last_line > after, table.first_line <= after + limit)
    async with db.reading(following=True) as connection:
        last = after + limit
        if most_bytes is not None:
            sizes = select(table.last_line, table.raw_bytes).where(*here).order_by(table.last_line)
            last = _last_within((await connection.execute(sizes)).all(), most_bytes)
        query = select(tables.output_chunks).where(*here, table.first_line <= last).order_by(table.last_line)
        rows = (await connection.execute(query)).all()
    lines = await _decoded(rows, after, limit)
    return lines if most_bytes is None else _cut(lines, most_bytes)


@whole
async def last_lines(db: Database, runs: Collection[int]) -> Mapping[int, StoredLine]:
    """The newest line of each of these runs. A run that printed nothing is no key."""
    table, progress = tables.output_chunks, tables.progress
    query = (
        select(table)
        .join(progress, (progress.c.run == table.c.run) & (progress.c.lines == table.c.last_line))
        .where(table.c.run.in_(runs))
    )
    async with db.reading() as connection:
        rows = (await connection.execute(query)).all()

    def ends() -> dict[int, StoredLine]:
        return {row.run: lines_of([row], row.last_line - 1, 1)[-1] for row in rows}

    return await asyncio.to_thread(ends) if sum(row.raw_bytes for row in rows) > OFF_LOOP else ends()


@whole
async def tail(
    db: Database, run: int, *, before: int | None = None, limit: int = 1000, most_bytes: int | None = None
) -> list[StoredLine]:
    """The last `limit` lines, or those that end just before line `before`; in ascending order.

    With `most_bytes` fewer when they have more bytes than that, at least one while there are any. Raises `NotFound`.
    """
    if limit < 1:
        return []
    table = tables.output_chunks.c
    async with db.reading() as connection:
        last = await connection.scalar(select(tables.progress.c.lines).where(tables.progress.c.run == run))
        if last is None:
            raise NotFound(f"there is no run {run}")
        last = last if before is None else max(0, min(last, before - 1))
        first = max(1, last - limit + 1)
        # The key is the last line: the one chunk that holds `last` and those before it.
        end = select(func.min(table.last_line)).where(table.run == run, table.last_line >= last).scalar_subquery()
        here = [table.run == run, table.last_line >= first, table.last_line <= end]
        if most_bytes is not None:
            sizes = select(table.first_line, table.last_line, table.raw_bytes).where(*here)
            outline = (await connection.execute(sizes.order_by(table.last_line.desc()))).all()
            # Of the newest chunk only a part may be wanted: its weight says nothing yet.
            first = max(first, _first_within(outline[1:], most_bytes) if len(outline) > 1 else first)
            here.append(table.last_line >= first)
        rows = (await connection.execute(select(tables.output_chunks).where(*here).order_by(table.last_line))).all()
    lines = await _decoded(rows, first - 1, last - first + 1)
    return lines if most_bytes is None else _cut(lines[::-1], most_bytes)[::-1]


@whole
async def line_at(db: Database, run: int, at: float) -> int:
    """The number of the first line at or after `at` (unix seconds); the next number, not there yet, when all are before
    it.

    Where the clock was set, times pass `at` more than once: the passage that comes nearest to it counts, and the first
    of equals. (Within one chunk only those are known that the times of its ends tell of.) Raises `NotFound`.
    """
    moment = round(min(max(at, 0.0), 2**53 / 1e6) * 1e6)
    table = tables.output_chunks.c
    earlier = func.lag(table.last_at).over(order_by=table.last_line).label("earlier")
    known = (table.first_line, table.last_line, table.first_at, table.last_at)
    outline = select(*known, earlier).where(table.run == run).subquery()
    every = outline.c
    between = (or_(every.earlier.is_(None), every.earlier < moment)) & (every.first_at >= moment)
    inside = (every.first_at < moment) & (every.last_at >= moment)
    places = select(outline).where(or_(between, inside)).order_by(every.last_line).limit(_MOST_PLACES)
    async with db.reading() as connection:
        lines = await connection.scalar(select(tables.progress.c.lines).where(tables.progress.c.run == run))
        if lines is None:
            raise NotFound(f"there is no run {run}")
        found = (await connection.execute(places)).all()
        ends = [row.last_line for row in found if row.first_at < moment]
        chunks = select(tables.output_chunks).where(table.run == run, table.last_line.in_(ends))
        rows = (await connection.execute(chunks)).all() if ends else []
    passages = [(row.first_at - moment, row.first_line) for row in found if row.first_at >= moment]
    for row in rows:
        numbered = await _decoded([row], 0, row.last_line)
        if numbered[0].damaged:
            passages.append((row.last_at - moment, row.first_line))
        times = [(round(line.at * 1e6) - moment, line.number) for line in numbered]
        passages += [now for before, now in pairwise(times) if before[0] < 0 <= now[0]]
    return int(min(passages)[1] if passages else lines + 1)


@whole
async def printed_until(db: Database, run: int, line: int) -> int:
    """Bytes of the lines up to number `line`, a newline counted for each."""
    table = tables.output_chunks.c
    # Of what the outline's index holds: the chunks themselves stay unread.
    sizes = select(func.sum(table.raw_bytes + table.last_line - table.first_line + 1), func.max(table.last_line))
    async with db.reading() as connection:
        whole_bytes, after = (await connection.execute(sizes.where(table.run == run, table.last_line <= line))).one()
        inside = select(tables.output_chunks).where(
            table.run == run, table.first_line <= line, table.last_line > (after or 0)
        )
        rows = (await connection.execute(inside.order_by(table.last_line).limit(1))).all()
    rest = await _decoded(rows, after or 0, line - (after or 0))
    return int(whole_bytes or 0) + sum(len(each.data) + 1 for each in rest)


async def _decoded(rows: Sequence[Row[Any]], after: int, limit: int) -> list[StoredLine]:
    # A line costs as much as its bytes do: a flood of bare newlines has little of these.
    if sum(row.raw_bytes + LINE_COST * row.line_count for row in rows) > OFF_LOOP:
        return await asyncio.to_thread(lines_of, rows, after, limit)
    return lines_of(rows, after, limit)


def _last_within(sizes: Sequence[Any], most_bytes: int) -> int:
    """The last line of the chunk in which `most_bytes` is reached."""
    total = last = 0
    for row in sizes:
        total, last = total + row.raw_bytes, row.last_line
        if total >= most_bytes:
            break
    return last


def _cut(lines: list[StoredLine], most_bytes: int) -> list[StoredLine]:
    total = 0
    for index, line in enumerate(lines):
        total += len(line.data)
        if total > most_bytes:
            return lines[: max(index, 1)]
    return lines


def _first_within(sizes: Sequence[Any], most_bytes: int) -> int:
    """The first line of the chunk in which `most_bytes` is reached, newest first."""
    total = first = 0
    for row in sizes:
        total, first = total + row.raw_bytes, row.first_line
        if total >= most_bytes:
            break
    return first
