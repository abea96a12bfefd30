"""The wall as its readers see it: cards, each with a version, and which of them a query wants.

What rang is read again, the rest stays in memory; a card is rendered when the first reader needs it, and then is
everyone's.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from app.domain.runs import RunState
from app.settings import Settings
from app.store import runs
from app.store.database import Database
from app.supervision.doorbell import Doorbell
from app.supervision.recorder import Account
from app.web.contexts.fragments import Card
from app.web.live.frames import frame
from app.web.live.rung import rung_since
from app.web.parts import WatcherView
from app.web.templates import Pages
from app.web.views.cards import MOST_CARDS, ON_THE_WALL, STAYS_SECONDS, Facts, card_of, facts_of, runs_on_the_wall
from app.web.views.strip import queue_of
from app.web.views.wall import tools_of
from app.web.wall_query import WallQuery, chosen

#: The wall is read at most once in this time, in seconds: it is for overview, the run page is for reading along.
GATHER_SECONDS = 0.25
#: With hundreds of busy runs it is read more seldom: reading takes at most one part in `GATHER_SHARE` of the time.
GATHER_SHARE = 6
LONGEST_GATHER = 2.0
#: Without any ring the need of attention is judged again after this, in seconds: silence is news too.
TICK_SECONDS = 5.0
#: Everything is read again after this, in seconds: runs leave the wall by age.
AGE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """An encoded fragment; `version` grows when it changes."""

    version: int = 0
    frame: bytes = b""


class Entry:
    """One run on the wall. `version` grows when its card changes; rendered once, with and without agents' words."""

    def __init__(self, pages: Pages, facts: Facts, card: Card, version: int) -> None:
        self.facts = facts
        self.card = card
        self.version = version
        self._pages = pages
        self._html: dict[bool, str] = {}
        self._frames: dict[bool, bytes] = {}

    def html(self, *, words: bool) -> str:
        if words not in self._html:
            card = self.card if words else replace(self.card, words=False, last_line="")
            self._html[words] = self._pages.render(card)
        return self._html[words]

    async def in_turn(self, *, words: bool) -> None:
        """Lets others go first before it is rendered: hundreds of cards at once must not hold up the loop."""
        if words not in self._html:
            await asyncio.sleep(0)

    def frame(self, *, words: bool) -> bytes:
        if words not in self._frames:
            self._frames[words] = frame("card", {"run": self.card.run.id, "html": self.html(words=words)})
        return self._frames[words]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one query wants of the wall, encoded: which runs in which order, and the counts beside them."""

    runs: tuple[int, ...]
    order: bytes
    tools: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wall:
    """All of it at one moment."""

    pages: Pages
    entries: Mapping[int, Entry] = field(default_factory=dict)
    queue: Sheet = Sheet()
    _sights: dict[tuple[str, WallQuery, str], Sight] = field(default_factory=dict)

    @property
    def cards(self) -> list[Card]:
        return [entry.card for entry in self.entries.values()]

    def sight(self, key: str, query: WallQuery, me: str) -> Sight:
        """`key` is how the reader calls it; readers of the same thing share it."""
        asked = (key, query, me if query.mine else "")
        if asked not in self._sights:
            cards = self.cards
            wanted = tuple(card.run.id for card in chosen(query, cards, me=me))
            tools = self.pages.render(tools_of(query, cards, shown=len(wanted), me=me))
            self._sights[asked] = Sight(
                runs=wanted,
                order=frame("sight", {"wall": key, "runs": wanted}),
                tools=frame("tools", {"wall": key, "html": tools}),
            )
        return self._sights[asked]


class WallFeed:
    """Shared by all readers of the wall."""

    def __init__(
        self,
        *,
        db: Database,
        doorbell: Doorbell,
        pages: Pages,
        settings: Settings,
        account: Callable[[int], Account | None],
        watchers: Callable[[int], tuple[WatcherView, ...]],
    ) -> None:
        self._db = db
        self._pages = pages
        self._settings = settings
        self._account = account
        self._watchers = watchers
        self._listening = contextlib.ExitStack()  # It lives as long as the server.
        self._bell = self._listening.enter_context(doorbell.listen())
        self._lock = asyncio.Lock()
        self._wall: Wall | None = None
        self._rung: frozenset[int] = frozenset()
        self._read_at = -math.inf
        self._full_at = -math.inf
        self._gather = GATHER_SECONDS

    def ready_in(self) -> float:
        """Seconds until a look waits for nothing."""
        return max(0.0, self._read_at + max(GATHER_SECONDS, self._gather) - time.monotonic())

    def due_in(self) -> float:
        """Seconds until a look is worth it though nothing rings."""
        return max(0.0, self._read_at + TICK_SECONDS - time.monotonic())

    async def look(self, *, at_once: bool = False) -> Wall:
        """The wall, read again when something rang since anyone looked: the first to come reads for all.

        `at_once`: as it was read last, when reading it again would have to wait long.
        """
        if at_once and self._wall is not None and self.ready_in() > GATHER_SECONDS:
            return self._wall
        async with self._lock:
            # Kept until it was read: who reads may be cancelled on the way.
            self._rung |= await rung_since(self._bell)
            if self._wall is None or self._rung or self.due_in() == 0.0:
                await asyncio.sleep(self.ready_in())
                self._rung |= await rung_since(self._bell)
                self._read_at = time.monotonic()
                self._wall = await self._read(self._wall or Wall(pages=self._pages), self._rung)
                self._rung = frozenset()
                took = time.monotonic() - self._read_at
                self._gather = min(LONGEST_GATHER, took * GATHER_SHARE)
            return self._wall

    async def _read(self, old: Wall, rung: frozenset[int]) -> Wall:
        now, full = time.time(), self._read_at - self._full_at > AGE_SECONDS or len(old.entries) > MOST_CARDS
        if full:
            self._full_at = self._read_at
            present = {run.id: run for run in await runs_on_the_wall(self._db, now=now)}
            stale = [run for run in present.values() if run.id in rung or run.id not in old.entries]
        else:
            some = await runs.select(self._db, ids=rung, limit=len(rung), narrow=True) if rung else []
            stale = [run for run in some if run.state in ON_THE_WALL or _lately(run.ended_at, now)]
            gone = {run.id for run in some} - {run.id for run in stale}
            present = {id: entry.facts.run for id, entry in old.entries.items() if id not in gone}
            present |= {run.id: run for run in stale}
        fresh = await facts_of(self._db, stale, {id: entry.facts for id, entry in old.entries.items()})
        entries = {id: self._entry(old.entries.get(id), fresh.get(id), now) for id in present}
        queue = await self._queue(old.queue, now) if full or 0 in rung or not old.queue.version else old.queue
        return Wall(pages=self._pages, entries=entries, queue=queue)

    def _entry(self, old: Entry | None, fresh: Facts | None, now: float) -> Entry:
        facts = fresh or (old.facts if old else None)
        assert facts is not None
        run = facts.run.id
        card = card_of(facts, account=self._account(run), watchers=self._watchers(run), now=now)
        if old is None:
            return Entry(self._pages, facts, card, 1)
        if fresh is None and _judged(old.card) == _judged(card):
            return old  # Only its clock went on, and that the page does by itself.
        return Entry(self._pages, facts, card, old.version + 1)

    async def _queue(self, old: Sheet, now: float) -> Sheet:
        html = self._pages.render(await queue_of(self._db, self._settings, now=now))
        encoded = frame("queue", {"html": html})
        return old if old.frame == encoded else Sheet(version=old.version + 1, frame=encoded)


def _lately(ended_at: float | None, now: float) -> bool:
    return ended_at is not None and ended_at > now - STAYS_SECONDS


def _judged(card: Card) -> tuple[object, ...]:
    return card.rank, card.why, card.near, card.watchers, card.run.state == RunState.ENDED.value
