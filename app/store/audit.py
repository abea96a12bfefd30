"""Who did what: appended, never changed."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store import tables
from app.store.database import Database
from app.store.whole import whole


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    id: int
    at: float
    actor: str
    action: str  #: "evaluation.submit", "run.stop", "stop_all", "hold.release", "session.open", "token.create", …
    subject: str  #: "run 42"
    detail: str


@whole
async def append(db: Database, *, at: float, actor: str, action: str, subject: str = "", detail: str = "") -> None:
    """Raises `Broken` when it cannot be stored."""
    async with db.writing() as connection:
        await record(connection, at=at, actor=actor, action=action, subject=subject, detail=detail)


@whole
async def read(db: Database, *, before: int | None = None, limit: int = 100) -> list[AuditEntry]:
    """Newest first. `before`: ids below it, for paging."""
    query = select(tables.audit).order_by(tables.audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(tables.audit.c.id < before)
    async with db.reading() as connection:
        return [
            AuditEntry(id=row.id, at=row.at, actor=row.actor, action=row.action, subject=row.subject, detail=row.detail)
            for row in await connection.execute(query)
        ]


async def record(
    connection: AsyncConnection, *, at: float, actor: str, action: str, subject: str = "", detail: str = ""
) -> None:
    """`append` inside the caller's transaction: the act and its entry are stored together."""
    entry = {"at": at, "actor": actor, "action": action, "subject": subject, "detail": detail}
    await connection.execute(insert(tables.audit).values(entry))
