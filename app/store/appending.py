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
from app.domain.levels import Carry, guess
from app.store import tables
from app.store.block import joined
from app.store.chunk import FULL, CorruptChunk, StoredLine, decode, encode, given_or, split, weight
from app.store.chunk_rows import chunk_of, row_of

log = logging.getLogger(__name__)

#: Small chunks that may be open at a run's end before they are merged.
MOST_OPEN = 200
#: Above this many raw bytes (about 2 ms) encoding and decoding leave the event loop. Both are pure, and the compressor
#: releases the interpreter's lock: a thread is safe and helps.
OFF_LOOP = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """One run's part of a transaction: what is to be encoded, and its progress after it but for the level's carry."""

    run: int
    tail: Sequence[StoredLine]  #: taken back from the store, to be written with the new lines
    lines: Sequence[StoredLine]
    carry: Carry
    full: bool  #: cut into chunks of full weight, else one small chunk
    progress: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Encoded:
    rows: Sequence[Mapping[str, object]]
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
    plans = [await _plan(connection, before, lines) for before, lines in work]
    if plans:
        encoded = await _encoded(plans)
        await connection.execute(insert(tables.output_chunks), [row for each in encoded for row in each.rows])
        await connection.execute(_ADVANCE, [each.progress for each in encoded])


async def _plan(connection: AsyncConnection, before: Row[Any], lines: Sequence[StoredLine]) -> _Plan:
    last = before.lines
    for line in lines:
        if line.number != last + 1:
            raise Conflict(
                f"run {before.run}: line {line.number} does not follow line {last}; read how far it is stored"
            )
        last = line.number
    tail_after, tail_chunks = before.tail_after, before.tail_chunks + 1
    tail_weight = before.tail_weight + weight(lines)
    tail: Sequence[StoredLine] = ()
    full = tail_weight >= FULL or tail_chunks >= MOST_OPEN
    if full:
        tail = await _take_tail(connection, before) if before.tail_chunks else ()
        tail_after, tail_chunks, tail_weight = last, 0, 0
    progress = {
        "of_run": before.run,
        "new_lines": last,
        "new_bytes": before.bytes + sum([len(line.data) + line.complete for line in lines]),
        "new_tail_after": tail_after,
        "new_tail_chunks": tail_chunks,
        "new_tail_weight": tail_weight,
    }
    carry = Carry.unpacked(before.level_carry)
    return _Plan(run=before.run, tail=tail, lines=lines, carry=carry, full=full, progress=progress)


async def _take_tail(connection: AsyncConnection, before: Row[Any]) -> list[StoredLine]:
    """The lines of the open small chunks, which are removed; none, and all stay, when one of them is damaged."""
    table = tables.output_chunks
    tail = (table.c.run == before.run, table.c.last_line > before.tail_after)
    rows = (await connection.execute(select(table).where(*tail).order_by(table.c.last_line))).all()
    try:
        lines = [line for row in rows for line in decode(chunk_of(row))]
    except CorruptChunk as error:
        log.error("run %d: the end of its output is not merged: %s", before.run, error)
        return []
    await connection.execute(delete(table).where(*tail))
    return lines


async def _encoded(plans: Sequence[_Plan]) -> list[_Encoded]:
    if sum(weight(plan.tail) + weight(plan.lines) for plan in plans) > OFF_LOOP:
        return await asyncio.to_thread(_encode_all, plans)
    return _encode_all(plans)


def _encode_all(plans: Sequence[_Plan]) -> list[_Encoded]:
    return [_encode(plan) for plan in plans]


def _encode(plan: _Plan) -> _Encoded:
    guessed, carry = guess(joined([line.data for line in plan.lines]), plan.carry)
    # The tail keeps its levels: each line is guessed once, after the one it may inherit from.
    levels = bytes([line.level for line in plan.tail]) + given_or(plan.lines, guessed)
    lines = [*plan.tail, *plan.lines]
    rows = []
    begin = 0
    for part in split(lines) if plan.full else (lines,):
        end = begin + len(part)
        rows.append(row_of(plan.run, encode(part, levels[begin:end])))
        begin = end
    return _Encoded(rows=rows, progress={**plan.progress, "new_level_carry": carry.packed()})
