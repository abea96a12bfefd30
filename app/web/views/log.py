"""Windows of a run's output: lines ready to show, in pages and as rows of the stream."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.store.chunk import StoredLine
from app.store.database import Database
from app.store.query import Finder, Query
from app.store.reading import read, tail
from app.store.search import find
from app.web.ansi import marked, segments
from app.web.parts import LineView, Segment

#: Lines of a page, and most rows of one request for others.
WINDOW = 500
#: Bytes of output a page shows at most, whatever the number of lines: rendering happens on the server's loop.
WINDOW_BYTES = 256 * 1024

Row = list[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Which lines are shown: all, or those a query wants, or all with what it finds marked."""

    query: Query | None = None
    marks_only: bool = False

    @property
    def filter(self) -> Query | None:
        return None if self.marks_only else self.query

    def lines(self, stored: Iterable[StoredLine]) -> tuple[LineView, ...]:
        finder = Finder(self.query) if self.query and self.query.pattern else None
        return tuple(line_view(line, finder) for line in stored)


ALL = View()


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The lines that are shown of those numbered `first` to `last`; first = last + 1 when there is none."""

    lines: tuple[LineView, ...]
    first: int
    last: int


def line_view(line: StoredLine, finder: Finder | None = None) -> LineView:
    # No text can give itself this look: an agent may print the same words.
    pieces = (Segment(text=line.data.decode(), look="lost"),) if line.damaged else segments(line.data)
    if finder is not None:
        pieces = marked(pieces, finder.spans("".join(piece.text for piece in pieces)))
    return LineView(
        number=line.number,
        at=line.at,
        stream=line.stream,
        segments=pieces,
        complete=line.complete,
        level=line.level.name.lower(),
    )


def row(line: StoredLine) -> Row:
    """As it goes over the wire: [number, at, stream, [[text, look], …], complete, level]."""
    return row_of(line_view(line))


def row_of(line: LineView) -> Row:
    pieces = [[piece.text, piece.look] for piece in line.segments]
    return [line.number, round(line.at, 6), line.stream, pieces, line.complete, line.level]


async def newest(db: Database, run: int, *, lines: int, view: View = ALL) -> Window:
    """The last lines of a run that has `lines` of them."""
    return await before(db, run, line=lines + 1, limit=WINDOW, view=view)


async def around(db: Database, run: int, *, line: int, view: View = ALL) -> Window:
    """Lines on both sides of `line`, which is among them if it is there at all, and wanted."""
    half, half_bytes = WINDOW // 2, WINDOW_BYTES // 2
    above = await before(db, run, line=line, limit=half, view=view, most=half_bytes)
    below = await after(db, run, line=line - 1, limit=half, view=view, most=half_bytes)
    return Window(lines=above.lines + below.lines, first=above.first, last=below.last)


async def before(
    db: Database, run: int, *, line: int, limit: int, view: View = ALL, most: int = WINDOW_BYTES
) -> Window:
    """Up to `limit` lines that end just before `line`; fewer when they show more than `most` bytes."""
    if view.filter is not None:
        found = await find(db, run, view.filter, before=line, newest_first=True, limit=limit, most_bytes=most)
        return Window(lines=view.lines(found.lines), first=1 if found.done else found.scanned_to, last=line - 1)
    stored: Sequence[StoredLine] = await tail(db, run, before=line, limit=limit, most_bytes=_read_bytes(most))
    size = 0
    for place in range(len(stored) - 1, -1, -1):
        size += shown_size(stored[place])
        if size > most and place < len(stored) - 1:
            stored = stored[place + 1 :]
            break
    return Window(lines=view.lines(stored), first=stored[0].number if stored else line, last=line - 1)


async def after(db: Database, run: int, *, line: int, limit: int, view: View = ALL, most: int = WINDOW_BYTES) -> Window:
    """Up to `limit` lines that follow `line`; fewer when they show more than `most` bytes."""
    if view.filter is not None:
        found = await find(db, run, view.filter, after=line, limit=limit, most_bytes=most)
        return Window(lines=view.lines(found.lines), first=line + 1, last=max(line, found.scanned_to))
    stored = fitting(await read(db, run, after=line, limit=limit, most_bytes=_read_bytes(most)), most)
    return Window(lines=view.lines(stored), first=line + 1, last=stored[-1].number if stored else line)


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


def _read_bytes(most: int) -> int:
    """Stored bytes that are read for `most` shown ones: of a line of 64 KiB a sixteenth is shown."""
    return 16 * most
