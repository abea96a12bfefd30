"""What was printed: compressed chunks of lines with dense, permanent numbers.

Small appends are small chunks; when those open at the end reach 64 KiB or 200 chunks, they are merged into one.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.errors import NotFound
from app.store import tables
from app.store.appending import store_lines
from app.store.database import Database
from app.store.export import raw, rendered
from app.store.lines import StoredLine
from app.store.reading import last_lines, line_at, read, tail
from app.store.whole import whole

_PENDING = struct.Struct("<BdI")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayPosition:
    """How far a sandbox's relay is stored: everything before `offset`, with the unfinished lines in `pending`."""

    sandbox: str
    offset: int
    #: stream -> when the newest of them were read (unix seconds), and the bytes after its last newline
    pending: Mapping[int, tuple[float, bytes]] = field(default_factory=dict)


Batch = tuple[Sequence[StoredLine], RelayPosition | None]


@whole
async def append(db: Database, run: int, lines: Sequence[StoredLine], position: RelayPosition | None = None) -> None:
    """Store `lines` (numbers follow the run's last) and how far the relay is stored, in one transaction.

    Updates the run's `lines` and `bytes` (the lines' bytes and their newlines: as printed). Small appends are merged
    into chunks of about 64 KiB of raw bytes. Raises `Broken` when it cannot be stored (disk full, locked), `NotFound`,
    and `Conflict` when a number does not follow: nothing of it is stored then.
    """
    await append_many(db, {run: (lines, position)})


@whole
async def append_many(db: Database, batches: Mapping[int, Batch]) -> None:
    """`append` for several runs in one transaction: what the recorder does each 50 ms. All or nothing."""
    if not batches:
        return
    async with db.writing() as connection:
        standing = await _standing(connection, batches)
        with_lines = [(standing[run][0], lines) for run, (lines, _) in batches.items() if lines]
        await store_lines(connection, with_lines)
        await _move_relays(connection, batches, standing)


@whole
async def position(db: Database, run: int, sandbox: str) -> RelayPosition:
    """How far the relay of `sandbox` is stored; offset 0 when nothing is."""
    table = tables.relay_positions.c
    query = select(table.offset, table.pending).where(table.run == run, table.sandbox == sandbox)
    async with db.reading() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        return RelayPosition(sandbox=sandbox, offset=0)
    return RelayPosition(sandbox=sandbox, offset=row.offset, pending=_unpack_pending(row.pending))


_STANDING = (
    select(tables.progress, tables.relay_positions.c.sandbox)
    .outerjoin(tables.relay_positions, tables.relay_positions.c.run == tables.progress.c.run)
    .where(tables.progress.c.run.in_(bindparam("runs", expanding=True)))
    # Nobody else may append to these runs until this is committed; on SQLite nobody can anyway.
    .with_for_update(of=tables.progress)
)
_MOVE = (
    update(tables.relay_positions)
    .where(
        tables.relay_positions.c.run == bindparam("of_run"),
        tables.relay_positions.c.sandbox == bindparam("of_sandbox"),
    )
    .values(offset=bindparam("new_offset"), pending=bindparam("new_pending"))
)


async def _standing(connection: AsyncConnection, batches: Mapping[int, Batch]) -> Mapping[int, list[Row[Any]]]:
    """How far each run is, one row for each of its sandboxes' relays and at least one."""
    rows = (await connection.execute(_STANDING, {"runs": list(batches)})).all()
    standing: dict[int, list[Row[Any]]] = {}
    for row in rows:
        standing.setdefault(row.run, []).append(row)
    for run in batches:
        if run not in standing:
            raise NotFound(f"there is no run {run}")
    return standing


async def _move_relays(
    connection: AsyncConnection, batches: Mapping[int, Batch], standing: Mapping[int, list[Row[Any]]]
) -> None:
    moved, new = [], []
    for run, (_, where) in batches.items():
        if where is None:
            continue
        pending = _pack_pending(where.pending)
        if any(row.sandbox == where.sandbox for row in standing[run]):
            moved.append(
                {"of_run": run, "of_sandbox": where.sandbox, "new_offset": where.offset, "new_pending": pending}
            )
        else:
            new.append({"run": run, "sandbox": where.sandbox, "offset": where.offset, "pending": pending})
    if moved:
        await connection.execute(_MOVE, moved)
    if new:
        await connection.execute(insert(tables.relay_positions), new)


def _pack_pending(pending: Mapping[int, tuple[float, bytes]]) -> bytes:
    return b"".join(_PENDING.pack(stream, at, len(data)) + data for stream, (at, data) in sorted(pending.items()))


def _unpack_pending(packed: bytes) -> dict[int, tuple[float, bytes]]:
    pending = {}
    place = 0
    while place < len(packed):
        stream, at, length = _PENDING.unpack_from(packed, place)
        place += _PENDING.size
        pending[stream] = (at, packed[place : place + length])
        place += length
    return pending


__all__ = [
    "RelayPosition",
    "StoredLine",
    "append",
    "append_many",
    "last_lines",
    "line_at",
    "position",
    "raw",
    "read",
    "rendered",
    "tail",
]
