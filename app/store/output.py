"""What was printed: compressed chunks of lines with dense, permanent numbers.

Small appends are small chunks; when those open at the end reach 64 KiB or 200 chunks, they are merged into one.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.errors import Conflict, NotFound
from app.store import tables
from app.store.chunk import FULL, Chunk, Codec, CorruptChunk, StoredLine, decode, encode, split, weight
from app.store.database import Database

log = logging.getLogger(__name__)

#: Small chunks that may be open at a run's end before they are merged.
MOST_OPEN = 200
#: Above this many raw bytes (about 1 ms) compressing and decompressing leave the event loop. Both are pure and release
#: the interpreter's lock, so that a thread is safe and helps.
OFF_LOOP = 256 * 1024

_PENDING = struct.Struct("<BI")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayPosition:
    """How far a sandbox's relay is stored: everything before `offset`, with the unfinished lines in `pending`."""

    sandbox: str
    offset: int
    pending: Mapping[int, bytes] = field(default_factory=dict)  #: stream -> bytes after its last newline


Batch = tuple[Sequence[StoredLine], RelayPosition | None]


async def append(db: Database, run: int, lines: Sequence[StoredLine], position: RelayPosition | None = None) -> None:
    """Store `lines` (numbers follow the run's last) and how far the relay is stored, in one transaction.

    Updates the run's `lines` and `bytes` (the lines' bytes and their newlines: as printed). Small appends are merged
    into chunks of about 64 KiB of raw bytes. Raises `Broken` when it cannot be stored (disk full, locked), `NotFound`,
    and `Conflict` when a number does not follow: nothing of it is stored then.
    """
    await append_many(db, {run: (lines, position)})


async def append_many(db: Database, batches: Mapping[int, Batch]) -> None:
    """`append` for several runs in one transaction: what the recorder does each 50 ms. All or nothing."""
    if not batches:
        return
    async with db.writing() as connection:
        standing = await _standing(connection, batches)
        plans = [
            await _plan(connection, run, lines, standing[run].progress)
            for run, (lines, _) in batches.items()
            if lines
        ]
        chunks = await _encoded(plans)
        if chunks:
            await connection.execute(insert(tables.output_chunks), chunks)
        if plans:
            await connection.execute(_ADVANCE, [plan.progress for plan in plans])
        await _place(connection, batches, standing)


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
    async with db.reading() as connection:
        last = after + limit
        if most_bytes is not None:
            sizes = select(table.last_line, table.raw_bytes).where(*here).order_by(table.last_line)
            last = _last_within((await connection.execute(sizes)).all(), most_bytes)
        query = select(tables.output_chunks).where(*here, table.first_line <= last).order_by(table.last_line)
        rows = (await connection.execute(query)).all()
    if sum(row.raw_bytes for row in rows) > OFF_LOOP:
        lines = await asyncio.to_thread(_lines, rows, after, limit)
    else:
        lines = _lines(rows, after, limit)
    return lines if most_bytes is None else _cut(lines, most_bytes)


async def position(db: Database, run: int, sandbox: str) -> RelayPosition:
    """How far the relay of `sandbox` is stored; offset 0 when nothing is."""
    table = tables.relay_positions.c
    query = select(table.offset, table.pending).where(table.run == run, table.sandbox == sandbox)
    async with db.reading() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        return RelayPosition(sandbox=sandbox, offset=0)
    return RelayPosition(sandbox=sandbox, offset=row.offset, pending=_unpack_pending(row.pending))


# ---- appending


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    progress: Row[Any]
    sandboxes: frozenset[str]  #: whose position has a row already


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """One run's part of a transaction: lines per chunk, and its progress after it."""

    run: int
    chunks: Sequence[Sequence[StoredLine]]
    progress: Mapping[str, int]


_ADVANCE = (
    update(tables.progress)
    .where(tables.progress.c.run == bindparam("of_run"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in ("lines", "bytes", "tail_after", "tail_chunks", "tail_weight")
        }
    )
)
_MOVE = (
    update(tables.relay_positions)
    .where(
        tables.relay_positions.c.run == bindparam("of_run"),
        tables.relay_positions.c.sandbox == bindparam("of_sandbox"),
    )
    .values(offset=bindparam("new_offset"), pending=bindparam("new_pending"))
)
_STANDING = (
    select(tables.progress, tables.relay_positions.c.sandbox)
    .outerjoin(tables.relay_positions, tables.relay_positions.c.run == tables.progress.c.run)
    .where(tables.progress.c.run.in_(bindparam("runs", expanding=True)))
    # Another process must not append to these runs until this is committed; on SQLite nobody can anyway.
    .with_for_update(of=tables.progress)
)


