"""A run's whole output as a stream of bytes: bounded memory, decoded in a thread, some hundred KiB at a time."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Any

from sqlalchemy import Row

from app.store.chunk import CorruptChunk, opened
from app.store.chunk_rows import chunk_of, lines_of, lost_text
from app.store.database import Database
from app.store.lines import StoredLine
from app.store.query import Finder, Query
from app.store.search import picked
from app.store.stretch import Stretch, steps

log = logging.getLogger(__name__)

#: Lines -> bytes. Pure: it runs in a thread.
Render = Callable[[Sequence[StoredLine]], bytes]


async def raw(
    db: Database, run: int, streams: Collection[int] | None = None, *, after: int = 0, before: int | None = None
) -> AsyncGenerator[bytes, None]:
    """The very bytes that were printed to `streams` (None: to all, in the order they came), up to what is stored.

    Each stream is byte exact. In place of a damaged chunk comes one line that says which lines are lost. Raises
    `NotFound`, and `Broken` when the record cannot be read.
    """
    wanted = None if streams is None else frozenset(streams)

    def render(rows: Sequence[Row[Any]], first: int, last: int) -> bytes:
        return b"".join([_bytes_of(row, first, last, wanted) for row in rows])

    async with aclosing(steps(db, Stretch(run=run, after=after, before=before), render)) as all_steps:
        async for made in all_steps:
            if made.made:
                yield made.made


async def rendered(
    db: Database,
    run: int,
    render: Render,
    query: Query | None = None,
    *,
    after: int = 0,
    before: int | None = None,
) -> AsyncGenerator[bytes, None]:
    """What `render` makes of all lines, or of those `query` wants, in order: JSON lines, or any other form.

    `render` is called in a thread with some thousand lines at a time, never with none. Lines of a damaged chunk come as
    placeholders, `damaged`, whatever the query. Raises as `raw`.
    """
    finder = None if query is None else Finder(query)

    def work(rows: Sequence[Row[Any]], first: int, last: int) -> bytes:
        if finder is None:
            lines = lines_of(rows, first - 1, last - first + 1)
        else:
            lines = [line for row in rows for line in picked(finder, row, first, last)]
        return render(lines) if lines else b""

    async with aclosing(steps(db, Stretch(run=run, after=after, before=before), work)) as all_steps:
        async for made in all_steps:
            if made.made:
                yield made.made


def _bytes_of(row: Row[Any], first: int, last: int, streams: frozenset[int] | None) -> bytes:
    try:
        block = opened(chunk_of(row))
    except CorruptChunk as error:
        log.error("run %d: lines %d to %d cannot be read: %s", row.run, row.first_line, row.last_line, error)
        return lost_text(row) + b"\n"
    whole = first <= row.first_line and row.last_line <= last
    if whole and block.exact is None and not block.flags.translate(None, _ENDED) and streams is None:
        return block.text + b"\n"
    wanted = slice(max(0, first - row.first_line), last - row.first_line + 1)
    return b"".join(
        [
            piece + b"\n" if flag & 1 else piece
            for piece, flag in zip(block.pieces()[wanted], block.flags[wanted], strict=True)
            if streams is None or flag >> 1 in streams
        ]
    )


#: The flags of lines that end with a newline.
_ENDED = bytes(range(1, 256, 2))
