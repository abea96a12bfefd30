"""Searching a run's output on the server, live or after its end: hits come as they are found."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from app.store.chunk import CorruptChunk, opened
from app.store.chunk_rows import chunk_of, levels_of, lines_of
from app.store.database import Database
from app.store.lines import StoredLine
from app.store.query import Finder, Query
from app.store.stretch import Stretch, steps

log = logging.getLogger(__name__)

#: From so many chunks on a step is shared with a second thread: opening chunks and matching leave the interpreter free.
SHARED_CHUNKS = 8
#: Hits per chunk above which it is not: numbering them needs the interpreter, and two would keep the others from it.
DENSE = 16

#: The second thread. One is enough: all searches together are one at work, in turns.
_SECOND = ThreadPoolExecutor(1, thread_name_prefix="search")

#: Hits that are listed by number unless asked otherwise; all are counted.
MOST_HITS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPart:
    """What was found in the lines `first` to `last`; first = last + 1 when there were none left to look at.

    `hits` are the numbers of the wanted lines in the order of the search (fewer than `found` when the limit is
    reached). `matches` and `lost` (lines of damaged chunks, which cannot be searched) count from the search's start.
    To go on later: `after=scanned_to`, or `before=scanned_to` when newest come first.
    """

    hits: tuple[int, ...]
    found: int
    first: int
    last: int
    scanned_to: int
    matches: int
    lost: int
    total: int  #: lines of the run now
    done: bool


async def search(
    db: Database,
    run: int,
    query: Query,
    *,
    after: int = 0,
    before: int | None = None,
    newest_first: bool = False,
    limit: int = MOST_HITS,
) -> AsyncGenerator[SearchPart, None]:
    """Search lines `after` < number < `before`, some thousand lines a part, until all that is stored was searched.

    At least one part comes, the last is `done`. Lines printed meanwhile are searched too; what comes after the end is
    found by another search after `scanned_to`. Stop iterating to end it: a step takes some 20 ms of a thread, never of
    the event loop. Raises `NotFound`, and `Broken` when the record cannot be read.
    """
    stretch = Stretch(run=run, after=after, before=before, newest_first=newest_first)
    matches = lost = 0
    async with aclosing(steps(db, stretch, _scanner(query))) as all_steps:
        async for made in all_steps:
            numbers, gone = made.made
            left = max(0, limit - matches)
            matches += len(numbers)
            lost += gone
            yield SearchPart(
                hits=tuple((numbers[::-1] if newest_first else numbers)[:left]),
                found=len(numbers),
                first=made.first,
                last=made.last,
                scanned_to=(made.rest.before or 0) if newest_first else made.rest.after,
                matches=matches,
                lost=lost,
                total=made.total,
                done=made.done,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Wanted lines in ascending order, and where to go on: `after=scanned_to`, or `before=` when newest came first."""

    lines: list[StoredLine]
    scanned_to: int
    total: int  #: lines of the run now
    done: bool  #: nothing more is stored in this direction


async def find(
    db: Database,
    run: int,
    query: Query,
    *,
    after: int = 0,
    before: int | None = None,
    newest_first: bool = False,
    limit: int = 500,
    most_bytes: int = 1024 * 1024,
) -> Found:
    """The first (or last) `limit` wanted lines of a stretch themselves: a page of a filtered view.

    Fewer when they have more than `most_bytes`, at least one while there are any. Lines of a damaged chunk are among
    them as placeholders: a filter must not hide that something is lost. Raises as `search`.
    """
    stretch = Stretch(run=run, after=after, before=before, newest_first=newest_first)
    lines: list[StoredLine] = []
    weight = ends = total = 0
    async with aclosing(steps(db, stretch, _picker(Finder(query)))) as all_steps:
        async for made in all_steps:
            for line in reversed(made.made) if newest_first else made.made:
                weight += len(line.data)
                if lines and (len(lines) >= limit or weight > most_bytes):
                    return _found(lines, made.total, newest_first=newest_first)
                lines.append(line)
            ends, total = (made.rest.before or 0) if newest_first else made.rest.after, made.total
    return Found(lines=lines[::-1] if newest_first else lines, scanned_to=ends, total=total, done=True)


def _found(lines: list[StoredLine], total: int, *, newest_first: bool) -> Found:
    end = lines[-1].number
    return Found(lines=lines[::-1] if newest_first else lines, scanned_to=end, total=total, done=False)


def _scanner(query: Query) -> Any:
    """The work of a search; belongs to one. It has two finders because none is for two threads at once."""
    mine, other = Finder(query), Finder(query)
    dense = False

    def scan(rows: Sequence[Row[Any]], first: int, last: int) -> tuple[list[int], int]:
        """The numbers of the wanted lines, and how many lines could not be searched."""
        nonlocal dense
        if dense or len(rows) < SHARED_CHUNKS:
            numbers, lost = _scanned(mine, rows, first, last)
        else:
            half = len(rows) // 2
            later = _SECOND.submit(_scanned, other, rows[half:], first, last)
            numbers, lost = _scanned(mine, rows[:half], first, last)
            more, gone = later.result()
            numbers, lost = numbers + more, lost + gone
        dense = len(numbers) > DENSE * len(rows)
        return numbers, lost

    return scan


def _scanned(finder: Finder, rows: Sequence[Row[Any]], first: int, last: int) -> tuple[list[int], int]:
    numbers: list[int] = []
    lost = 0
    for row in rows:
        if finder.skips(levels_of(row), row.line_count):
            continue
        try:
            indices = finder.find(opened(chunk_of(row)))
        except CorruptChunk as error:
            log.error("run %d: lines %d to %d are not searched: %s", row.run, row.first_line, row.last_line, error)
            lost += min(last, row.last_line) - max(first, row.first_line) + 1
            continue
        begin = row.first_line
        found = [begin + index for index in indices]
        if row.first_line < first or row.last_line > last:
            found = [number for number in found if first <= number <= last]
        numbers += found
    return numbers, lost


def _picker(finder: Finder) -> Any:
    def pick(rows: Sequence[Row[Any]], first: int, last: int) -> list[StoredLine]:
        """The wanted lines, and placeholders for those that are lost."""
        return [line for row in rows for line in picked(finder, row, first, last)]

    return pick


def picked(finder: Finder, row: Row[Any], first: int, last: int) -> list[StoredLine]:
    """The lines of a chunk from number `first` to `last` that are wanted, and placeholders when it is damaged."""
    if finder.skips(levels_of(row), row.line_count):
        return []
    try:
        wanted = set(finder.find(opened(chunk_of(row))))
    except CorruptChunk:
        wanted = set(range(row.line_count))
    if not wanted:
        return []
    lines = lines_of([row], first - 1, last - first + 1)
    return [line for line in lines if line.number - row.first_line in wanted]


__all__ = ["Found", "Query", "SearchPart", "find", "search"]
