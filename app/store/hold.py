"""The queue's latch: set by STOP ALL, released by a named person. While it is set nothing starts."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store import audit, tables
from app.store.database import Database
from app.store.whole import whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    actor: str
    text: str
    at: float


@whole
async def current(db: Database) -> Hold | None:
    """The hold, while there is one."""
    async with db.reading() as connection:
        return await _current(connection)


@whole
async def set_hold(db: Database, *, actor: str, text: str, at: float, note: str = "") -> None:
    """Keeps an earlier hold as it is. Writes an audit entry either way: each press of STOP ALL is told.

    `at` is the press, unix seconds; `note` is for the audit alone.
    """
    async with db.writing() as connection:
        if await _current(connection) is None:
            await connection.execute(insert(tables.hold).values(id=1, actor=actor, text=text, at=at))
        told = f"{text} ({note})" if note else text
        await audit.record(connection, at=at, actor=actor, action="hold.set", subject="queue", detail=told)


@whole
async def release(db: Database, *, actor: str, text: str, at: float) -> bool:
    """False when there was none. Writes an audit entry when there was."""
    async with db.writing() as connection:
        if (await connection.execute(delete(tables.hold))).rowcount == 0:
            return False
        await audit.record(connection, at=at, actor=actor, action="hold.release", subject="queue", detail=text)
        return True


async def _current(connection: AsyncConnection) -> Hold | None:
    row = (await connection.execute(select(tables.hold))).one_or_none()
    return None if row is None else Hold(actor=row.actor, text=row.text, at=row.at)
