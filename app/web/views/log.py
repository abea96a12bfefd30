"""Windows of a run's output: lines ready to show, in pages and as rows of the stream."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.store import output
from app.store.database import Database
from app.store.output import StoredLine
from app.web.ansi import segments
from app.web.parts import LineView

#: Lines of a page, and most rows of one request for older ones.
WINDOW = 500
#: Bytes of output a page shows at most, whatever the number of lines: rendering happens on the server's loop.
WINDOW_BYTES = 512 * 1024

Row = list[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Consecutive lines. `first` and `last` are line numbers; first = last + 1 when there is none."""

    lines: tuple[LineView, ...]
    first: int
    last: int


def line_view(line: StoredLine) -> LineView:
    return LineView(
        number=line.number, at=line.at, stream=line.stream, segments=segments(line.data), complete=line.complete
    )


def row(line: StoredLine) -> Row:
    """As it goes over the wire: [number, at, stream, [[text, look], …], complete]."""
    pieces = [[piece.text, piece.look] for piece in segments(line.data)]
    return [line.number, round(line.at, 6), line.stream, pieces, line.complete]


async def window_before(db: Database, run: int, *, before: int, limit: int = WINDOW) -> Window:
    """Up to `limit` lines that end just before line `before`; fewer when they are large."""
    lines = await output.read(db, run, after=max(0, before - 1 - limit), limit=min(limit, max(0, before - 1)))
    kept = _newest_that_fit(lines)
    first = kept[0].number if kept else before
    return Window(lines=tuple(line_view(line) for line in kept), first=first, last=before - 1)


async def rows_before(db: Database, run: int, *, before: int, limit: int) -> list[Row]:
    """The same as rows, for a page that asks for older lines."""
    lines = await output.read(db, run, after=max(0, before - 1 - limit), limit=min(limit, max(0, before - 1)))
    return [row(line) for line in _newest_that_fit(lines)]


def _newest_that_fit(lines: Sequence[StoredLine]) -> Sequence[StoredLine]:
    size = 0
    for place in range(len(lines) - 1, -1, -1):
        size += shown_size(lines[place])
        if size > WINDOW_BYTES and place < len(lines) - 1:
            return lines[place + 1 :]
    return lines


def fitting(lines: Iterable[StoredLine], most: int) -> list[StoredLine]:
    """The first lines whose shown size stays below `most` bytes; at least one."""
    kept: list[StoredLine] = []
    size = 0
    for line in lines:
        size += shown_size(line)
        if kept and size > most:
            break
        kept.append(line)
    return kept


def shown_size(line: StoredLine) -> int:
    """About how many bytes of it are shown; a row has a price of its own."""
    return 64 + min(len(line.data), 4096)
