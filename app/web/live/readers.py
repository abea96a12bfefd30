"""One reader's place in what it shares with others: which frames of a run and of the wall it has not been sent yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.web.live.frames import Cursor, at
from app.web.live.run_feed import Head, RunFeed
from app.web.live.wall_feed import Sight, Wall
from app.web.live.wall_news import WallNews
from app.web.wall_query import WallQuery


class RunReader:
    """One run after `cursor`. Only when the feed is ready."""

    def __init__(self, feed: RunFeed, cursor: Cursor) -> None:
        self._feed = feed
        self._seen: Head | None = None  #: its fragments were sent
        self._at: Head | None = None  #: everything up to it was sent
        self._told_end = False
        self._tally = b""
        self.cursor = cursor

    def fragments(self) -> Sequence[bytes]:
        """Those that changed since the last call, alerts first."""
        head, seen = self._feed.head, self._seen
        if head is seen or self._keeps_up:
            return ()
        self._seen = head
        changed = [head.alerts] if seen is None or head.alerts is not seen.alerts else []
        if seen is None or head.panel is not seen.panel:
            changed.append(head.panel)
        self.cursor = Cursor(event=head.cursor.event, line=self.cursor.line, usage=self.cursor.usage)
        return [at(self.cursor, fragment) for fragment in changed]

    def next(self) -> bytes:
        """What follows its place, as all get it who are there; b"": nothing does, or it has to read on by itself."""
        here = self._at
        if here is None or here.next is None or here.next.output is None:
            return b""
        whole, head = self._keeps_up, here.next
        self._at = head
        self.cursor = head.cursor
        self._told_end = self._told_end or head.ended
        if whole and head.step is not None:
            self._seen, self._tally = head, head.tally
            return head.step
        return head.output or b""

    async def read_on(self) -> bytes:
        """The next frame after its cursor, the end among them; b"" when it is at the head."""
        head, cursor = self._feed.head, self.cursor
        if cursor.usage < head.cursor.usage and (link := await self._feed.usage_after(cursor.usage)):
            self.cursor = Cursor(event=cursor.event, line=cursor.line, usage=link.last)
        elif cursor.line < head.cursor.line and (link := await self._feed.lines_after(cursor.line)):
            self.cursor = Cursor(event=cursor.event, line=link.last, usage=cursor.usage)
        else:
            self._at = head
            self.cursor = head.cursor
            return self._end(head)
        return at(self.cursor, link.frame)

    def tally(self) -> bytes:
        """What was printed against what is stored, when that changed; b"" otherwise."""
        tally = self._feed.head.tally
        if tally is self._tally:
            return b""
        self._tally = tally
        return tally

    @property
    def _keeps_up(self) -> bool:
        """It has all of the head before the newest, and is sent one step, fragments and all."""
        here = self._at
        return here is not None and here is self._seen and here.next is self._feed.head and here.next.step is not None

    @property
    def behind(self) -> bool:
        return self._at is not self._feed.head

    @property
    def lost(self) -> bool:
        """It is behind, and nobody shares its place."""
        here = self._at
        return here is None or (here is not self._feed.head and (here.next is None or here.next.output is None))

    def _end(self, head: Head) -> bytes:
        """Once, when the run has ended and everything was sent."""
        if self._told_end or not head.ended:
            return b""
        self._told_end = True
        return at(self.cursor, self._feed.eof())


@dataclass(frozen=True, slots=True, kw_only=True)
class WallTopic:
    """A wall that is followed. `key` is the query as the reader wrote it; frames of this wall carry it."""

    key: str
    query: WallQuery


class WallReader:
    """One wall: which runs it shows in which order, their cards, then what changes of these.

    `words`: with what agents wrote. Only when the feed is ready.
    """

    def __init__(self, feed: WallNews, topic: WallTopic, *, me: str, words: bool) -> None:
        self._feed = feed
        self._topic = topic
        self._me = me
        self._words = words
        self._wall: Wall | None = None
        self._sent: dict[int, int] = {}
        self._order = b""
        self._tools = b""
        self._queue_seen = -1

    @property
    def behind(self) -> bool:
        return self._feed.wall is not self._wall

    async def fragments(self) -> Sequence[bytes]:
        """What this reader has not got: the order, cards in their newest version, the counts and the queue."""
        wall = self._feed.wall
        if wall is self._wall:
            return ()
        self._wall = wall
        sight = wall.sight(self._topic.key, self._topic.query, self._me)
        frames = [sight.order] if sight.order != self._order else []
        frames += await self._cards(wall, sight)
        frames += [sight.tools] if sight.tools != self._tools else []
        self._order, self._tools = sight.order, sight.tools
        if wall.queue.version != self._queue_seen:
            self._queue_seen = wall.queue.version
            frames.append(wall.queue.frame)
        return frames

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
