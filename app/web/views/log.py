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
WINDOW_BYTES = 256 * 1024

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


async def newest(db: Database, run: int, *, lines: int) -> Window:
    """The last lines of a run that has `lines` of them."""
    return _window(await lines_before(db, run, before=lines + 1, limit=WINDOW), lines + 1)


async def around(db: Database, run: int, *, line: int) -> Window:
    """Lines on both sides of `line`, which is among them if it is there at all."""
    half, half_bytes = WINDOW // 2, WINDOW_BYTES // 2
    before = await lines_before(db, run, before=line, limit=half, most=half_bytes)
    after = fitting(await output.read(db, run, after=line - 1, limit=half), half_bytes)
    return _window([*before, *after], line)


def _window(stored: Sequence[StoredLine], empty_at: int) -> Window:
    first, last = (stored[0].number, stored[-1].number) if stored else (empty_at, empty_at - 1)
    return Window(lines=tuple(line_view(line) for line in stored), first=first, last=last)


async def lines_before(
    db: Database, run: int, *, before: int, limit: int, most: int = WINDOW_BYTES
) -> Sequence[StoredLine]:
    """Up to `limit` lines that end just before line `before`; fewer when they show more than `most` bytes."""
    start = max(0, before - 1 - limit)
    lines = await output.read(db, run, after=start, limit=max(0, before - 1 - start))
    size = 0
    for place in range(len(lines) - 1, -1, -1):
        size += shown_size(lines[place])
        if size > most and place < len(lines) - 1:
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
