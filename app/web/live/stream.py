"""What one reader is sent, for as long as it listens: the store after its cursor, then again whenever the bell rings.

First view, reconnect, slow reader and server restart are one code path. Frames are the caller's to send as they are.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import anyio

from app.supervision.doorbell import Bell
from app.web.live.feeds import Feeds
from app.web.live.frames import Cursor, at, frame
from app.web.live.run_feed import Head, RunFeed
from app.web.live.wall_feed import Wall

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
    may_read: Callable[[], Awaitable[bool]]
    leaving: anyio.Event = field(default_factory=anyio.Event)
    check_seconds: float = CHECK_SECONDS


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

    async def pause(self, bell: Bell, *, most: float = math.inf) -> None:
        """Until something rings or the next heartbeat is due, and not longer than `most` seconds."""
        try:
            async with asyncio.timeout(max(0.0, min(most, self._beat_at - time.monotonic()))):
                await bell.wait()
        except TimeoutError:
            pass


def hello(listener: Listener) -> bytes:
    """The first frame. `retry` differs per reader, so that a restart is not followed by a storm."""
    data = {"server": listener.server, "version": listener.version, "now": round(time.time(), 3)}
    return frame("hello", data, retry_ms=random.randint(1000, 5000))


def bye(why: str) -> bytes:
    """The last frame: "shutdown" (come back soon) or "signed_out"."""
    return frame("bye", {"why": why})


async def run_frames(feeds: Feeds, run: int, cursor: Cursor, listener: Listener) -> AsyncIterator[bytes]:
    """Everything about one run after `cursor`, for ever."""
    with feeds.run(run) as (feed, bell):
        yield hello(listener)
        pulse, seen, eof = _Pulse(listener), Head(), False
        strip_seen = -1
        while not listener.leaving.is_set():
            head = await feed.look()
            cursor = replace(cursor, event=head.event)
            for fragment in _fragments(head, seen):
                yield at(cursor, fragment)
            seen = head
            strip = await feeds.strip()
            if strip.version != strip_seen:
                strip_seen = strip.version
                yield strip.frame
            for _ in range(FRAMES_AT_ONCE):
                if (news := await _next(feed, head, cursor)) is None:
                    break
                cursor, shared = news
                yield at(cursor, shared)
            if beat := pulse.beat(cursor):
                yield beat
            if not await pulse.may_go_on():
                yield bye("signed_out")
                return
            if cursor.line < head.line or cursor.usage < head.usage:
                continue
            if head.ended and not eof:
                eof = True
                yield at(cursor, frame("eof", {"run": run}))
            await pulse.pause(bell, most=feed.due_in())
        yield bye("shutdown")


def _fragments(head: Head, seen: Head) -> list[bytes]:
    """Alerts first: they are never late behind output."""
    changed = [head.alerts] if head.alerts_version != seen.alerts_version else []
    return [*changed, head.panel] if head.version != seen.version else changed


async def _next(feed: RunFeed, head: Head, cursor: Cursor) -> tuple[Cursor, bytes] | None:
    """The next frame of usage or lines after the cursor and the cursor after it; None when it is at the head."""
    if cursor.usage < head.usage and (link := await feed.usage_after(cursor.usage)):
        return replace(cursor, usage=link.last), link.frame
    if cursor.line < head.line and (link := await feed.lines_after(cursor.line)):
        return replace(cursor, line=link.last), link.frame
    return None


async def wall_frames(feeds: Feeds, listener: Listener) -> AsyncIterator[bytes]:
    """All cards, then those that change, for ever. A reader that comes back gets all of them again."""
    with feeds.wall() as (feed, bell):
        yield hello(listener)
        pulse, sent = _Pulse(listener), dict[int, int]()
        queue_seen = strip_seen = -1
        while not listener.leaving.is_set():
            wall = await feed.look()
            for changed in _changes(wall, sent):
                yield changed
            if wall.queue.version != queue_seen:
                queue_seen = wall.queue.version
                yield wall.queue.frame
            strip = await feeds.strip()
            if strip.version != strip_seen:
                strip_seen = strip.version
                yield strip.frame
            if beat := pulse.beat(None):
                yield beat
            if not await pulse.may_go_on():
                yield bye("signed_out")
                return
            await pulse.pause(bell)
        yield bye("shutdown")


async def house_frames(feeds: Feeds, listener: Listener) -> AsyncIterator[bytes]:
    """The live part of the header alone, for pages that show no run, for ever."""
    with feeds.house() as bell:
        yield hello(listener)
        pulse, strip_seen = _Pulse(listener), -1
        while not listener.leaving.is_set():
            strip = await feeds.strip()
            if strip.version != strip_seen:
                strip_seen = strip.version
                yield strip.frame
            if beat := pulse.beat(None):
                yield beat
            if not await pulse.may_go_on():
                yield bye("signed_out")
                return
            await pulse.pause(bell)
            # Every line of every run rings: the header needs to know a few times a second at most.
            await asyncio.sleep(STRIP_GATHER_SECONDS)
        yield bye("shutdown")


def _changes(wall: Wall, sent: dict[int, int]) -> list[bytes]:
    """Cards this reader has not got in their newest version, and those that left. Updates `sent`."""
    frames = [frame("gone", {"run": run}) for run in sent.keys() - wall.cards.keys()]
    for run in sent.keys() - wall.cards.keys():
        del sent[run]
    for run, sheet in wall.cards.items():
        if sent.get(run) != sheet.version:
            sent[run] = sheet.version
            frames.append(sheet.frame)
    return frames
