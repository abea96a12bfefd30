"""A stretch of a run's chunks, read a few at a time and taken apart in a thread. No transaction outlives a read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar

from sqlalchemy import Row, Select, bindparam, func, select

from app.domain.errors import NotFound
from app.store import tables
from app.store.database import Database
from app.store.whole import whole

T = TypeVar("T")

#: Raw bytes of the first step, which should answer at once, and of any later one.
FIRST_STEP, LARGEST_STEP = 256 * 1024, 4 * 1024 * 1024
#: Seconds of work in a step that its size aims at: a cancelled search ends after it, and others wait no longer.
STEP_SECONDS = 0.02
#: Chunks a step looks at.
_MOST_CHUNKS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Lines `after` < number < `before` that are still to be read, from the front or from the end."""

    run: int
    after: int
    before: int | None
    newest_first: bool = False
    size: int = FIRST_STEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[T]):
    """What the work on some chunks made; `first` > `last` when there were none."""

    made: T
    first: int
    last: int
    total: int  #: lines of the run now
    rest: Stretch
    done: bool


#: Rows of chunks in ascending order, and the first and last line that is wanted of them.
Work = Callable[[Sequence[Row[Any]], int, int], T]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """The next chunks of a stretch, the lines that are wanted of them (`first` > `last`: none), and what is left."""

    rows: Sequence[Row[Any]]
    first: int
    last: int
    total: int
    rest: Stretch
    done: bool


async def steps(db: Database, stretch: Stretch, work: Work[T]) -> AsyncGenerator[Step[T], None]:
    """Do `work` in a thread on all chunks of `stretch`, some of them a step; at least one step comes.

    Lines printed before a step is asked for belong to it. From the second step on, the next chunks are read while the
    work is done: close this when it is left early. Raises `NotFound`, and `Broken` when reading fails.
    """
    read = await _read(db, stretch)
    async with _Ahead(db) as ahead:
        size, asked_on = stretch.size, False
        while True:
            async with db.one_scan:
                # Many want no more than the first step.
                if asked_on and not read.done:
                    ahead.start(replace(read.rest, size=size))
                begun = time.perf_counter()
                made = await _worked(work, read)
                size = _adapted(read.rest.size, time.perf_counter() - begun)
            rest = replace(read.rest, size=size)
            yield Step(made=made, first=read.first, last=read.last, total=read.total, rest=rest, done=read.done)
            if read.done:
                return
            asked_on = True
            read = await ahead.taken() or await _read(db, rest)


async def step(db: Database, stretch: Stretch, work: Work[T]) -> Step[T]:
    """The first of `steps`."""
    async with aclosing(steps(db, stretch, work)) as made:
        return await anext(made)


class _Ahead:
    """The next chunks, read before they are asked for. As they may never be, only a few hold some at once."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._reading: asyncio.Task[_Read] | None = None

    async def __aenter__(self) -> Self:
        return self

    def start(self, stretch: Stretch) -> None:
        if self._db.reads_ahead:
            self._db.reads_ahead -= 1
            self._reading = asyncio.create_task(_read(self._db, stretch), name="store read ahead")

    async def taken(self) -> _Read | None:
        """None when there are none, or when lines may have been printed after the end was read."""
        if self._reading is None:
            return None
        read = await asyncio.shield(self._reading)
        await self._over()
        return None if read.done and not read.rest.newest_first else read

    async def __aexit__(self, *_: object) -> None:
        await self._over()

    async def _over(self) -> None:
        if self._reading is not None:
            reading, self._reading = self._reading, None
            self._db.reads_ahead += 1
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def _adapted(size: int, took: float) -> int:
    """A step's size, towards the aim by what the work on one of `size` took: to four times or a fourth at most."""
    grown = size * min(4.0, max(0.25, STEP_SECONDS / max(took, 1e-4)))
    return int(min(max(grown, FIRST_STEP / 4), LARGEST_STEP))


@whole
async def _worked(work: Work[T], read: _Read) -> T:
    return await asyncio.to_thread(work, read.rows, read.first, read.last)


@whole
async def _read(db: Database, stretch: Stretch) -> _Read:
    total, rows = await _rows(db, stretch)
    before = total + 1 if stretch.before is None else min(stretch.before, total + 1)
    first, last = stretch.after + 1, before - 1
    if rows:
        first, last = max(first, rows[0].first_line), min(last, rows[-1].last_line)
    else:
        last = first - 1
    if stretch.newest_first:
        rest = replace(stretch, before=first if rows else before)
        done = not rows or first <= stretch.after + 1
    else:
        rest = replace(stretch, after=max(stretch.after, last))
        done = not rows or last >= before - 1
    return _Read(rows=rows, first=first, last=last, total=total, rest=rest, done=done)


async def _rows(db: Database, stretch: Stretch) -> tuple[int, Sequence[Row[Any]]]:
    """How many lines the run has, and the next rows."""
    of_run = {"of_run": stretch.run}
    async with db.reading() as connection:
        total = await connection.scalar(_TOTAL, of_run)
        if total is None:
            raise NotFound(f"there is no run {stretch.run}")
        before = total + 1 if stretch.before is None else min(stretch.before, total + 1)
        if before - 1 <= stretch.after:
            return total, []
        bounds = {"after": stretch.after, "end": before - 1, "size": stretch.size}
        return total, (await connection.execute(_NEXT[stretch.newest_first], of_run | bounds)).all()


def _next(*, newest_first: bool) -> Select[Any]:
    """The chunks `size` raw bytes into the lines from `after` + 1 to `end`, at one side of them; at least one."""
    table = tables.output_chunks
    of_run = table.c.run == bindparam("of_run")
    # The chunk in which the stretch ends: the key is the last line, so both ends are found along it.
    end = select(func.min(table.c.last_line)).where(of_run, table.c.last_line >= bindparam("end")).scalar_subquery()
    here = (of_run, table.c.last_line > bindparam("after"), table.c.last_line <= end)
    order = table.c.last_line.desc() if newest_first else table.c.last_line
    outline = select(table.c.last_line, table.c.raw_bytes).where(*here).order_by(order).limit(_MOST_CHUNKS).subquery()
    along = outline.c.last_line.desc() if newest_first else outline.c.last_line
    # What the chunks before it have: counted there, where it keeps nobody from the interpreter.
    reached = func.sum(outline.c.raw_bytes).over(order_by=along, rows=(None, 0)) - outline.c.raw_bytes
    counted = select(outline.c.last_line, reached.label("reached")).subquery()
    few = select(counted.c.last_line).where(counted.c.reached < bindparam("size"))
    return select(table).where(of_run, table.c.last_line.in_(few)).order_by(table.c.last_line)


# Made once: to make one anew takes longer than to execute it.
_TOTAL = select(tables.progress.c.lines).where(tables.progress.c.run == bindparam("of_run"))
_NEXT = {newest_first: _next(newest_first=newest_first) for newest_first in (False, True)}
