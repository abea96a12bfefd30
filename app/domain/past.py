"""A run as it was at a moment, told from its record. Pure: what came later leaves no trace in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.alerts import Alert, AlertStatus
from app.domain.events import (
    PhaseEntered,
    Recorded,
    RunEnded,
    Scored,
    StateChanged,
    StopFailed,
    StopRequested,
)
from app.domain.runs import Outcome, Phase, Run, RunState
from app.domain.stops import Receipt

#: When the task's text is known, and when the agent's answer is.
_INSTRUCTED = frozenset({Phase.AGENT, Phase.SCORING, Phase.TEARDOWN})
_SUBMITTED = frozenset({Phase.SCORING, Phase.TEARDOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A moment of a run, unix seconds, and the last line and the bytes that were printed by then."""

    at: float
    line: int
    bytes: int


def events_until(recorded: Sequence[Recorded], at: float) -> list[Recorded]:
    """What had happened by then. Where the clock was set back, by the clock."""
    return [each for each in recorded if each.at <= at]


def run_as_it_was(run: Run, recorded: Sequence[Recorded], past: Past) -> Run:
    """`run` with what its events up to then tell of it."""
    was = dataclasses.replace(
        run,
        state=RunState.QUEUED,
        phase=None,
        outcome=None,
        detail="",
        started_at=None,
        ended_at=None,
        score=None,
        lines=past.line,
        bytes=past.bytes,
    )
    reached: set[Phase] = set()
    for each in events_until(recorded, past.at):
        match each.event:
            case StateChanged(after=after):
                started = each.at if after == RunState.STARTING else was.started_at
                was = dataclasses.replace(was, state=RunState(after), started_at=started)
            case PhaseEntered(phase=phase):
                reached.add(Phase(phase))
                was = dataclasses.replace(was, phase=Phase(phase))
            case Scored():
                was = dataclasses.replace(was, score=run.score)
            case RunEnded(outcome=outcome, detail=detail):
                was = dataclasses.replace(was, outcome=Outcome(outcome), detail=detail, ended_at=each.at)
            case _:
                pass
    ended = was.state is RunState.ENDED
    return dataclasses.replace(
        was,
        instructions=run.instructions if ended or reached & _INSTRUCTED else None,
        submission=run.submission if ended or reached & _SUBMITTED else None,
    )


def alerts_as_they_were(alerts: Sequence[Alert], past: Past) -> list[Alert]:
    """Those that were raised by then. How often each had been seen by then is not kept: once, unless it is certain."""
    return [_alert_as_it_was(alert, past) for alert in alerts if alert.at <= past.at]


def _alert_as_it_was(alert: Alert, past: Past) -> Alert:
    was = alert
    if alert.status_at > past.at:
        was = dataclasses.replace(was, status=AlertStatus.OPEN, by="")
    if alert.last_line is not None and alert.last_line > past.line:
        was = dataclasses.replace(was, count=1, last_line=alert.finding.line)
    return was


def receipts_as_they_were(receipts: Sequence[Receipt], recorded: Sequence[Recorded], at: float) -> list[Receipt]:
    """The stops that were asked for by then, with the marks and the reasons that they had."""
    events = events_until(recorded, at)
    asked = {each.event.receipt: each.event.text for each in events if isinstance(each.event, StopRequested)}
    failed = {each.event.receipt: each.event.why for each in events if isinstance(each.event, StopFailed)}
    return [
        dataclasses.replace(
            receipt,
            # A reason that was given afterwards has no time of its own.
            reason=dataclasses.replace(receipt.reason, text=asked.get(receipt.id, "")),
            acted_ms=_mark(receipt, receipt.acted_ms, at),
            dead_ms=_mark(receipt, receipt.dead_ms, at),
            failure=failed.get(receipt.id, ""),
            steps=tuple(step for step in receipt.steps if receipt.received_at + step.ms / 1000 <= at),
        )
        for receipt in receipts
        if receipt.received_at <= at
    ]


def _mark(receipt: Receipt, ms: float | None, at: float) -> float | None:
    return ms if ms is not None and receipt.received_at + ms / 1000 <= at else None
