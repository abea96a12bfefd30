"""How far the records of runs are, and what came since: all that whoever follows them asks for, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from sqlalchemy import Select, and_, bindparam, func, or_, select

from app.domain.runs import RunState
from app.store import tables
from app.store.chunk_rows import lines_of
from app.store.database import Database
from app.store.lines import StoredLine
from app.store.whole import whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far the record of a run is."""

    live: bool
    events: int  #: the newest event's seq
    lines: int
    bytes: int
    usage: int  #: the newest usage point's seq


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Where the run stands; its lines since then, or None when they are too many to read at once."""

    standing: Standing
    lines: Sequence[StoredLine] | None = None


_USAGE = select(func.max(tables.usage_points.c.seq)).where(tables.usage_points.c.run == tables.runs.c.id)
_STANDING = (
    select(
        tables.runs.c.id,
        tables.runs.c.state,
        tables.progress.c.events,
        tables.progress.c.lines,
        tables.progress.c.bytes,
        _USAGE.scalar_subquery().label("usage"),
    )
    .join(tables.progress, tables.progress.c.run == tables.runs.c.id)
    .where(tables.runs.c.id.in_(bindparam("runs", expanding=True)))
)


@whole
async def news_of(
    db: Database, since: Mapping[int, Standing | None], *, most_lines: int, most_bytes: int
) -> Mapping[int, News]:
    """Where each run stands, and its lines since it stood so: not when that is None, nor when they are more than so.

    A run that there is not is not in the answer.
    """
    async with db.reading() as connection:
        rows = (await connection.execute(_STANDING, {"runs": list(since)})).all()
        now = {
            row.id: Standing(
                live=row.state != RunState.ENDED.value,
                events=row.events,
                lines=row.lines,
                bytes=row.bytes,
                usage=row.usage or 0,
            )
            for row in rows
        }
        after = {run: _lines_after(now[run], since[run], most_lines, most_bytes) for run in now}
        wanted = [(run, line) for run, line in after.items() if line is not None and line < now[run].lines]
        if not wanted:
            return {run: News(standing=now[run], lines=None if after[run] is None else ()) for run in now}
        places = 1 << (len(wanted) - 1).bit_length()  # Some for no run, so that there are few statements.
        wanted += [(0, 0)] * (places - len(wanted))
        asked = {f"run_{place}": run for place, (run, _) in enumerate(wanted)}
        asked |= {f"after_{place}": line for place, (_, line) in enumerate(wanted)}
        chunks = (await connection.execute(_lines(places), asked)).all()
    lines: dict[int, Sequence[StoredLine]] = {run: () for run, line in after.items() if line is not None}
    for run, rows_of_run in groupby(chunks, key=lambda row: row.run):
        line = after[run] or 0
        lines[run] = lines_of(list(rows_of_run), line, now[run].lines - line)
    return {run: News(standing=standing, lines=lines.get(run)) for run, standing in now.items()}


def _lines_after(now: Standing, since: Standing | None, most_lines: int, most_bytes: int) -> int | None:
    """The line after which all is wanted; None: not at once."""
    if since is None or now.lines - since.lines > most_lines or now.bytes - since.bytes > most_bytes:
        return None
    return since.lines


@cache
def _lines(count: int) -> Select[tuple[object, ...]]:
    """Chunks with lines of so many runs, each after one. Made once: making it takes longer than asking."""
    chunk = tables.output_chunks.c
    each = [
        and_(chunk.run == bindparam(f"run_{place}"), chunk.last_line > bindparam(f"after_{place}"))
        for place in range(count)
    ]
    return select(tables.output_chunks).where(or_(*each)).order_by(chunk.run, chunk.last_line)
