"""The table of steps, walked pair by pair."""

from __future__ import annotations

import itertools

from app.domain.runs import LIVE_STATES, TRANSITIONS, RunState


def reachable(start: RunState) -> set[RunState]:
    found, edge = {start}, {start}
    while edge:
        edge = {after for before, after in TRANSITIONS if before in edge} - found
        found |= edge
    return found


def test_an_ended_run_never_moves_again() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] is RunState.ENDED]


def test_every_state_is_reached_from_the_queue_and_every_live_state_reaches_the_end() -> None:
    assert reachable(RunState.QUEUED) == set(RunState)
    assert all(RunState.ENDED in reachable(state) for state in LIVE_STATES)


def test_a_run_with_a_container_can_be_stopped_from_wherever_it_is() -> None:
    with_container = {RunState.STARTING, RunState.RUNNING, RunState.FROZEN}
    assert {before for before, after in TRANSITIONS if after is RunState.STOPPING} == with_container


def test_a_frozen_run_only_goes_on_or_is_stopped() -> None:
    after_frozen = {after for before, after in TRANSITIONS if before is RunState.FROZEN}
    assert after_frozen == {RunState.RUNNING, RunState.STOPPING}


def test_no_run_goes_back_to_the_queue_or_to_itself() -> None:
    for before, after in itertools.product(RunState, RunState):
        if after is RunState.QUEUED or before is after:
            assert (before, after) not in TRANSITIONS
