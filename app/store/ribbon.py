"""A run's whole output in some hundred pieces: how many lines of each level, and how many hits of a search."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, func, select

from app.domain.errors import NotFound
from app.domain.levels import Level
from app.store import tables
from app.store.block import Block
from app.store.chunk import CorruptChunk, opened
from app.store.chunk_rows import LEVEL_COLUMNS, chunk_of
from app.store.database import Database
from app.store.query import Query
from app.store.search import search
from app.store.stretch import Stretch, step
from app.store.whole import whole

#: Pieces of a ribbon unless asked otherwise, and at most.
BUCKETS, MOST_BUCKETS = 200, 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Lines `first` to `last`, printed from `first_at` to `last_at` (unix seconds), and what they are."""

    first: int
    last: int
    first_at: float
    last_at: float
    levels: Mapping[Level, int]  #: how many lines of each level but `NONE`
    hits: int = 0
    lost: int = 0  #: lines of damaged chunks

    @property
    def lines(self) -> int:
        return self.last - self.first + 1


async def ribbon(db: Database, run: int, query: Query | None = None, *, buckets: int = BUCKETS) -> list[Bucket]:
    """At most `buckets` pieces of about as many lines each, dense and in order; none for a run without output.

    Counts are exact. Without `query` it reads an index when the run is long, and decodes at most `buckets` chunks
    when it is short; with one it searches everything first (a page that shows hits as they come counts the parts of
    `search` into these pieces itself). Raises `NotFound`, and `Broken` when the record cannot be read.
    """
    buckets = min(max(buckets, 1), MOST_BUCKETS)
    found = await _outlined(db, run, buckets)
    if found is None:
        found = await _decoded(db, run, buckets)
    if query is None or not found:
        return found
    hits = [0] * len(found)
    ends = [bucket.last for bucket in found]
    # All its hits are needed, but never at once.
    async for part in search(db, run, query, before=ends[-1] + 1, limit=ends[-1]):
        index, counted = bisect_left(ends, part.first), 0
        while counted < part.found:
            until = bisect_right(part.hits, ends[index])
            hits[index] += until - counted
            index, counted = index + 1, until
    return [replace(bucket, hits=count) for bucket, count in zip(found, hits, strict=True)]


@whole
async def _outlined(db: Database, run: int, buckets: int) -> list[Bucket] | None:
    """From the index alone, pieces ending where chunks end; None when the chunks are too few or not all counted."""
    table, progress = tables.output_chunks.c, tables.progress.c
    names = list(LEVEL_COLUMNS.values())
    async with db.reading() as connection:
        lines = await connection.scalar(select(progress.lines).where(progress.run == run))
        if lines is None:
            raise NotFound(f"there is no run {run}")
        if not lines:
            return []
        counted = select(func.count(), func.count(table.errors)).where(table.run == run)
        chunks, with_levels = (await connection.execute(counted)).one()
        if chunks < buckets or with_levels < chunks:
            return None
        piece = ((table.last_line - 1) * buckets / lines).cast(tables.output_chunks.c.last_line.type)
        query = (
            select(
                func.min(table.first_line).label("first"),
                func.max(table.last_line).label("last"),
                func.min(table.first_at).label("first_at"),
                func.max(table.last_at).label("last_at"),
                *(func.sum(getattr(table, name)).label(name) for name in names),
            )
            .where(table.run == run)
            .group_by(piece)
            .order_by(piece)
        )
        rows = (await connection.execute(query)).all()
    return [
        Bucket(
            first=row.first,
            last=row.last,
            first_at=row.first_at / 1e6,
            last_at=row.last_at / 1e6,
            levels={level: getattr(row, name) for level, name in LEVEL_COLUMNS.items()},
        )
        for row in rows
    ]


async def _decoded(db: Database, run: int, buckets: int) -> list[Bucket]:
    found: list[Bucket] = []
    stretch, done, width = Stretch(run=run, after=0, before=None), False, 0
    while not done:

        def count(rows: Sequence[Row[Any]], first: int, last: int, width: int = width) -> list[Bucket]:
            return [bucket for row in rows for bucket in _pieces(row, width)] if width else []

        if not width:
            # The first step only asks how many lines there are.
            asked = await step(db, replace(stretch, before=1), count)
            width = max(1, -(-asked.total // buckets))
            stretch = replace(stretch, before=asked.total + 1)
            done = not asked.total
            continue
        made = await step(db, stretch, count)
        stretch, done = made.rest, made.done
        for bucket in made.made:
            if found and (found[-1].last - 1) // width == (bucket.last - 1) // width:
                found[-1] = _joined(found[-1], bucket)
            else:
                found.append(bucket)
    return found


def _pieces(row: Row[Any], width: int) -> list[Bucket]:
    """A chunk's lines, cut where a piece of `width` lines ends."""
    try:
        block: Block | None = opened(chunk_of(row))
    except CorruptChunk:
        block = None
    times = block.times(row.first_at) if block else [row.first_at] * row.line_count
    pieces = []
    begin = row.first_line
    while begin <= row.last_line:
        end = min(row.last_line, -(-begin // width) * width)
        inside = slice(begin - row.first_line, end - row.first_line + 1)
        levels = block.levels[inside] if block else b""
        pieces.append(
            Bucket(
                first=begin,
                last=end,
                first_at=min(times[inside]) / 1e6,
                last_at=max(times[inside]) / 1e6,
                levels={level: levels.count(level) for level in LEVEL_COLUMNS},
                lost=0 if block else end - begin + 1,
            )
        )
        begin = end + 1
    return pieces


def _joined(one: Bucket, other: Bucket) -> Bucket:
    return Bucket(
        first=one.first,
        last=other.last,
        first_at=min(one.first_at, other.first_at),
        last_at=max(one.last_at, other.last_at),
        levels={level: count + other.levels[level] for level, count in one.levels.items()},
        lost=one.lost + other.lost,
    )
