"""All feeds of one server, and the pulse of its readers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from app.domain.errors import Unavailable
from app.settings import Settings
from app.store.database import Database
from app.supervision.supervisor import Supervisor
from app.web.live.ears import Ear, Ears
from app.web.live.feed import WITH_NEWS_SECONDS, Feed
from app.web.live.permits import Permits
from app.web.live.presence import Presence
from app.web.live.reading import Reading
from app.web.live.run_feed import RunFeed
from app.web.live.strip_feed import StripFeed
from app.web.live.wall_feed import WallFeed
from app.web.live.wall_news import WallNews
from app.web.stop_commands import StopCommands
from app.web.templates import Pages

#: Streams at once: a thousand pages, and those that just came back while the server has not yet seen them go. Requests
#: that change something are never counted.
MOST_READERS = 1200
#: Seconds between heartbeats: named frames, so that a page can tell a silent stream from a dead one.
BEAT_SECONDS = 2.0
#: Seconds that readers have for the last frame when the server leaves.
FAREWELL_SECONDS = 0.5

F = TypeVar("F", bound=Feed)


@dataclass(slots=True, kw_only=True, eq=False)
class _Shared(Generic[F]):
    feed: F
    task: asyncio.Task[None]
    readers: int = 0


class Feeds:
    """Open with `open_feeds`. A feed is made for its first reader and ends with its last."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        *,
        db: Database,
        supervisor: Supervisor,
        settings: Settings,
        pages: Pages,
        commands: StopCommands,
    ) -> None:
        self.leaving = asyncio.Event()  #: the server shuts down
        self._group = group
        self._db = db
        self._supervisor = supervisor
        self._settings = settings
        self._pages = pages
        self._commands = commands
        self._shared: dict[Hashable, _Shared[Any]] = {}
        self._ears = Ears()
        self._reading = Reading(db, group)
        self._wall: WallFeed | None = None
        self.permits = Permits()
        self.presence = Presence(supervisor.doorbell)

    @property
    def readers(self) -> int:
        """Streams that are open."""
        return len(self._ears)

    @contextmanager
    def reader(self, *, patience: float = math.inf) -> Iterator[Ear]:
        """One more reader, and its ear: the task that reads is cancelled when one frame takes it longer than that."""
        ear = Ear(patience)
        with self._ears.listening(ear):
            yield ear

    @contextmanager
    def run(self, run: int, ear: Ear) -> Iterator[RunFeed]:
        """The run's feed, shared with whoever else reads it; `ear` is rung when there is news."""

        def make() -> RunFeed:
            return RunFeed(
                run,
                db=self._db,
                reading=self._reading,
                doorbell=self._supervisor.doorbell,
                pages=self._pages,
                account=self._supervisor.account,
                watchers=self.presence.of,
                attended=self._supervisor.attended,
                commands=self._commands.of_run(run),
            )

        with self._share(run, make, ear) as feed:
            yield feed

    def wall(self) -> WallFeed:
        """The wall as it is read for all. It stays: a page that is loaded finds what the last one left."""
        if self._wall is None:
            self._wall = WallFeed(
                db=self._db,
                doorbell=self._supervisor.doorbell,
                pages=self._pages,
                settings=self._settings,
                account=self._supervisor.account,
                watchers=self.presence.of,
            )
        return self._wall

    @contextmanager
    def wall_news(self, ear: Ear) -> Iterator[WallNews]:
        """What changes on the wall, shared likewise."""

        def make() -> WallNews:
            return WallNews(self.wall(), self._supervisor.doorbell)

        with self._share("wall", make, ear) as feed:
            yield feed

    @contextmanager
    def strip(self, ear: Ear) -> Iterator[StripFeed]:
        """The header's, shared likewise."""

        def make() -> StripFeed:
            return StripFeed(
                db=self._db,
                supervisor=self._supervisor,
                settings=self._settings,
                pages=self._pages,
                commands=self._commands,
            )

        with self._share("strip", make, ear) as feed:
            yield feed

    @contextmanager
    def _share(self, what: Hashable, make: Callable[[], F], ear: Ear) -> Iterator[F]:
        shared: _Shared[F] | None = self._shared.get(what)
        if shared is None or shared.feed.failed:
            feed = make()
            shared = _Shared(feed=feed, task=self._group.create_task(feed.run(), name=f"feed of {what}"))
            self._shared[what] = shared
        shared.readers += 1
        try:
            with shared.feed.ears.listening(ear):
                yield shared.feed
        finally:
            shared.readers -= 1
            if not shared.readers:
                shared.task.cancel()
                if self._shared.get(what) is shared:
                    del self._shared[what]

    def require_room(self) -> None:
        """Raises `Unavailable` when too many watch already."""
        if self.readers >= MOST_READERS:
            raise Unavailable(f"{MOST_READERS} pages watch already; close some and try again")

    async def beat(self) -> None:
        """Heartbeats for ever, spread over their time; who has taken nothing for too long is let go."""
        while True:
            slices = list(self._ears.slices())
            for some in slices:
                for ear in some:
                    ear.beat()
                await asyncio.sleep(min(BEAT_SECONDS / len(slices), WITH_NEWS_SECONDS))
                for ear in some:
                    ear.ring_if_due()
                await asyncio.sleep(max(0.0, BEAT_SECONDS / len(slices) - WITH_NEWS_SECONDS))
            if not slices:
                await asyncio.sleep(BEAT_SECONDS)

    async def say_goodbye(self) -> None:
        """Wakes all readers when the server leaves; lets those go that do not take their last frame."""
        await self.leaving.wait()
        await self._ears.ring()
        await asyncio.sleep(FAREWELL_SECONDS)
        for some in self._ears.slices():
            for ear in some:
                ear.let_go()

    def close(self) -> None:
        for shared in self._shared.values():
            shared.task.cancel()


@asynccontextmanager
async def open_feeds(
    *, db: Database, supervisor: Supervisor, settings: Settings, pages: Pages, commands: StopCommands
) -> AsyncIterator[Feeds]:
    """The feeds of a server, for as long as it serves."""
    async with asyncio.TaskGroup() as group:
        feeds = Feeds(group, db=db, supervisor=supervisor, settings=settings, pages=pages, commands=commands)
        own = [group.create_task(feeds.beat(), name="heartbeats"), group.create_task(feeds.say_goodbye())]
        try:
            yield feeds
        finally:
            feeds.close()
            for task in own:
                task.cancel()
