"""What all readers of the same thing share: it is read from the store and encoded once, however many watch.

A feed is not a task: the reader that comes first after a ring reads for all. A run's feed lives as long as it has
readers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.domain.errors import Unavailable
from app.settings import Settings
from app.store.database import Database
from app.supervision.doorbell import Bell, Doorbell
from app.supervision.supervisor import Supervisor
from app.web.live.frames import frame
from app.web.live.presence import Presence
from app.web.live.run_feed import RunFeed
from app.web.live.wall_feed import WallFeed
from app.web.templates import Pages
from app.web.views.strip import strip_of

#: Streams at once. Each costs about 40 kB; requests that change something are never counted.
MOST_READERS = 1000
#: The strip is read again when it is older than this, in seconds.
STRIP_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """The encoded strip; `version` grows when it changes."""

    version: int = 0
    frame: bytes = b""


class Feeds:
    """All feeds of one server."""

    def __init__(self, *, db: Database, supervisor: Supervisor, settings: Settings, pages: Pages) -> None:
        self.doorbell: Doorbell = supervisor.doorbell
        self._db = db
        self._supervisor = supervisor
        self._settings = settings
        self._pages = pages
        self._runs: dict[int, tuple[RunFeed, int]] = {}
        self._wall: WallFeed | None = None
        self._strip = Strip()
        self._strip_at = 0.0
        self._strip_lock = asyncio.Lock()
        self.presence = Presence(supervisor.doorbell)
        self.readers = 0

    @contextmanager
    def stream(self, *runs: int) -> Iterator[Bell]:
        """One more reader, and its ear for `runs` (for everything without any): open it before the first read."""
        self.readers += 1
        try:
            with self.doorbell.listen(*runs) as bell:
                yield bell
        finally:
            self.readers -= 1

    @contextmanager
    def run(self, run: int) -> Iterator[RunFeed]:
        """The run's feed, shared with whoever else reads it."""
        feed, readers = self._runs.get(run) or (self._new_run_feed(run), 0)
        self._runs[run] = feed, readers + 1
        try:
            yield feed
        finally:
            feed, readers = self._runs[run]
            if readers > 1:
                self._runs[run] = feed, readers - 1
            else:
                del self._runs[run]
                feed.close()

    def wall(self) -> WallFeed:
        """The wall's feed, shared likewise. It stays: a page that is loaded finds what the last one left."""
        if self._wall is None:
            self._wall = self._new_wall_feed()
        return self._wall

    async def strip(self) -> Strip:
        """The header's live part; at most `STRIP_SECONDS` old."""
        async with self._strip_lock:
            if time.monotonic() - self._strip_at > STRIP_SECONDS:
                self._strip_at = time.monotonic()
                html = self._pages.render(await strip_of(self._db, self._supervisor, self._settings))
                made = frame("strip", {"html": html})
                if made != self._strip.frame:
                    self._strip = Strip(version=self._strip.version + 1, frame=made)
            return self._strip

    def require_room(self) -> None:
        """Raises `Unavailable` when too many watch already."""
        if self.readers >= MOST_READERS:
            raise Unavailable(f"{MOST_READERS} pages watch already; close some and try again")

    def _new_run_feed(self, run: int) -> RunFeed:
        return RunFeed(
            run,
            db=self._db,
            doorbell=self.doorbell,
            pages=self._pages,
            account=self._supervisor.account,
            watchers=self.presence.of,
        )

    def _new_wall_feed(self) -> WallFeed:
        return WallFeed(
            db=self._db,
            doorbell=self.doorbell,
            pages=self._pages,
            settings=self._settings,
            account=self._supervisor.account,
            watchers=self.presence.of,
        )
