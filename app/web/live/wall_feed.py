"""The wall as its readers see it: encoded cards, each with a version."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.settings import Settings
from app.store.database import Database
from app.supervision.doorbell import Doorbell
from app.web.live.frames import frame
from app.web.live.rung import rung_since
from app.web.templates import Pages
from app.web.views.cards import cards_of, runs_on_the_wall
from app.web.views.strip import queue_of

#: The wall is read at most once in this time, in seconds: it is for overview, the run page is for reading along.
GATHER_SECONDS = 0.25
#: Without any ring it is read again after this, in seconds: runs leave the wall by age.
AGE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """An encoded fragment; `version` grows when it changes."""

    version: int
    frame: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wall:
    """Run id -> its card, in order of rank, and the queue."""

    cards: Mapping[int, Sheet] = field(default_factory=dict)
    queue: Sheet = Sheet(version=0, frame=b"")


class WallFeed:
    """Shared by all readers of the wall."""

    def __init__(self, *, db: Database, doorbell: Doorbell, pages: Pages, settings: Settings) -> None:
        self._db = db
        self._pages = pages
        self._settings = settings
        self._listening = contextlib.ExitStack()
        self._bell = self._listening.enter_context(doorbell.listen())
        self._lock = asyncio.Lock()
        self._wall: Wall | None = None
        self._rung: frozenset[int] = frozenset()
        self._read_at = 0.0

    def close(self) -> None:
        self._listening.close()

    def ready_in(self) -> float:
        """Seconds until a look waits for nothing."""
        return max(0.0, self._read_at + GATHER_SECONDS - time.monotonic())

    async def look(self) -> Wall:
        """The wall, read again when something rang since anyone looked: the first to come reads for all."""
        async with self._lock:
            # Kept until it was read: who reads may be cancelled on the way.
            self._rung |= await rung_since(self._bell)
            if self._wall is None or self._rung or time.monotonic() - self._read_at > AGE_SECONDS:
                await asyncio.sleep(self.ready_in())
                self._rung |= await rung_since(self._bell)
                self._read_at = time.monotonic()
                self._wall = await self._read(self._wall or Wall(), self._rung)
                self._rung = frozenset()
            return self._wall

    async def _read(self, old: Wall, rung: frozenset[int]) -> Wall:
        """Cards of runs that rang or are new are made again; the others stay as they are."""
        now = time.time()
        present = await runs_on_the_wall(self._db, now=now)
        changed = [run for run in present if run.id in rung or run.id not in old.cards]
        made = {}
        for card in await cards_of(self._db, changed, now=now):
            html = self._pages.render(card)
            encoded = frame("card", {"run": card.run.id, "rank": card.rank, "html": html})
            made[card.run.id] = _newer(old.cards.get(card.run.id), encoded)
        queue = frame("queue", {"html": self._pages.render(await queue_of(self._db, self._settings, now=now))})
        cards = {run.id: made.get(run.id) or old.cards[run.id] for run in present}
        return Wall(cards=cards, queue=_newer(old.queue, queue))


def _newer(old: Sheet | None, encoded: bytes) -> Sheet:
    if old is None:
        return Sheet(version=1, frame=encoded)
    return old if old.frame == encoded else Sheet(version=old.version + 1, frame=encoded)
