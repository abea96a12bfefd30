"""One reading of the record for all runs that have news: forty busy runs are not forty transactions."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from app.domain.errors import NotFound
from app.store.database import Database
from app.store.news import News, Standing, news_of

#: Runs that are read at once.
MOST_RUNS = 64
MOST_LINES = 200
#: Seconds between two readings, at most.
MOST_GATHER_SECONDS = 0.02
#: Shown bytes of a frame: a page handles one frame per animation frame.
MOST_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    since: Standing | None
    answer: asyncio.Future[News]


class Reading:
    """Whoever asks while others are answered is answered with all who did; alone, at once.

    Between two readings there is as long as the first took, up to a limit: the busier, the more is read together.
    """

    def __init__(self, db: Database, group: asyncio.TaskGroup) -> None:
        self._db = db
        self._group = group
        self._asked: dict[int, _Asked] = {}
        self._busy = False

    async def news(self, run: int, since: Standing | None) -> News:
        """Where `run` stands, and its lines after `since`, or None when they are too many. Raises `NotFound`."""
        while (other := self._asked.get(run)) is not None:
            await asyncio.wait({other.answer})
        asked = _Asked(since=since, answer=asyncio.get_running_loop().create_future())
        self._asked[run] = asked
        if not self._busy:
            self._busy = True
            self._group.create_task(self._answer_all(), name="reading for runs that are watched")
        return await asked.answer

    async def _answer_all(self) -> None:
        try:
            while self._asked:
                begun = time.monotonic()
                now = dict(list(self._asked.items())[:MOST_RUNS])
                for run in now:
                    del self._asked[run]
                await self._answer(now)
                await asyncio.sleep(min(MOST_GATHER_SECONDS, time.monotonic() - begun))
        finally:
            self._busy = False

    async def _answer(self, asked: dict[int, _Asked]) -> None:
        since = {run: one.since for run, one in asked.items()}
        try:
            found = await news_of(self._db, since, most_lines=MOST_LINES, most_bytes=MOST_BYTES)
        except Exception as error:  # it is theirs to raise who asked
            for one in asked.values():
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        for run, one in asked.items():
            if one.answer.done():
                continue  # Who asked has gone.
            if run in found:
                one.answer.set_result(found[run])
            else:
                one.answer.set_exception(NotFound(f"there is no run {run}"))
