"""Wakes those who follow a wall."""

from __future__ import annotations

from app.supervision.doorbell import Doorbell
from app.web.live.feed import Feed
from app.web.live.rung import rung_within
from app.web.live.wall_feed import Wall, WallFeed


class WallNews(Feed):
    """Shared by all who follow any wall: it is read once for all of them."""

    def __init__(self, feed: WallFeed, doorbell: Doorbell) -> None:
        super().__init__()
        self._feed = feed
        self._doorbell = doorbell
        self._wall: Wall | None = None

    @property
    def wall(self) -> Wall:
        """The newest. Only when `ready`. Raises what reading raised."""
        self.require_whole()
        assert self._wall is not None
        return self._wall

    async def follow(self) -> None:
        with self._doorbell.listen() as bell:
            while True:
                wall = await self._feed.look()
                if wall is not self._wall:
                    self._wall = wall
                    await self.tell()
                await rung_within(bell, self._feed.due_in())
