"""Events of runs: append and read, never change."""

from __future__ import annotations

from app.domain.events import Event, Recorded
from app.store.database import Database


async def append(db: Database, run: int, *events: Event, at: float) -> list[Recorded]:
    """Record events with the next dense `seq` of the run and its current last line."""
    raise NotImplementedError


async def read(db: Database, run: int, *, after: int = 0, limit: int = 1000) -> list[Recorded]:
    """Events with seq > `after`, in order."""
    raise NotImplementedError


async def last_seq(db: Database, run: int) -> int:
    raise NotImplementedError
