"""One reader's place in what it shares with others: which frames of a run and of the wall it has not been sent yet."""

from __future__ import annotations

import math
from dataclasses import replace

from app.web.live.frames import Cursor, at, frame
from app.web.live.run_feed import Head, RunFeed
from app.web.live.wall_feed import Wall, WallFeed


class RunReader:
    """One run after `cursor`."""

    def __init__(self, run: int, feed: RunFeed, cursor: Cursor) -> None:
        self._run = run
        self._feed = feed
        self._head: Head | None = None
        self._told_end = False
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


class WallReader:
    """The wall: all cards, then those that change. `in_turn`: a look must not hold up the runs beside it."""

    def __init__(self, feed: WallFeed, *, in_turn: bool) -> None:
        self._feed = feed
        self._in_turn = in_turn
        self._put_off = True
        self._sent: dict[int, int] = {}
        self._queue_seen = -1

    async def look(self, rung: frozenset[int]) -> list[bytes]:
        """The cards this reader has not got in their newest version, those that left, and the queue."""
        self._put_off = self._put_off or bool(rung)
        if self._in_turn and (self._feed.ready_in() > 0 or not self._put_off):
            return []
        self._put_off = False
        wall = await self._feed.look()
        frames = self._changes(wall)
        if wall.queue.version != self._queue_seen:
            self._queue_seen = wall.queue.version
            frames.append(wall.queue.frame)
        return frames

    def due_in(self) -> float:
        return self._feed.ready_in() if self._put_off else math.inf

    def _changes(self, wall: Wall) -> list[bytes]:
        left = self._sent.keys() - wall.cards.keys()
        frames = [frame("gone", {"run": run}) for run in left]
        for run in left:
            del self._sent[run]
        for run, sheet in wall.cards.items():
            if self._sent.get(run) != sheet.version:
                self._sent[run] = sheet.version
                frames.append(sheet.frame)
        return frames
