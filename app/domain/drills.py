"""Drills: a harmless run that a person has to stop, to know that it can be done and how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.events import PhaseEntered, Recorded
from app.domain.runs import Phase, Run
from app.domain.stops import Receipt, StopSource

#: The suite whose runs are drills.
SUITE = "drill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One drill. Unix seconds; what did not come is None."""

    run: int
    begun_at: float  #: its agent was there to be stopped, or the drill was asked for
    by: str  #: who stopped it, "" while nobody has
    path: str  #: by which way
    press_seconds: float | None  #: from the beginning to the press
    dead_ms: float | None  #: from the press to the proven end
    live: bool

    @property
    def passed(self) -> bool:
        return self.dead_ms is not None


def drill_of(run: Run, recorded: Sequence[Recorded], receipts: Sequence[Receipt]) -> Drill:
    """What the record tells of a drill. Only a person's stop counts, and only one that ended it."""
    began = next((each.at for each in recorded if each.event == PhaseEntered(phase=Phase.AGENT)), None)
    pressed = [each for each in receipts if each.changed and each.reason.source is StopSource.OPERATOR]
    if began is None or not pressed:
        return Drill(
            run=run.id,
            begun_at=began or run.created_at,
            by="",
            path="",
            press_seconds=None,
            dead_ms=None,
            live=run.live,
        )
    first = pressed[0]
    return Drill(
        run=run.id,
        begun_at=began,
        by=first.reason.actor,
        path=first.reason.path,
        press_seconds=max(0.0, first.received_at - began),
        dead_ms=first.dead_ms,
        live=run.live,
    )
