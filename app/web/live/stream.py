"""What one reader is sent, for as long as it listens: the record after its cursor, then whatever is new.

First view, reconnect, slow reader and server restart are one code path. Frames are the caller's to send as they are.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from app.web.live.feeds import Feeds
from app.web.live.frames import Cursor, frame
from app.web.live.readers import RunReader, WallReader, WallTopic

#: Seconds between looks whether the reader may still read; looked at with a heartbeat.
CHECK_SECONDS = 30.0
#: Frames of output before looking up again: a reader that catches up still gets alerts and heartbeats.
FRAMES_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who reads. `may_read` is asked each `check_seconds`; one frame may take it `patience` seconds."""

    server: str  #: differs after each start of the server
    version: str
    name: str = ""  #: whose runs "mine" means
    session: str = ""  #: "": a program, which watches nothing
    seen: frozenset[int] | None = None  #: runs that its visible pages show; None: all it asks for
    words: bool = True  #: whether the wall shows what agents write
    may_read: Callable[[], Awaitable[bool]]
    check_seconds: float = CHECK_SECONDS
    patience: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """What a reader wants: runs, each after a cursor, and walls. With neither it follows the header alone."""

    runs: Mapping[int, Cursor] = field(default_factory=dict)
    walls: tuple[WallTopic, ...] = ()
    missing: tuple[int, ...] = ()  #: runs that it asked for and that are not there


def hello(listener: Listener, key: str = "") -> bytes:
    """The first frame. `retry` differs per reader, so that a restart is not followed by a storm.

    `key` is this stream's, for telling which runs are seen from now on.
    """
    data = {"server": listener.server, "version": listener.version, "now": round(time.time(), 3), "stream": key}
    return frame("hello", data, retry_ms=random.randint(1000, 5000))


def bye(why: str) -> bytes:
    """The last frame: "shutdown" (come back soon) or "signed_out"."""
    return frame("bye", {"why": why})


def heartbeat(runs: Mapping[int, RunReader]) -> bytes:
    """The server's time, and how far the reader is in each run; `cursor` too when it follows one."""
    cursors = {str(run): str(reader.cursor) for run, reader in runs.items()}
    beat: dict[str, object] = {"now": round(time.time(), 3), "cursors": cursors}
    if len(runs) == 1:
        (beat["cursor"],) = cursors.values()
    return frame("hb", beat)


def _watching(stack: ExitStack, feeds: Feeds, topics: Topics, listener: Listener) -> str:
    """Counts the person as a watcher while the stack is open; the key of this stream."""
    if not listener.session:
        return ""
    seen = topics.runs.keys() if listener.seen is None else listener.seen & topics.runs.keys()
    return stack.enter_context(feeds.presence.watch(session=listener.session, name=listener.name, runs=seen))


async def frames(feeds: Feeds, topics: Topics, listener: Listener) -> AsyncGenerator[bytes, None]:
    """Everything about the topics, each run after its cursor, for ever.

    Fragments of all topics come first: an alert is never late behind the output of another run.
    """
    with ExitStack() as stack:
        ear = stack.enter_context(feeds.reader(patience=listener.patience))
        run_feeds = {run: stack.enter_context(feeds.run(run, ear)) for run in topics.runs}
        wall_news = stack.enter_context(feeds.wall_news(ear)) if topics.walls else None
        strip_feed = stack.enter_context(feeds.strip(ear))
        first = hello(listener, _watching(stack, feeds, topics, listener))
        yield first + b"".join(frame("missing", {"run": run}) for run in topics.missing)
        for feed in (*run_feeds.values(), wall_news, strip_feed):
            if feed is not None:
                await feed.ready()
        runs = {run: RunReader(feed, topics.runs[run]) for run, feed in run_feeds.items()}
        me, words = listener.name, listener.words
        walls = [WallReader(wall_news, topic, me=me, words=words) for topic in topics.walls if wall_news]
        # Readers that came together, after a restart, ask one after the other.
        strip, check_at = b"", time.monotonic() + listener.check_seconds * random.random()
        while not feeds.leaving.is_set():
            parts: list[bytes] = []
            for reader in runs.values():
                parts += reader.fragments()
            for wall in walls:
                parts += await wall.fragments()
            if strip_feed.frame is not strip:
                strip = strip_feed.frame
                parts.append(strip)
            strip_feed.require_whole()
            for reader in runs.values():
                parts += [part for part in (reader.next(), reader.tally()) if part]
            if ear.beat_due:
                ear.beat_due = False
                parts.append(heartbeat(runs))
                if time.monotonic() >= check_at:
                    check_at = time.monotonic() + listener.check_seconds
                    if not await listener.may_read():
                        yield bye("signed_out")
                        return
            if parts:
                ear.sending()
                yield parts[0] if len(parts) == 1 else b"".join(parts)
                ear.sent()
            for reader in runs.values():
                count = 0
                while reader.lost and count < FRAMES_AT_ONCE:
                    count += 1
                    if news := await reader.read_on():
                        ear.sending()
                        yield news
                        ear.sent()
            if not any(reader.behind for reader in runs.values()):
                await ear.wait()
        yield bye("shutdown")
