"""Ringing for readers: a thousand at once must not keep the event loop from a stop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

#: Readers that are rung for before anything else of the server gets its turn.
SLICE = 100


class Ear:
    """One reader's: rung when something it follows has news. Carries none: the reader looks at what it follows."""

    __slots__ = ("_at_once", "_loop", "_patience", "_reader", "_rung", "_sending_since", "_waiting", "beat_due")

    def __init__(self, patience: float = math.inf) -> None:
        self.beat_due = False  #: a heartbeat is to be sent
        self._loop = asyncio.get_running_loop()
        self._reader = asyncio.current_task()
        self._patience = patience
        self._rung = False
        self._waiting: asyncio.Future[None] | None = None
        self._at_once: Callable[[], bool] | None = None
        self._sending_since: float | None = None

    def sending(self) -> None:
        """The reader hands a frame to its connection."""
        self._sending_since = self._loop.time()

    def sent(self) -> None:
        """The connection has taken it."""
        self._sending_since = None

    def beat(self) -> None:
        """It is time for a heartbeat. A reader that is stuck is cancelled instead."""
        since = self._sending_since
        if since is not None and self._loop.time() - since > self._patience:
            self.let_go()
        self.beat_due = True

    def let_go(self) -> None:
        """Ends the reader, whatever it waits for."""
        if self._reader is not None:
            self._reader.cancel()

    def ring_if_due(self) -> None:
        """Nothing came that the heartbeat could travel with."""
        if self.beat_due:
            self.ring()

    def ring(self) -> None:
        waiting = self._waiting
        if waiting is None or waiting.done():
            self._rung = True
            return
        try:
            if self._at_once is not None and self._at_once():
                return
        except Exception as error:  # whatever it is: this reader's to raise, and no other's
            waiting.set_exception(error)
        else:
            waiting.set_result(None)

    async def wait(self, at_once: Callable[[], bool] | None = None) -> None:
        """Until it is rung, or was since the last call.

        `at_once` is called by whoever rings while it waits: when it answers True, all is done and the wait goes on.
        What it raises is raised here.
        """
        if not self._rung:
            self._waiting, self._at_once = self._loop.create_future(), at_once
            try:
                await self._waiting
            finally:
                self._waiting = self._at_once = None
        self._rung = False


class Ears:
    """Those of all who follow the same thing."""

    def __init__(self) -> None:
        self._ears: set[Ear] = set()

    def __len__(self) -> int:
        return len(self._ears)

    @contextmanager
    def listening(self, ear: Ear) -> Iterator[None]:
        self._ears.add(ear)
        try:
            yield
        finally:
            self._ears.discard(ear)

    def slices(self) -> Iterator[Sequence[Ear]]:
        """All of them, `SLICE` at a time."""
        everyone = list(self._ears)
        for start in range(0, len(everyone), SLICE):
            yield everyone[start : start + SLICE]

    async def ring(self) -> None:
        """Ring all of them; whatever else the server has to do comes between the slices."""
        for some in self.slices():
            for ear in some:
                ear.ring()
            await asyncio.sleep(0)
