"""Wakes readers. Carries no data: who is woken reads the store after its own cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Bell:
    """One reader's ear: which runs rang since it last looked. Bounded by the number of runs."""

    def __init__(self) -> None:
        self._rung: set[int] = set()
        self._event = asyncio.Event()

    def _ring(self, run: int) -> None:
        self._rung.add(run)
        self._event.set()

    async def wait(self) -> frozenset[int]:
        """The runs that rang since the last call; waits until there is one."""
        await self._event.wait()
        # Cleared before anything is read: a ring during the reading is for the next call, never lost.
        self._event.clear()
        rung, self._rung = frozenset(self._rung), set()
        return rung


class Doorbell:
    """`ring` after the store has committed; `listen` before the first read, so that nothing falls between."""

    #: Rung for what belongs to no single run: the queue, the hold, the engine.
    HOUSE = 0

    def __init__(self) -> None:
        self._all: set[Bell] = set()
        self._of_run: dict[int, set[Bell]] = {}

    def ring(self, run: int = HOUSE) -> None:
        for bell in self._all:
            bell._ring(run)
        for bell in self._of_run.get(run, ()):
            bell._ring(run)

    @contextmanager
    def listen(self, *runs: int) -> Iterator[Bell]:
        """Hear these runs; without any, everything."""
        bell = Bell()
        if not runs:
            self._all.add(bell)
        for run in runs:
            self._of_run.setdefault(run, set()).add(bell)
        try:
            yield bell
        finally:
            self._all.discard(bell)
            for run in runs:
                self._of_run[run].discard(bell)
                if not self._of_run[run]:
                    del self._of_run[run]
