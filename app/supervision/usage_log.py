"""Usage points of all runs to the store: those of one second in one transaction, kept while they cannot be stored."""

from __future__ import annotations

import asyncio
import logging

from app.domain.errors import CrucibleError
from app.store import usage
from app.store.database import Database
from app.store.usage import UsagePoint
from app.supervision.doorbell import Doorbell

log = logging.getLogger(__name__)

#: Seconds points gather: all runs end their seconds together, within one reading of each other.
GATHER = 0.12
#: Seconds before another try after points could not be stored.
AGAIN = 1.0
#: Points of one run that wait at most, two hours of them; older ones are given up, and said to be.
MOST_WAITING = 7200


class UsageLog:
    """Owns the writing task: `run` it in a task group, `close` it when no run adds any more."""

    def __init__(self, db: Database, doorbell: Doorbell) -> None:
        self._db = db
        self._doorbell = doorbell
        self._waiting: dict[int, list[UsagePoint]] = {}
        self._wake = asyncio.Event()

    def add(self, run: int, point: UsagePoint) -> None:
        """Never waits and never fails: a disk that is full must not end a watch over limits."""
        points = self._waiting.setdefault(run, [])
        points.append(point)
        if len(points) > MOST_WAITING:
            log.error("run %d: usage of second %d could not be stored and is given up", run, points.pop(0).seq)
        self._wake.set()

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER)
            self._wake.clear()
            if not await self._write():
                await asyncio.sleep(AGAIN)
                self._wake.set()

    async def close(self) -> None:
        """Store what is left, if it can be."""
        await self._write()

    async def _write(self) -> bool:
        """Whether all that waited is stored."""
        waiting, self._waiting = self._waiting, {}
        if await self._stored(waiting):
            return True
        # One run's trouble must not be another's.
        left = {run: points for run, points in waiting.items() if not await self._stored({run: points})}
        for run, points in left.items():
            self._waiting[run] = points + self._waiting.get(run, [])
        return not left

    async def _stored(self, by_run: dict[int, list[UsagePoint]]) -> bool:
        try:
            await usage.append_many(self._db, by_run)
        except CrucibleError as error:
            log.warning("usage of %d runs could not be stored: %s", len(by_run), error)
            return False
        for run in by_run:
            self._doorbell.ring(run)
        return True
