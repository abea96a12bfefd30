"""Cards of the wall: live runs, and those that ended a short while ago, sorted by how much they need attention."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.alerts import Alert, Severity
from app.domain.runs import LIVE_STATES, Run, RunState
from app.domain.stops import Receipt
from app.store import alerts, output, runs, stops, usage
from app.store.database import Database
from app.store.output import StoredLine
from app.store.usage import UsagePoint
from app.web.ansi import segments
from app.web.contexts import Card
from app.web.views.alerts import alert_view, worst
from app.web.views.runs import fraction, receipt_view, run_view

#: A run stays on the wall this many seconds after its end.
STAYS_SECONDS = 600.0
#: Most cards at once; the rest is in the lists.
MOST_CARDS = 60
POINTS = 60
#: Of the last line; a card shows one row of it, without its colours.
LAST_LINE_BYTES = 200
_ON_THE_WALL = LIVE_STATES - {RunState.QUEUED}
#: Ranks are band * _BAND minus the id: newer first within a band. Ids stay far below it.
_BAND = 1_000_000_000


async def runs_on_the_wall(db: Database, *, now: float) -> list[Run]:
    """Runs that have a card, newest first."""
    live = await runs.select(db, states=_ON_THE_WALL, limit=MOST_CARDS)
    ended = await runs.select(
        db, states={RunState.ENDED}, ended_after=now - STAYS_SECONDS, limit=max(1, MOST_CARDS - len(live))
    )
    return live + ended


async def cards_of(db: Database, chosen: Sequence[Run], *, now: float) -> list[Card]:
    """The cards of these runs, most pressing first."""
    open_alerts = await alerts.open_by_run(db, [run.id for run in chosen])
    made = []
    for run in chosen:
        points = await usage.last(db, run.id, POINTS)
        lines = await output.read(db, run.id, after=run.lines - 1, limit=1) if run.lines else []
        receipts = await stops.of_run(db, run.id)
        made.append(_card(run, points, lines, open_alerts.get(run.id, []), receipts, now))
    return sorted(made, key=lambda card: card.rank)


def _card(
    run: Run,
    points: Sequence[UsagePoint],
    lines: Sequence[StoredLine],
    found: Sequence[Alert],
    receipts: Sequence[Receipt],
    now: float,
) -> Card:
    last = points[-1] if points and run.live else None
    line = lines[-1] if lines else None
    return Card(
        run=run_view(run, now=now),
        rank=rank(run, found, receipts),
        cpu=tuple(fraction(point.cpu_mean, run.limits.cpus) for point in points),
        memory=tuple(fraction(point.memory_bytes, run.limits.memory_bytes) for point in points),
        cpu_now=last.cpu_mean if last else None,
        memory_now=last.memory_bytes if last else None,
        memory_limit=run.limits.memory_bytes,
        cpus=run.limits.cpus,
        last_line="".join(piece.text for piece in segments(line.data, shown_bytes=LAST_LINE_BYTES)) if line else "",
        last_line_at=line.at if line else None,
        alerts=tuple(alert_view(alert) for alert in found[:3]),
        alerts_open=len(found),
        worst=worst(found),
        receipt=receipt_view(receipts[-1]) if receipts else None,
    )


def rank(run: Run, found: Sequence[Alert], receipts: Sequence[Receipt]) -> int:
    """Where on the wall: unproven stops, live runs with grave alerts, frozen, live, then what has ended."""
    grave = any(alert.finding.severity >= Severity.HIGH for alert in found)
    if run.state is RunState.STOPPING and any(receipt.failure for receipt in receipts):
        band = 0
    elif run.live and grave:
        band = 1
    elif run.state in (RunState.STOPPING, RunState.FROZEN):
        band = 2
    elif run.live and found:
        band = 3
    elif run.live:
        band = 4
    else:
        band = 5 if grave else 6
    return (band + 1) * _BAND - run.id
