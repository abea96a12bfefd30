"""The header's live part as its readers see it."""

from __future__ import annotations

import asyncio

from app.settings import Settings
from app.store.database import Database
from app.supervision.supervisor import Supervisor
from app.web.live.feed import Feed
from app.web.live.frames import frame
from app.web.live.rung import rung_within
from app.web.stop_commands import StopCommands
from app.web.templates import Pages
from app.web.views.strip import strip_of

#: It is read at most once in this time, in seconds: every line of every run rings.
GATHER_SECONDS = 0.5
#: Without any ring it is read again after this, in seconds: the engine is watched without ringing.
AGE_SECONDS = 2.0


class StripFeed(Feed):
    """Shared by all readers. `frame` is another object exactly when it changed."""

    def __init__(
        self, *, db: Database, supervisor: Supervisor, settings: Settings, pages: Pages, commands: StopCommands
    ) -> None:
        super().__init__()
        self._db = db
        self._supervisor = supervisor
        self._settings = settings
        self._pages = pages
        self._commands = commands
        self.frame = b""

    async def follow(self) -> None:
        with self._supervisor.doorbell.listen() as bell:
            while True:
                strip = await strip_of(self._db, self._supervisor, self._settings, self._commands)
                html = self._pages.render(strip)
                made = frame("strip", {"html": html})
                if made != self.frame:
                    self.frame = made
                    await self.tell()
                await asyncio.sleep(GATHER_SECONDS)
                await rung_within(bell, AGE_SECONDS)
