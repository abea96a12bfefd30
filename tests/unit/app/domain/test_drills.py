"""What the record tells of a drill."""

from __future__ import annotations

import dataclasses

from app.domain.drills import drill_of
from app.domain.events import PhaseEntered, Recorded
from app.domain.limits import RunLimits
from app.domain.runs import Outcome, Policy, Run, RunState
from app.domain.stops import Receipt, StopKind, StopReason, StopSource

RUN = Run(
    id=5, evaluation=1, suite="drill", family="endurance", task="leave", agent="standby", model=None, epoch=1,
    state=RunState.ENDED, phase=None, outcome=Outcome.STOPPED, detail="", limits=RunLimits(), policy=Policy.NOTIFY,
    created_at=100.0, started_at=101.0, ended_at=130.0, instructions=None, submission=None, score=None,
    lines=0, bytes=0,
)  # fmt: skip
BEGAN = Recorded(seq=3, run=5, at=110.0, line=0, event=PhaseEntered(phase="agent"))
PRESS = Receipt(
    id=1, run=5, kind=StopKind.STOP, reason=StopReason(source=StopSource.OPERATOR, actor="ada", path="cli"),
    received_at=121.5, acted_ms=2.0, dead_ms=40.0, changed=True,
)  # fmt: skip


def test_the_time_to_the_press_counts_from_the_agents_beginning_and_the_rest_is_the_receipts() -> None:
    drill = drill_of(RUN, [BEGAN], [PRESS])

    assert (drill.by, drill.path, drill.press_seconds, drill.dead_ms, drill.passed) == ("ada", "cli", 11.5, 40.0, True)


def test_only_a_person_passes_a_drill_and_only_by_the_stop_that_ended_it() -> None:
    rule = dataclasses.replace(PRESS, reason=StopReason(source=StopSource.SHUTDOWN, actor="server"))
    late = dataclasses.replace(PRESS, changed=False)
    unproven = dataclasses.replace(PRESS, dead_ms=None)

    for receipts in ([], [rule], [late], [unproven]):
        assert not drill_of(RUN, [BEGAN], receipts).passed
