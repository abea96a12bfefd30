"""What one reader is sent, for as long as it listens: the store after its cursor, then again whenever the bell rings.

First view, reconnect, slow reader and server restart are one code path. Frames are the caller's to send as they are.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import anyio

from app.supervision.doorbell import Bell
from app.web.live.feeds import Feeds
from app.web.live.frames import Cursor, frame
from app.web.live.readers import RunReader, WallReader, WallTopic
from app.web.live.rung import rung_since
from app.web.live.wall_feed import WallFeed

#: Seconds between heartbeats: named frames, so that a page can tell a silent stream from a dead one.
BEAT_SECONDS = 2.0
#: Seconds between looks whether the reader may still read.
CHECK_SECONDS = 30.0
#: Seconds a page that follows only the header lets news gather.
STRIP_GATHER_SECONDS = 0.25
#: Frames of output before looking up again: a reader that catches up still gets alerts and heartbeats.
FRAMES_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who reads. `may_read` is asked each `check_seconds`; `leaving` is set when the server shuts down."""

    server: str  #: differs after each start of the server
    version: str
    name: str = ""  #: whose runs "mine" means
    session: str = ""  #: "": a program, which watches nothing
    seen: frozenset[int] | None = None  #: runs that its visible pages show; None: all it asks for
    words: bool = True  #: whether the wall shows what agents write
    may_read: Callable[[], Awaitable[bool]]
    leaving: anyio.Event = field(default_factory=anyio.Event)
    check_seconds: float = CHECK_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """What a reader wants: runs, each after a cursor, and walls. With neither it follows the header alone."""

    runs: Mapping[int, Cursor] = field(default_factory=dict)
    walls: tuple[WallTopic, ...] = ()
    missing: tuple[int, ...] = ()  #: runs that it asked for and that are not there

    def heard(self) -> tuple[int, ...]:
        """The runs whose rings matter; none: all rings do."""
        return () if self.walls else tuple(self.runs)


class _Pulse:
    """Heartbeats and the check of the reader's right, by the clock."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._beat_at = time.monotonic() + BEAT_SECONDS
        self._check_at = time.monotonic() + listener.check_seconds

    def beat(self, cursor: Cursor | None) -> bytes | None:
        """A heartbeat if one is due."""
        if time.monotonic() < self._beat_at:
            return None
        self._beat_at = time.monotonic() + BEAT_SECONDS
        place = {} if cursor is None else {"cursor": str(cursor)}
        return frame("hb", {"now": round(time.time(), 3), **place})

    async def may_go_on(self) -> bool:
        if time.monotonic() < self._check_at:
            return True
        self._check_at = time.monotonic() + self._listener.check_seconds
        return await self._listener.may_read()

    async def pause(self, bell: Bell, *, most: float = math.inf) -> frozenset[int]:
        """Until something rings or the next heartbeat is due, and not longer than `most` seconds; what rang."""
        try:
            async with asyncio.timeout(max(0.0, min(most, self._beat_at - time.monotonic()))):
                return await bell.wait()
        except TimeoutError:
            return frozenset()


def hello(listener: Listener, key: str = "") -> bytes:
    """The first frame. `retry` differs per reader, so that a restart is not followed by a storm.

    `key` is this stream's, for telling which runs are seen from now on.
    """
    data = {"server": listener.server, "version": listener.version, "now": round(time.time(), 3), "stream": key}
    return frame("hello", data, retry_ms=random.randint(1000, 5000))


def bye(why: str) -> bytes:
    """The last frame: "shutdown" (come back soon) or "signed_out"."""
    return frame("bye", {"why": why})


def _wall(feed: WallFeed, topic: WallTopic, listener: Listener, in_turn: bool) -> WallReader:
    return WallReader(feed, topic, me=listener.name, words=listener.words, in_turn=in_turn)


def _watching(stack: ExitStack, feeds: Feeds, topics: Topics, listener: Listener) -> str:
    """Counts the person as a watcher while the stack is open; the key of this stream."""
    if not listener.session:
        return ""
    seen = topics.runs.keys() if listener.seen is None else listener.seen & topics.runs.keys()
    return stack.enter_context(feeds.presence.watch(session=listener.session, name=listener.name, runs=seen))


async def frames(feeds: Feeds, topics: Topics, listener: Listener) -> AsyncIterator[bytes]:
    """Everything about the topics, each run after its cursor, for ever.

    Fragments of all topics come first: an alert is never late behind the output of another run.
    """
    with ExitStack() as stack:
        bell = stack.enter_context(feeds.stream(*topics.heard()))
        runs = [RunReader(run, stack.enter_context(feeds.run(run)), after) for run, after in topics.runs.items()]
        walls = [_wall(feeds.wall(), each, listener, bool(runs)) for each in topics.walls]
        yield hello(listener, _watching(stack, feeds, topics, listener))
        for run in topics.missing:
            yield frame("missing", {"run": run})
        pulse, strip_seen = _Pulse(listener), -1
        rung: frozenset[int] = frozenset()
        while not listener.leaving.is_set():
            for reader in runs:
                for fragment in await reader.look(rung):
                    yield fragment
            for wall in walls:
                for fragment in await wall.look(rung):
                    yield fragment
            strip = await feeds.strip()
            if strip.version != strip_seen:
                strip_seen = strip.version
                yield strip.frame
            for reader in runs:
                for _ in range(FRAMES_AT_ONCE):
                    if (news := await reader.next()) is None:
                        break
                    yield news
                if tally := reader.tally():
                    yield tally
            if beat := pulse.beat(runs[0].cursor if len(runs) == 1 else None):
                yield beat
            if not await pulse.may_go_on():
                yield bye("signed_out")
                return
            if any(reader.behind for reader in runs):
                rung = await rung_since(bell)
                continue
            for reader in runs:
                if end := reader.end():
                    yield end
            rung = await pulse.pause(
                bell, most=min([*(run.due_in() for run in runs), *(wall.due_in() for wall in walls), math.inf])
            )
            if not runs and not walls:
                # Every line of every run rings: the header needs to know a few times a second at most.
                await asyncio.sleep(STRIP_GATHER_SECONDS)
        yield bye("shutdown")