async def _standing(connection: AsyncConnection, batches: Mapping[int, Batch]) -> Mapping[int, _Standing]:
    rows = (await connection.execute(_STANDING, {"runs": list(batches)})).all()
    found: dict[int, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(row.run, []).append(row)
    for run in batches:
        if run not in found:
            raise NotFound(f"there is no run {run}")
    return {
        run: _Standing(progress=of_run[0], sandboxes=frozenset(row.sandbox for row in of_run))
        for run, of_run in found.items()
    }


async def _plan(
    connection: AsyncConnection, run: int, lines: Sequence[StoredLine], before: Row[Any]
) -> _Plan:
    last = before.lines
    for line in lines:
        if line.number != last + 1:
            raise Conflict(f"run {run}: line {line.number} does not follow line {last}; read how far it is stored")
        last = line.number
    added = sum([len(line.data) + line.complete for line in lines])
    heavier = before.tail_weight + weight(lines)
    tail_after, tail_chunks = before.tail_after, before.tail_chunks + 1
    chunks = [lines]
    if heavier >= FULL or tail_chunks >= MOST_OPEN:
        tail = await _take_tail(connection, run, before) if before.tail_chunks else []
        chunks = list(split([*tail, *lines]))
        tail_after, tail_chunks, heavier = last, 0, 0
    progress = {
        "of_run": run,
        "new_lines": last,
        "new_bytes": before.bytes + added,
        "new_tail_after": tail_after,
        "new_tail_chunks": tail_chunks,
        "new_tail_weight": heavier,
    }
    return _Plan(run=run, chunks=chunks, progress=progress)


async def _take_tail(connection: AsyncConnection, run: int, before: Row[Any]) -> list[StoredLine]:
    """The lines of the open small chunks, which are removed; none and all stay when one is damaged."""
    table = tables.output_chunks
    tail = (table.c.run == run, table.c.last_line > before.tail_after)
    rows = (await connection.execute(select(table).where(*tail).order_by(table.c.last_line))).all()
    try:
        lines = [line for row in rows for line in decode(_chunk(row))]
    except CorruptChunk as error:
        log.error("run %d: the end of its output is not merged: %s", run, error)
        return []
    await connection.execute(delete(table).where(*tail))
    return lines


async def _encoded(plans: Sequence[_Plan]) -> list[dict[str, object]]:
    work = [(plan.run, lines) for plan in plans for lines in plan.chunks]
    if sum(weight(lines) for _, lines in work) > OFF_LOOP:
        return await asyncio.to_thread(_encode_all, work)
    return _encode_all(work)


def _encode_all(work: Sequence[tuple[int, Sequence[StoredLine]]]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for run, lines in work:
        chunk = encode(lines)
        rows.append(
            {
                "run": run,
                "last_line": chunk.last_line,
                "first_line": chunk.first_line,
                "line_count": chunk.line_count,
                "first_at": chunk.first_at,
                "last_at": chunk.last_at,
                "raw_bytes": chunk.raw_bytes,
                "codec": int(chunk.codec),
                "crc32": chunk.crc32,
                "data": chunk.data,
            }
        )
    return rows


async def _place(
    connection: AsyncConnection, batches: Mapping[int, Batch], standing: Mapping[int, _Standing]
) -> None:
    moved, new = [], []
    for run, (_, where) in batches.items():
        if where is None:
            continue
        pending = _pack_pending(where.pending)
        if where.sandbox in standing[run].sandboxes:
            moved.append(
                {"of_run": run, "of_sandbox": where.sandbox, "new_offset": where.offset, "new_pending": pending}
            )
        else:
            new.append({"run": run, "sandbox": where.sandbox, "offset": where.offset, "pending": pending})
    if moved:
        await connection.execute(_MOVE, moved)
    if new:
        await connection.execute(insert(tables.relay_positions), new)


def _pack_pending(pending: Mapping[int, bytes]) -> bytes:
    return b"".join(_PENDING.pack(stream, len(data)) + data for stream, data in sorted(pending.items()))


def _unpack_pending(packed: bytes) -> dict[int, bytes]:
    pending = {}
    place = 0
    while place < len(packed):
        stream, length = _PENDING.unpack_from(packed, place)
        place += _PENDING.size
        pending[stream] = packed[place : place + length]
        place += length
    return pending


# ---- reading


def _chunk(row: Row[Any]) -> Chunk:
    try:
        codec = Codec(row.codec)
    except ValueError:
        raise CorruptChunk(f"a stored chunk has the unknown codec {row.codec}") from None
    return Chunk(
        first_line=row.first_line,
        last_line=row.last_line,
        first_at=row.first_at,
        last_at=row.last_at,
        raw_bytes=row.raw_bytes,
        codec=codec,
        crc32=row.crc32,
        data=row.data,
    )


def _lines(rows: Sequence[Row[Any]], after: int, limit: int) -> list[StoredLine]:
    lines: list[StoredLine] = []
    for row in rows:
        begin, end = max(after + 1, row.first_line), min(after + limit, row.last_line)
        try:
            found = decode(_chunk(row))
        except CorruptChunk as error:
            log.error("run %d: lines %d to %d cannot be read: %s", row.run, row.first_line, row.last_line, error)
            lines += _placeholders(row, begin, end)
        else:
            lines += found[begin - row.first_line : end - row.first_line + 1]
    return lines


def _placeholders(row: Row[Any], begin: int, end: int) -> list[StoredLine]:
    # One for each line, so that numbers stay dense and a reader's cursor goes on as ever.
    said = f"[lost: the stored output of lines {row.first_line} to {row.last_line} is damaged]".encode()
    return [
        StoredLine(number=number, at=row.first_at / 1e6, stream=2, data=said, complete=True, damaged=True)
        for number in range(begin, end + 1)
    ]


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


__all__ = ["RelayPosition", "StoredLine", "append", "append_many", "position", "read"]
