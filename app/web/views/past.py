"""The run page's status and its alerts as they were at a moment. STOP and its neighbours stay those of now."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from app.domain.events import Recorded
from app.domain.past import (
    Past,
    alerts_as_they_were,
    events_until,
    receipts_as_they_were,
    run_as_it_was,
)
from app.domain.runs import Run
from app.store import alerts, events, stops, usage
from app.store.database import Database
from app.store.reading import line_at, printed_until
from app.web.contexts.fragments import AlertList, Panel
from app.web.parts import PhaseView
from app.web.views.alerts import alert_view
from app.web.views.panel import panel_from
from app.web.views.runs import run_view

#: Events are read in parts of this many.
_PART = 1000
#: Times are kept to the microsecond: what comes after `at` begins here.
_NEXT = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class AsItWas:
    """A run at a moment."""

    past: Past
    panel: Panel
    alerts: AlertList


async def as_it_was(db: Database, run: Run, at: float) -> AsItWas:
    """What the record tells of `run` at `at`, unix seconds, and nothing of what came later."""
    line = await line_at(db, run.id, at + _NEXT) - 1
    past = Past(at=at, line=line, bytes=await printed_until(db, run.id, line))
    recorded = await _events_until(db, run.id, at)
    receipts = receipts_as_they_were(await stops.of_run(db, run.id), recorded, at)
    peak = await usage.peak(db, run.id, until=at)
    panel = panel_from(run_as_it_was(run, recorded, past), recorded, receipts, peak, now=at)
    found = alerts_as_they_were(await alerts.select(db, run=run.id), past)
    return AsItWas(
        past=past,
        panel=_still(panel, run, at),
        alerts=AlertList(run=run.id, alerts=tuple(alert_view(alert) for alert in found)),
    )


async def _events_until(db: Database, run: int, at: float) -> list[Recorded]:
    recorded: list[Recorded] = []
    while part := await events.read(db, run, after=recorded[-1].seq if recorded else 0, limit=_PART):
        recorded += part
    return events_until(recorded, at)


def _still(panel: Panel, run: Run, at: float) -> Panel:
    """Nothing in it goes on by itself, and its buttons act on the run as it is."""
    now = run_view(run, now=at)
    view = dataclasses.replace(
        panel.run,
        live=False,
        can_stop=now.can_stop,
        can_freeze=now.can_freeze,
        can_thaw=now.can_thaw,
        can_again=now.can_again,
    )
    phases = tuple(_phase_until(phase, at) for phase in panel.phases)
    return dataclasses.replace(panel, run=view, phases=phases, at=at)


def _phase_until(phase: PhaseView, at: float) -> PhaseView:
    return phase if phase.seconds is not None else dataclasses.replace(phase, seconds=max(0.0, at - phase.at))
