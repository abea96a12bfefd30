"""One reader's place in what it shares with others: which frames of a run and of the wall it has not been sent yet."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from app.web.live.frames import Cursor, at, frame
from app.web.live.run_feed import Head, RunFeed
from app.web.live.wall_feed import Sight, Wall, WallFeed
from app.web.wall_query import WallQuery

#: Seconds between two accounts of one run to one reader.
TALLY_SECONDS = 0.5


class RunReader:
    """One run after `cursor`."""

    def __init__(self, run: int, feed: RunFeed, cursor: Cursor) -> None:
        self._run = run
        self._feed = feed
        self._head: Head | None = None
        self._told_end = False
        self._tally = b""
        self._tally_at = 0.0
        self.cursor = cursor

    async def look(self, rung: frozenset[int]) -> list[bytes]:
        """The fragments that changed, alerts first, if anything rang or was put off."""
        seen = self._head
        if seen is not None and self._run not in rung and self._feed.due_in() > 0:
            return []
        head = self._head = await self._feed.look()
        self.cursor = replace(self.cursor, event=head.event)
        seen = seen or Head()
        changed = [head.alerts] if head.alerts_version != seen.alerts_version else []
        if head.version != seen.version:
            changed.append(head.panel)
        return [at(self.cursor, fragment) for fragment in changed]

    async def next(self) -> bytes | None:
        """The next frame of usage or lines; None when it is at the head. Only after a look."""
        head, cursor, feed = self._head or Head(), self.cursor, self._feed
        if cursor.usage < head.usage and (link := await feed.usage_after(cursor.usage)):
            self.cursor = replace(cursor, usage=link.last)
        elif cursor.line < head.line and (link := await feed.lines_after(cursor.line)):
            self.cursor = replace(cursor, line=link.last)
        else:
            return None
        return at(self.cursor, link.frame)

    def tally(self) -> bytes | None:
        """What was printed against what is stored, when that changed, at most each `TALLY_SECONDS`."""
        if self._head is None or time.monotonic() - self._tally_at < TALLY_SECONDS:
            return None
        tally = self._feed.tally(self._head)
        if tally == self._tally:
            return None
        self._tally, self._tally_at = tally, time.monotonic()
        return tally

    @property
    def behind(self) -> bool:
        head = self._head or Head()
        return self.cursor.line < head.line or self.cursor.usage < head.usage

    def end(self) -> bytes | None:
        """Once, when the run has ended and everything was sent."""
        if self._told_end or self._head is None or not self._head.ended:
            return None
        self._told_end = True
        return at(self.cursor, frame("eof", {"run": self._run}))

    def due_in(self) -> float:
        return self._feed.due_in()


@dataclass(frozen=True, slots=True, kw_only=True)
class WallTopic:
    """A wall that is followed. `key` is the query as the reader wrote it; frames of this wall carry it."""

    key: str
    query: WallQuery


class WallReader:
    """One wall: which runs it shows in which order, their cards, then what changes of these.

    `in_turn`: a look must not hold up the runs beside it. `words`: with what agents wrote.
    """

    def __init__(self, feed: WallFeed, topic: WallTopic, *, me: str, words: bool, in_turn: bool) -> None:
        self._feed = feed
        self._topic = topic
        self._me = me
        self._words = words
        self._in_turn = in_turn
        self._put_off = True
        self._sent: dict[int, int] = {}
        self._order = b""
        self._tools = b""
        self._queue_seen = -1

    async def look(self, rung: frozenset[int]) -> list[bytes]:
        """What this reader has not got: the order, cards in their newest version, the counts and the queue."""
        self._put_off = self._put_off or bool(rung) or self._feed.due_in() == 0.0
        if self._in_turn and (self._feed.ready_in() > 0 or not self._put_off):
            return []
        self._put_off = False
        wall = await self._feed.look()
        sight = wall.sight(self._topic.key, self._topic.query, self._me)
        frames = [sight.order] if sight.order != self._order else []
        frames += await self._cards(wall, sight)
        frames += [sight.tools] if sight.tools != self._tools else []
        self._order, self._tools = sight.order, sight.tools
        if wall.queue.version != self._queue_seen:
            self._queue_seen = wall.queue.version
            frames.append(wall.queue.frame)
        return frames

    def due_in(self) -> float:
        return self._feed.ready_in() if self._put_off else self._feed.due_in()

    async def _cards(self, wall: Wall, sight: Sight) -> list[bytes]:
        frames = []
        for run in self._sent.keys() - set(sight.runs):
            del self._sent[run]  # A card that comes back is sent anew.
        for run in sight.runs:
            entry = wall.entries[run]
            if self._sent.get(run) == entry.version:
                continue
            await entry.in_turn(words=self._words)
            self._sent[run] = entry.version
            frames.append(entry.frame(words=self._words))
        return frames
