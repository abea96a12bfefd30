"""Where in the output a phase begins or a job ends."""

from __future__ import annotations

from app.domain.events import Event, Noted, OperationEnded, PhaseEntered, Recorded
from app.web.views.steps import steps


def recorded(*events: tuple[int, Event]) -> list[Recorded]:
    return [Recorded(seq=seq, run=1, at=0.0, line=line, event=event) for seq, (line, event) in enumerate(events, 1)]


def test_phases_stand_after_the_last_line_before_them() -> None:
    silent = (0, PhaseEntered(phase="build"))
    story = recorded(silent, (0, PhaseEntered(phase="setup")), (12, PhaseEntered(phase="agent")), (12, Noted(text="x")))
    assert steps(story) == {0: "setup", 12: "agent"}


def test_a_job_is_named_where_its_lines_end_and_only_if_it_printed_or_failed() -> None:
    story = recorded(
        (0, PhaseEntered(phase="setup")),
        (0, OperationEnded(name="install", code=0)),
        (3, OperationEnded(name="start", code=0)),
        (3, PhaseEntered(phase="agent")),
        (3, OperationEnded(name="populate", code=0)),
        (9, OperationEnded(name="agent", code=7)),
        (9, OperationEnded(name="collect", code=1)),
    )
    assert steps(story) == {
        0: "setup",
        3: "start ended · agent",
        9: "agent ended with code 7 · collect ended with code 1",
    }
