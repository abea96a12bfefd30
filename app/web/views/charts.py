"""A run's use of resources, ready to draw: few points however long it is, each with the highest of its stretch."""

from __future__ import annotations

from app.domain.runs import Run
from app.store import usage
from app.store.database import Database
from app.store.usage import Folded
from app.web.contexts.run import Charts
from app.web.views.usage import UsageRow, usage_row

#: Points of a page, over all of the run: more than there are pixels.
POINTS = 900
#: Single seconds of the table and of the drawings without JavaScript.
RECENT = 60


async def charts_of(db: Database, run: Run, *, nonce: str, pane: str = "", until: float | None = None) -> Charts:
    """All of the run; the newest seconds are those up to `until`."""
    points, seconds = await drawn(db, run.id)
    recent = await usage.last(db, run.id, RECENT, until=until)
    return Charts(
        pane=pane,
        nonce=nonce,
        run=run.id,
        points=points,
        seconds=seconds,
        recent=tuple(usage_row(point) for point in recent),
        cpus=run.limits.cpus,
        memory_limit=run.limits.memory_bytes,
        pids=run.limits.pids,
    )


async def drawn(
    db: Database, run: int, *, since: float | None = None, until: float | None = None, points: int = POINTS
) -> tuple[tuple[UsageRow, ...], int]:
    """At most `points` rows from `since` to before `until`, and the seconds that the longest of them stands for.

    As they are if they are few enough; else folded, with the highest of each stretch.
    """
    single = await usage.between(db, run, since=since, until=until, limit=points + 1)
    if len(single) <= points:
        return tuple(usage_row(point) for point in single), max((point.seconds for point in single), default=1)
    folded = await usage.read_folded(db, run, since=since, until=until, points=points)
    return tuple(_folded_row(each) for each in folded), max((each.seconds for each in folded), default=1)


def _folded_row(stretch: Folded) -> UsageRow:
    """A stretch as one point at its end: the mean of the CPU, the highest of everything."""
    return (
        stretch.seq,
        stretch.until,
        round(stretch.cpu.mean, 4),
        stretch.cpu.max,
        int(stretch.memory.max),
        int(stretch.pids.max),
        stretch.disk_written_bytes,
        stretch.network_attempts,
    )
