"""Cards of the wall: live runs, and those that ended a short while ago."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from app.domain.alerts import Alert
from app.domain.runs import LIVE_STATES, Run, RunState
from app.domain.stops import Receipt
from app.store import alerts, output, runs, stops, usage
from app.store.database import Database
from app.store.output import StoredLine
from app.store.usage import UsagePoint
from app.supervision.recorder import Account
from app.web.ansi import segments
from app.web.contexts.fragments import Card
from app.web.parts import WatcherView
from app.web.views.alerts import alert_view, worst
from app.web.views.attention import Attention, Signs, attention_of, near_limits
from app.web.views.runs import fraction, receipt_view, run_view

#: A run stays on the wall this many seconds after its end.
STAYS_SECONDS = 600.0
#: Most cards at once; the rest is in the lists.
MOST_CARDS = 600
#: Of those, runs that have ended: they make room for live ones.
MOST_ENDED = 100
POINTS = 60
#: Seconds without a line after which a card says so.
QUIET_SECONDS = 5
#: Of the last line; a card shows one row of it, without its colours.
LAST_LINE_BYTES = 200
ON_THE_WALL = LIVE_STATES - {RunState.QUEUED}
#: Ranks are band * _BAND minus the id: newer first within a band. Ids stay far below it.
_BAND = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the record knows of one run, for its card."""

    run: Run
    points: Sequence[UsagePoint] = ()  #: the newest `POINTS`
    line: StoredLine | None = None
    alerts: Sequence[Alert] = ()  #: open ones, worst first
    receipts: Sequence[Receipt] = ()
    actor: str = ""  #: who asked for it

    def signs(self, account: Account | None) -> Signs:
        return Signs(
            alerts=self.alerts,
            receipts=self.receipts,
            account=account,
            line_at=self.line.at if self.line else None,
            memory_bytes=self.points[-1].memory_bytes if self.points and self.run.live else None,
        )


async def runs_on_the_wall(db: Database, *, now: float) -> list[Run]:
    """Runs that have a card, newest first."""
    live = await runs.select(db, states=ON_THE_WALL, limit=MOST_CARDS, narrow=True)
    room = max(1, min(MOST_ENDED, MOST_CARDS - len(live)))
    ended = await runs.select(db, states={RunState.ENDED}, ended_after=now - STAYS_SECONDS, limit=room, narrow=True)
    return live + ended


async def facts_of(db: Database, chosen: Sequence[Run], known: Mapping[int, Facts]) -> dict[int, Facts]:
    """What is known of these runs now. Few statements, however many runs; points that are known are not read again."""
    ids = [run.id for run in chosen]
    if not ids:
        return {}
    seen = {run: known[run].points[-1].seq if run in known and known[run].points else 0 for run in ids}
    points = await usage.newest(db, seen, POINTS)
    lines = await output.last_lines(db, ids)
    open_alerts = await alerts.open_by_run(db, ids)
    receipts = await stops.of_runs(db, ids)
    new = {run.evaluation for run in chosen if run.id not in known}
    actors = await runs.actors(db, new) if new else {}
    return {
        run.id: Facts(
            run=run,
            points=tuple([*(known[run.id].points if run.id in known else ()), *points.get(run.id, ())][-POINTS:]),
            line=lines.get(run.id),
            alerts=open_alerts.get(run.id, ()),
            receipts=receipts.get(run.id, ()),
            actor=known[run.id].actor if run.id in known else actors.get(run.evaluation, ""),
        )
        for run in chosen
    }


def card_of(facts: Facts, *, account: Account | None, watchers: tuple[WatcherView, ...] = (), now: float) -> Card:
    run, points, line = facts.run, facts.points, facts.line
    signs = facts.signs(account)
    attention = attention_of(run, signs, now=now)
    last = points[-1] if points and run.live else None
    idle_since = _idle_since(run, line)
    return Card(
        run=run_view(run, now=now),
        actor=facts.actor,
        rank=rank(run, attention),
        why=attention.why if attention.needed else "",
        near=near_limits(run, signs, now=now) if run.live else (),
        idle_since=idle_since,
        quiet=idle_since is not None and now - idle_since >= QUIET_SECONDS,
        quiet_seconds=QUIET_SECONDS,
        cpu=tuple(fraction(point.cpu_mean, run.limits.cpus) for point in points) if run.live else (),
        memory=tuple(fraction(point.memory_bytes, run.limits.memory_bytes) for point in points) if run.live else (),
        cpu_now=last.cpu_mean if last else None,
        memory_now=last.memory_bytes if last else None,
        memory_limit=run.limits.memory_bytes,
        cpus=run.limits.cpus,
        last_line="".join(piece.text for piece in segments(line.data, shown_bytes=LAST_LINE_BYTES)) if line else "",
        last_line_at=line.at if line else None,
        alerts=tuple(alert_view(alert) for alert in facts.alerts[:3]),
        alerts_open=len(facts.alerts),
        worst=worst(facts.alerts),
        receipt=receipt_view(facts.receipts[-1]) if facts.receipts else None,
        watchers=watchers,
    )


def rank(run: Run, attention: Attention) -> int:
    """Where on the wall: lower is nearer to the top; within a band the newest run is first."""
    return (attention.band + 1) * _BAND - run.id


def _idle_since(run: Run, line: StoredLine | None) -> float | None:
    """Since when it printed nothing; None when that means nothing."""
    if run.state is not RunState.RUNNING:
        return None
    return line.at if line else run.started_at


def suites_of(cards: Collection[Card]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The suites, agents and models there are on the wall, to choose from."""
    return (
        tuple(sorted({card.run.suite for card in cards})),
        tuple(sorted({card.run.agent for card in cards})),
        tuple(sorted({card.run.model for card in cards} - {""})),
    )
