"""The queue's latch: set by STOP ALL, released by a named person. While it is set nothing starts."""

from __future__ import annotations

from dataclasses import dataclass

from app.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    actor: str
    text: str
    at: float


async def current(db: Database) -> Hold | None:
    raise NotImplementedError


async def set_hold(db: Database, *, actor: str, text: str, at: float) -> None:
    """Keeps an earlier hold as it is. Writes an audit entry."""
    raise NotImplementedError


async def release(db: Database, *, actor: str, text: str, at: float) -> bool:
    """False when there was none. Writes an audit entry."""
    raise NotImplementedError
