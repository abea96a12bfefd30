"""What readers of the same thing share: one task reads the record for all of them, however many they are."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from app.web.live.ears import Ears

#: Seconds that what hurries nobody waits for news to travel with: a send costs more than what is in it.
WITH_NEWS_SECONDS = 0.2


class Feed(ABC):
    """Lives as long as it has readers. When it fails, they fail with it and come back to a new one."""

    def __init__(self) -> None:
        self.ears = Ears()
        self._known = asyncio.Event()
        self._failure: Exception | None = None

    @abstractmethod
    async def follow(self) -> None:
        """Read after each ring and `tell`, for ever."""

    async def run(self) -> None:
        """`follow`; what it fails with is its readers' to raise."""
        try:
            await self.follow()
        except Exception as error:  # whatever it is: a feed that died in silence would look like a quiet run
            self._failure = error
            await self.tell()

    async def tell(self) -> None:
        """There is something to look at."""
        self._known.set()
        await self.ears.ring()

    async def ready(self) -> None:
        """Until it was read once. Raises what reading raised."""
        await self._known.wait()
        self.require_whole()

    def require_whole(self) -> None:
        """Raises what reading raised."""
        if self._failure is not None:
            raise self._failure

    @property
    def failed(self) -> bool:
        return self._failure is not None
