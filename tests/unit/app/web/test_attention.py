"""Where a run stands on the wall, and why."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from app.domain.alerts import Severity
from app.domain.limits import RunLimits
from app.domain.runs import Phase, Run, RunState
from app.supervision.recorder import Account
from app.web.views.attention import IDLE_SECONDS, Attention, Band, Signs, attention_of
from app.web.views.cards import rank
from tests.unit.app.web.test_views import alert, receipt, run

NOW = 1050.0
HEARD = Account(printed=30, cut=0, printed_at=1049.0, failing_since=None, connected=True)


def of(what: Run, now: float = NOW, **signs: object) -> Attention:
    return attention_of(what, Signs(**{"line_at": NOW, **signs}), now=now)  # type: ignore[arg-type]


def test_what_needs_a_person_most_comes_first() -> None:
    found = [
        (run(id=1, state=RunState.STOPPING), of(run(state=RunState.STOPPING), receipts=[receipt(failure="alive")])),
        (run(id=2), of(run(), alerts=[alert(Severity.CRITICAL)])),
        (run(id=3), of(run(), alerts=[alert(Severity.HIGH), alert(Severity.LOW)])),
        (run(id=4), of(run(), account=dataclasses.replace(HEARD, connected=False))),
        (run(id=5), of(run(state=RunState.FROZEN))),
        (run(id=6), of(run(), memory_bytes=RunLimits().memory_bytes)),
        (run(id=7), of(run(), alerts=[alert(Severity.LOW)])),
        (run(id=8), of(run(limits=RunLimits(wall_seconds=9999)), now=1011.0 + IDLE_SECONDS, line_at=1010.0)),
        (run(id=9), of(run())),
        (run(id=10), of(run(state=RunState.ENDED), alerts=[alert(Severity.CRITICAL)])),
        (run(id=11), of(run(state=RunState.ENDED))),
    ]
    assert [attention.band for _, attention in found] == list(Band)
    ranks = [rank(what, attention) for what, attention in found]
    assert all(above < below for above, below in itertools.pairwise(ranks))


def test_of_two_runs_that_need_the_same_the_newer_is_first() -> None:
    calm = Attention(band=Band.CALM)
    assert rank(run(id=9), calm) < rank(run(id=8), calm)


def test_all_is_normal_without_a_reason_and_only_then() -> None:
    assert not of(run()).needed
    assert not of(run(state=RunState.ENDED)).needed
    assert of(run()).why == ""
    assert of(run(state=RunState.ENDED), alerts=[alert(Severity.HIGH)]).needed
    assert of(run(), alerts=[alert(Severity.HIGH), alert(Severity.HIGH)]).why == "2 high alerts"


@pytest.mark.parametrize(
    ("account", "why"),
    [
        (HEARD, ""),
        (dataclasses.replace(HEARD, printed=130, printed_at=NOW - 1), ""),
        (dataclasses.replace(HEARD, printed=130, printed_at=NOW - 5), "100 B wait to be stored"),
        (dataclasses.replace(HEARD, printed=130, failing_since=1.0), "100 B cannot be stored"),
        (dataclasses.replace(HEARD, connected=False), "its keeper is not heard"),
    ],
)
def test_output_that_is_not_stored_is_behind_and_says_how_much(account: Account, why: str) -> None:
    assert of(run(bytes=30), account=account).why == why


def test_a_stop_is_given_a_moment_before_it_counts_as_not_proven() -> None:
    stopping = run(state=RunState.STOPPING)
    assert of(stopping, receipts=[receipt(received_at=NOW - 5)]).band is Band.FROZEN
    assert of(stopping, receipts=[receipt(received_at=NOW - 11)]).band is Band.UNPROVEN
    assert of(stopping, receipts=[receipt(received_at=NOW - 5, failure="x", dead_ms=3.0)]).band is Band.FROZEN


def test_a_limit_that_is_nearly_used_up_is_named() -> None:
    assert of(run(), now=1105.0).why == "time at 95%"
    assert of(run(bytes=RunLimits().output_bytes), account=None).why == "output at 100%"


def test_only_an_agent_at_work_is_ever_idle() -> None:
    long = RunLimits(wall_seconds=99999)
    silent = {"now": NOW + IDLE_SECONDS + 1, "line_at": NOW}
    assert of(run(limits=long), **silent).band is Band.IDLE
    assert of(run(limits=long, phase=Phase.SCORING), **silent).band is Band.CALM
    assert of(run(limits=long, state=RunState.STARTING, phase=None), **silent).band is Band.CALM
