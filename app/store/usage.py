"""Resource usage: one folded point a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePoint:
    """One second of one run. `seq` is dense per run from 1. CPU in cores (1.0 = one core busy)."""

    seq: int
    at: float
    cpu_mean: float
    cpu_max: float
    memory_bytes: int  #: highest in the second
    pids: int  #: highest in the second


async def append(db: Database, run: int, points: Sequence[UsagePoint]) -> None:
    raise NotImplementedError


async def read(db: Database, run: int, *, after: int = 0, limit: int = 4000) -> list[UsagePoint]:
    """Points with seq > `after`, in order."""
    raise NotImplementedError


async def last(db: Database, run: int, count: int) -> list[UsagePoint]:
    """The newest `count` points, in order of time."""
    raise NotImplementedError


async def peak(db: Database, run: int) -> UsagePoint | None:
    """Highest cpu_max, memory and pids over the whole run, as one point (seq of the last); None without points."""
    raise NotImplementedError
