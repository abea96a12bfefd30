"""Reads one relay in a task, so that a test can wait for what it wants to hear."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sandbox_runner.driver import JobEnded, OutputChunk, Relay, Relayed, SandboxError, Stream, end_of

#: Seconds after which a thing that should have come is missed; nothing that is measured.
PATIENCE = 30.0


class Listener:
    """Hears everything from `start` on and checks that the offsets have no holes. Acknowledges unless told not to."""

    def __init__(self, relay: Relay, *, start: int = 0, acknowledging: bool = True) -> None:
        self.items: list[Relayed] = []
        self.end = start  #: the offset after the last item heard
        self.lost: SandboxError | None = None  #: why the relay ended
        self._relay = relay
        self._acknowledging = acknowledging
        self._news = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen(), name="listener")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        if self._task.done():
            self._task.result()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        try:
            async for item in self._relay:
                assert item.offset == self.end, f"{item} came after offset {self.end}"
                assert end_of(item) > item.offset
                self.end = end_of(item)
                if self._acknowledging:
                    self._relay.acknowledge(self.end)
                async with self._news:
                    self.items.append(item)
                    self._news.notify_all()
        except SandboxError as error:
            async with self._news:
                self.lost = error
                self._news.notify_all()

    def bytes_of(self, stream: Stream, job: int | None = None) -> bytes:
        return b"".join(
            item.data
            for item in self.items
            if isinstance(item, OutputChunk) and item.stream is stream and job in (None, item.job)
        )

    async def ended(self, job: int) -> JobEnded:
        """Once the end of `job` was heard."""

        def found() -> JobEnded | None:
            return next((item for item in self.items if isinstance(item, JobEnded) and item.job == job), None)

        await self._until(lambda: found() is not None)
        ended = found()
        assert ended is not None
        return ended

    async def hears(self, more: int = 1) -> None:
        """Once `more` further items were heard."""
        wanted = len(self.items) + more
        await self._until(lambda: len(self.items) >= wanted)

    async def is_lost(self) -> SandboxError:
        """Once the relay has ended."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: self.lost is not None)
        assert self.lost is not None
        return self.lost

    async def is_quiet(self, seconds: float) -> None:
        """Once nothing was heard for `seconds`."""
        quiet = False
        while not quiet:
            before = len(self.items)
            async with self._news:
                try:
                    await asyncio.wait_for(self._news.wait(), seconds)
                except TimeoutError:
                    quiet = len(self.items) == before

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: condition() or self.lost is not None)
        assert condition(), f"the relay ended before: {self.lost!r}"
