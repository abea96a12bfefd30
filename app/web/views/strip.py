"""The live part of the header, and the queue, as they are now."""

from __future__ import annotations

import time

from app.domain.alerts import AlertStatus, Severity
from app.domain.runs import LIVE_STATES, RunState
from app.settings import Settings
from app.store import alerts, hold, runs, stops
from app.store.database import Database
from app.store.hold import Hold
from app.supervision.stop_path import StopPath
from app.supervision.supervisor import Supervisor
from app.web.contexts.fragments import Queue, Strip
from app.web.parts import EngineView, HoldView, StopPathView
from app.web.stop_commands import StopCommands
from app.web.text import visible
from app.web.views.alerts import worst
from app.web.views.runs import run_view

#: Open alerts that are counted for the header; it is read twice a second while anyone watches.
ALERTS_COUNTED = 200
#: Runs that are named while STOP ALL has not been proven for them.
UNVERIFIED_NAMED = 5
#: Runs of the queue that are shown.
QUEUE_SHOWN = 50


async def strip_of(db: Database, supervisor: Supervisor, settings: Settings, commands: StopCommands) -> Strip:
    """Counts, engine, hold and open alerts."""
    counts = await runs.counts(db)
    held = await hold.current(db)
    unseen = await alerts.select(db, statuses={AlertStatus.OPEN}, limit=ALERTS_COUNTED)
    engine = supervisor.engine
    return Strip(
        counts={state.value: counts[state] for state in RunState if state in LIVE_STATES},
        live=sum(counts[state] for state in LIVE_STATES),
        slots=settings.slots,
        engine=EngineView(reachable=engine.reachable, text=visible(engine.text), since=engine.since),
        hold=await _hold_view(db, held) if held else None,
        stop_path=stop_path_view(supervisor.stop_path, now=time.time()),
        commands=(commands.panic, commands.kill_all),
        alerts_open=len(unseen),
        alerts_worst=worst(unseen),
        grave=max((alert.id for alert in unseen if alert.finding.severity >= Severity.HIGH), default=0),
    )


async def _hold_view(db: Database, held: Hold) -> HoldView:
    toll = await stops.toll(db, since=held.at, limit=UNVERIFIED_NAMED)
    return HoldView(
        actor=visible(held.actor),
        text=visible(held.text),
        at=held.at,
        dead=toll.dead,
        cancelled=toll.cancelled,
        seconds=toll.seconds,
        unverified=toll.unverified,
        named=toll.named,
    )


def stop_path_view(path: StopPath, *, now: float) -> StopPathView:
    return StopPathView(
        proven_at=round(path.proven_at, 3),
        ms=path.ms,
        age=max(0.0, now - path.proven_at) if path.proven_at else 0.0,
        proven=path.proven(now),
        warden=path.warden,
        problem=visible(path.problem),
        port=path.port,
    )


async def queue_of(db: Database, settings: Settings, *, now: float) -> Queue:
    """Who waits, next first."""
    counts = await runs.counts(db)
    waiting = await runs.select(db, states={RunState.QUEUED}, limit=QUEUE_SHOWN, oldest_first=True)
    busy = sum(counts[state] for state in LIVE_STATES - {RunState.QUEUED})
    return Queue(
        runs=tuple(run_view(run, now=now) for run in waiting),
        queued=counts[RunState.QUEUED],
        free=max(0, settings.slots - busy),
    )
