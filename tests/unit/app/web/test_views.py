"""What pages show of runs, events and alerts."""

import dataclasses
import typing
import unicodedata
from collections.abc import Mapping

import pytest

from app.domain import events as e
from app.domain.alerts import Alert, AlertStatus, Category, Finding, Severity
from app.domain.events import KINDS, Recorded
from app.domain.limits import RunLimits
from app.domain.runs import Outcome, Phase, Policy, Run, RunState
from app.domain.scores import Score, ScoreStatus
from app.domain.stops import Receipt, StopKind, StopReason, StopSource
from app.web.views.alerts import CATEGORY_WORDS, alert_view, worst
from app.web.views.events import event_view, lost_bytes, phases
from app.web.views.panel import limits_of, worked
from app.web.views.runs import receipt_view, run_view, score_view

HOSTILE = "x\x1b[31m\u202e\u2028\x00\ud800"


def run(**changes: object) -> Run:
    plain = Run(
        id=42, evaluation=7, suite="demo", family="tiny", task="1", agent="doer", model=None, epoch=1,
        state=RunState.RUNNING, phase=Phase.AGENT, outcome=None, detail="", limits=RunLimits(wall_seconds=100),
        policy=Policy.NOTIFY, created_at=1000.0, started_at=1010.0, ended_at=None, instructions=None, submission=None,
        score=None, lines=3, bytes=30,
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def alert(severity: Severity = Severity.HIGH, **changes: object) -> Alert:
    finding = Finding(
        rule="r", category=Category.DECEPTION, severity=severity, title=HOSTILE, response=HOSTILE, line=3, quote=HOSTILE
    )
    plain = Alert(
        id=1, run=42, at=1.0, finding=finding, status=AlertStatus.OPEN, count=1, last_line=9, action="notified"
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def receipt(**changes: object) -> Receipt:
    reason = StopReason(source=StopSource.OPERATOR, actor=HOSTILE, text=HOSTILE)
    plain = Receipt(
        id=1, run=42, kind=StopKind.STOP, reason=reason, received_at=1.0, acted_ms=None, dead_ms=None, changed=True
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def texts(value: object) -> list[str]:
    """Every text inside a view, however deep."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple | list):
        return [text for part in value for text in texts(part)]
    if dataclasses.is_dataclass(value):
        return [text for field in dataclasses.fields(value) for text in texts(getattr(value, field.name))]
    return []


def acts(text: str) -> bool:
    return any(unicodedata.category(sign) in {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"} for sign in text.replace("\n", ""))


def hostile_event(kind: type[e.Event]) -> e.Event:
    """An event whose every text is hostile."""
    hints = typing.get_type_hints(kind)
    filled = {str: HOSTILE, Mapping[str, str]: {HOSTILE: HOSTILE}, list[str]: [HOSTILE]}
    values = {field.name: filled.get(hints[field.name], 1) for field in dataclasses.fields(kind)}
    return kind(**values)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_every_kind_of_event_has_a_sentence_in_which_nothing_acts(kind: type[e.Event]) -> None:
    view = event_view(Recorded(seq=1, run=42, at=1.0, line=0, event=hostile_event(kind)))
    assert view.text
    assert view.kind == kind.__name__
    assert view.tone in {"calm", "good", "warn", "bad", "stop"}
    assert not acts(view.text)


@pytest.mark.parametrize("view", [
    run_view(run(detail=HOSTILE, score=Score(status=ScoreStatus.FAILED, explanation=HOSTILE)), now=0.0),
    alert_view(alert(by=HOSTILE), task_id=HOSTILE),
    receipt_view(receipt(failure=HOSTILE)),
])  # fmt: skip
def test_no_text_of_a_view_acts(view: object) -> None:
    assert any("\\u202e" in text for text in texts(view))
    assert not any(acts(text) for text in texts(view))


@pytest.mark.parametrize(
    ("state", "outcome"),
    [(state, None) for state in RunState if state is not RunState.ENDED]
    + [(RunState.ENDED, outcome) for outcome in Outcome],
)
def test_every_state_and_outcome_has_a_word_and_a_tone(state: RunState, outcome: Outcome | None) -> None:
    view = run_view(run(state=state, outcome=outcome, phase=None), now=0.0)
    assert view.word
    assert view.tone in {"calm", "wait", "good", "warn", "bad", "stop"}
    assert view.can_stop is (state is not RunState.ENDED)
    assert view.can_again is (state is RunState.ENDED)


def test_elapsed_runs_on_until_the_end_and_never_backwards() -> None:
    assert run_view(run(), now=1060.0).elapsed == 50.0
    assert run_view(run(), now=1060.0).fraction == 0.5
    assert run_view(run(), now=0.0).elapsed == 0.0
    assert run_view(run(ended_at=1020.0, state=RunState.ENDED), now=9999.0).elapsed == 10.0
    assert run_view(run(started_at=None), now=9999.0).elapsed == 0.0


def told(*at: tuple[float, e.Event]) -> list[Recorded]:
    return [Recorded(seq=seq, run=42, at=when, line=0, event=event) for seq, (when, event) in enumerate(at, 1)]


def test_wall_time_is_what_its_agent_worked_as_its_limit_counts() -> None:
    setup, agent, scoring = (e.PhaseEntered(phase=phase) for phase in ("setup", "agent", "scoring"))
    froze, thawed = e.RunFroze(actor="ann", text=""), e.RunThawed(actor="ann")
    assert worked(told((10.0, setup)), until=40.0) is None
    assert worked(told((10.0, setup), (20.0, agent)), until=50.0) == 30.0
    frozen = told((10.0, setup), (20.0, agent), (25.0, froze), (35.0, thawed), (40.0, froze))
    assert worked(frozen, until=99.0) == 10.0
    after = told((20.0, agent), (50.0, scoring), (52.0, froze), (53.0, thawed))
    assert worked(after, until=60.0) == 30.0

    reached = e.LimitReached(limit="wall_seconds", allowed=30.0, used=30.1)
    ended = run(state=RunState.ENDED, started_at=10.0, ended_at=53.0, limits=RunLimits(wall_seconds=30))
    recorded = told((20.0, agent), (51.0, reached))
    wall = next(one for one in limits_of(ended, recorded, None, now=99.0) if one.name == "wall_seconds")
    assert (wall.used, wall.allowed) == ("30 s", "30 s")


@pytest.mark.parametrize(
    ("score", "word"),
    [
        (Score(status=ScoreStatus.SCORED, value=0.0), "0"),
        (Score(status=ScoreStatus.SCORED, value=0.123456), "0.1235"),
        (Score(status=ScoreStatus.MANUAL), "needs a person"),
        (Score(status=ScoreStatus.NOT_A_NUMBER), "not a number"),
        (Score(status=ScoreStatus.FAILED), "scoring failed"),
        (Score(status=ScoreStatus.NOT_SCORED), "not scored"),
    ],
)
def test_no_score_is_never_shown_as_zero(score: Score, word: str) -> None:
    assert score_view(score).word == word


def test_phases_last_until_the_next_or_the_end() -> None:
    found = [
        Recorded(seq=1, run=42, at=1.0, line=0, event=e.PhaseEntered(phase="build")),
        Recorded(seq=2, run=42, at=3.0, line=0, event=e.Noted(text="x")),
        Recorded(seq=3, run=42, at=4.0, line=0, event=e.PhaseEntered(phase="agent")),
    ]
    build, agent = phases(found)
    assert (build.name, build.seconds, build.current) == ("build", 3.0, False)
    assert (agent.name, agent.seconds, agent.current) == ("agent", None, True)
    ended = [*found, Recorded(seq=4, run=42, at=9.0, line=0, event=e.RunEnded(outcome="succeeded", detail=""))]
    assert [phase.seconds for phase in phases(ended)] == [3.0, 5.0]


def test_lost_bytes_are_summed() -> None:
    lost = [Recorded(seq=n, run=42, at=1.0, line=0, event=e.OutputLost(bytes=n, why="")) for n in (1, 2)]
    assert lost_bytes(lost) == 3


def test_every_category_has_a_word_and_the_worst_alert_wins() -> None:
    assert set(CATEGORY_WORDS) == set(Category)
    assert worst([alert(Severity.LOW), alert(Severity.CRITICAL), alert(Severity.HIGH)]) == "critical"
    assert worst([]) == ""


def test_an_alert_leads_to_the_line_it_cites() -> None:
    assert alert_view(alert()).href == "/runs/42#L3"
