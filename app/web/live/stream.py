"""What one reader is sent, for as long as it listens: the record after its cursor, then whatever is new.

First view, reconnect, slow reader and server restart are one code path. Frames are the caller's to send as they are.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from app.web.live.ears import Ear
from app.web.live.feeds import Feeds
from app.web.live.frames import Cursor, frame
from app.web.live.readers import RunReader, WallReader, WallTopic
from app.web.live.strip_feed import StripFeed
from app.web.live.wire import Wire

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


class _Place:
    """Where one reader is in what it follows, walls aside."""

    def __init__(self, ear: Ear, runs: Mapping[int, RunReader], strip_feed: StripFeed) -> None:
        self._ear = ear
        self._runs = runs
        self._strip_feed = strip_feed
        self._strip = b""

    def news(self, of_walls: Sequence[bytes] = ()) -> bytes:
        """What its reader has not been sent, among it the heartbeat that is due. Raises what reading raised.

        Fragments of all topics come first: an alert is never late behind the output of another run.
        """
        parts: list[bytes] = []
        for reader in self._runs.values():
            parts += reader.fragments()
        parts += of_walls
        self._strip_feed.require_whole()
        if self._strip_feed.frame is not self._strip:
            self._strip = self._strip_feed.frame
            parts.append(self._strip)
        for reader in self._runs.values():
            parts += [part for part in (reader.next(), reader.tally()) if part]
        if self._ear.beat_due:
            self._ear.beat_due = False
            parts.append(heartbeat(self._runs))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def behind(self) -> bool:
        """There is more of a run."""
        return any(reader.behind for reader in self._runs.values())


async def frames(
    feeds: Feeds, topics: Topics, listener: Listener, wire: Wire | None = None
) -> AsyncGenerator[bytes, None]:
    """Everything about the topics, each run after its cursor, for ever.

    While nothing has to be waited for, whoever rings sends by `wire`, and nothing is yielded.
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
        place = _Place(ear, runs, strip_feed)
        # Readers that came together, after a restart, ask one after the other.
        check_at = time.monotonic() + listener.check_seconds * random.random()

        def asks() -> bool:
            """Whether it is time to ask if the reader may still read."""
            return ear.beat_due and time.monotonic() >= check_at

        def at_once() -> bool:
            """Sends what is new. False: the rest is for this reader's own task, because it waits for something."""
            if wire is None or asks() or feeds.leaving.is_set() or any(wall.behind for wall in walls):
                return False
            if (news := place.news()) and not wire.send(news):
                ear.sending()
                return False
            return not place.behind

        while not feeds.leaving.is_set():
            of_walls = [fragment for wall in walls for fragment in await wall.fragments()]
            asking, news = asks(), place.news(of_walls)
            if asking:
                check_at = time.monotonic() + listener.check_seconds
                if not await listener.may_read():
                    yield bye("signed_out")
                    return
            if news:
                ear.sending()
                yield news
                ear.sent()
            for reader in runs.values():
                count = 0
                while reader.lost and count < FRAMES_AT_ONCE:
                    count += 1
                    if news := await reader.read_on():
                        ear.sending()
                        yield news
                        ear.sent()
            if not place.behind:
                await ear.wait(at_once)
                if wire is not None:
                    await wire.rest()
                    ear.sent()
        yield bye("shutdown")
