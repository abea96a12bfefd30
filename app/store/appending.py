"""One transaction's worth of lines: which chunks to write, which to merge, and how far each run has come then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.errors import Conflict
from app.domain.levels import Carry
from app.store import tables
from app.store.chunk import CorruptChunk, columns, encode
from app.store.chunk_rows import chunk_of, row_of
from app.store.lines import FULL, Lines, StoredLine, as_columns, in_one

log = logging.getLogger(__name__)

#: Small chunks that may be open at a run's end before they are merged.
MOST_OPEN = 200
#: Above this many raw bytes (about 2 ms) encoding and decoding leave the event loop. Both are pure, and the compressor
#: releases the interpreter's lock: a thread is safe and helps.
OFF_LOOP = 256 * 1024
#: What a line costs beside its bytes, in bytes: a flood of bare newlines has none.
LINE_COST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _New:
    """What one run has printed."""

    before: Row[Any]  #: its row of `progress`
    lines: Lines
    carry: Carry  #: what its next line may inherit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """One run's part of a transaction: what is to be written, and its progress after it."""

    run: int
    parts: Sequence[Lines]  #: neighbours: the open end as it was taken back from the store, and what is new
    full: bool  #: cut into chunks of full weight, else one small chunk
    progress: Mapping[str, int]


_ADVANCE = (
    update(tables.progress)
    .where(tables.progress.c.run == bindparam("of_run"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in ("lines", "bytes", "tail_after", "tail_chunks", "tail_weight", "level_carry")
        }
    )
)


async def store_lines(connection: AsyncConnection, work: Sequence[tuple[Row[Any], Sequence[StoredLine]]]) -> None:
    """Store one or more lines for each run, whose row of `progress` comes with them.

    Raises `Conflict` when a number does not follow.
    """
    if not work:
        return
    for before, lines in work:
        _check_numbers(before, lines)
    heavy = sum([len(line.data) + LINE_COST for _, lines in work for line in lines]) > OFF_LOOP
    news = await asyncio.to_thread(_columns_of_all, work) if heavy else _columns_of_all(work)
    plans = [await _plan(connection, new) for new in news]
    heavy = sum(part.weight for plan in plans for part in plan.parts) > OFF_LOOP
    rows = await asyncio.to_thread(_rows_of_all, plans) if heavy else _rows_of_all(plans)
    await connection.execute(insert(tables.output_chunks), rows)
    await connection.execute(_ADVANCE, [plan.progress for plan in plans])


def _check_numbers(before: Row[Any], lines: Sequence[StoredLine]) -> None:
    last = before.lines
    for line in lines:
        if line.number != last + 1:
            raise Conflict(
                f"run {before.run}: line {line.number} does not follow line {last}; read how far it is stored"
            )
        last = line.number


def _columns_of_all(work: Sequence[tuple[Row[Any], Sequence[StoredLine]]]) -> list[_New]:
    news = []
    for before, lines in work:
        columns, carry = as_columns(lines, Carry.unpacked(before.level_carry))
        news.append(_New(before=before, lines=columns, carry=carry))
    return news


async def _plan(connection: AsyncConnection, new: _New) -> _Plan:
    before, lines = new.before, new.lines
    tail_after, tail_chunks = before.tail_after, before.tail_chunks + 1
    tail_weight = before.tail_weight + lines.weight
    parts = [lines]
    full = tail_weight >= FULL or tail_chunks >= MOST_OPEN
    if full:
        parts = [*(await _take_tail(connection, before) if before.tail_chunks else ()), lines]
        tail_after, tail_chunks, tail_weight = lines.last, 0, 0
    progress = {
        "of_run": before.run,
        "new_lines": lines.last,
        "new_bytes": before.bytes + lines.printed,
        "new_tail_after": tail_after,
        "new_tail_chunks": tail_chunks,
        "new_tail_weight": tail_weight,
        "new_level_carry": new.carry.packed(),
    }
    return _Plan(run=before.run, parts=parts, full=full, progress=progress)


async def _take_tail(connection: AsyncConnection, before: Row[Any]) -> list[Lines]:
    """The lines of the open small chunks, which are removed; none, and all stay, when one of them is damaged.

    They keep their levels: each line is guessed once, after the one it may inherit from.
    """
    table = tables.output_chunks
    tail = (table.c.run == before.run, table.c.last_line > before.tail_after)
    rows = (await connection.execute(select(table).where(*tail).order_by(table.c.last_line))).all()
    try:
        lines = [columns(chunk_of(row)) for row in rows]
    except CorruptChunk as error:
        log.error("run %d: the end of its output is not merged: %s", before.run, error)
        return []
    await connection.execute(delete(table).where(*tail))
    return lines


def _rows_of_all(plans: Sequence[_Plan]) -> list[Mapping[str, object]]:
    rows: list[Mapping[str, object]] = []
    for plan in plans:
        lines = in_one(plan.parts)
        rows += [row_of(plan.run, encode(part)) for part in (lines.cut() if plan.full else (lines,))]
    return rows
