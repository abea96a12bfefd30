"""Who did what: appended, never changed."""

from __future__ import annotations

from dataclasses import dataclass

from app.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    id: int
    at: float
    actor: str
    action: str  #: "evaluation.submit", "run.stop", "stop_all", "hold.release", "session.open", "token.create", …
    subject: str  #: "run 42"
    detail: str


async def append(db: Database, *, at: float, actor: str, action: str, subject: str = "", detail: str = "") -> None:
    raise NotImplementedError


async def read(db: Database, *, before: int | None = None, limit: int = 100) -> list[AuditEntry]:
    """Newest first."""
    raise NotImplementedError
