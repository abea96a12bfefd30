"""Evaluations and runs, and the one way a run's state changes."""

from __future__ import annotations

import asyncio
import itertools
import math

import pytest
from sqlalchemy import update

from app.domain.errors import NotFound
from app.domain.events import PhaseEntered, RunEnded, RunQueued, Scored, StateChanged
from app.domain.limits import RunLimits
from app.domain.runs import (
    TRANSITIONS,
    EvaluationRequest,
    Outcome,
    Phase,
    PlannedRun,
    Policy,
    Run,
    RunState,
)
from app.domain.scores import Score, ScoreStatus
from app.store import events, runs, tables
from app.store.database import Database
from tests.integration.store.conftest import Queue

Q, S, R, F, P, E = RunState  # queued, starting, running, frozen, stopping, ended

#: The steps that bring a new run into each state.
WAYS: dict[RunState, list[RunState]] = {Q: [], S: [S], R: [S, R], F: [S, R, F], P: [S, R, P], E: [E]}


async def bring(db: Database, run: int, to: RunState) -> None:
    for before, after in itertools.pairwise([Q, *WAYS[to]]):
        assert await runs.transition(db, run, before, after, at=1.0, outcome=Outcome.CANCELLED if after is E else None)


async def test_what_was_asked_and_planned_comes_back(db: Database) -> None:
    request = EvaluationRequest(
        suite="basic", tasks=("maze/1",), agent="walker", model="m", epochs=2, policy=Policy.STOP,
        limits={"pids": 20, "wall_seconds": "10m"},
    )  # fmt: skip
    planned = [
        PlannedRun(
            suite="basic", family="maze", task="1", agent="walker", model="m", epoch=epoch,
            limits=RunLimits(pids=20, cpus=0.5), policy=Policy.STOP,
        )
        for epoch in (1, 2)
    ]  # fmt: skip

    evaluation, queued = await runs.submit(db, request, planned, actor="ada", at=5.5)

    assert (evaluation.suite, evaluation.agent, evaluation.model, evaluation.epochs) == ("basic", "walker", "m", 2)
    assert (evaluation.actor, evaluation.created_at, evaluation.runs, evaluation.ended) == ("ada", 5.5, 2, 0)
    assert queued[0] == Run(
        id=queued[0].id, evaluation=evaluation.id, suite="basic", family="maze", task="1", agent="walker", model="m",
        epoch=1, state=Q, phase=None, outcome=None, detail="", limits=RunLimits(pids=20, cpus=0.5),
        policy=Policy.STOP, created_at=5.5, started_at=None, ended_at=None, instructions=None, submission=None,
        score=None, lines=0, bytes=0, retry_of=None,
    )  # fmt: skip
    assert [run.epoch for run in queued] == [1, 2]
    assert queued == [await runs.get(db, run.id) for run in queued]
    for run in queued:
        [recorded] = await events.read(db, run.id)
        assert (recorded.seq, recorded.event) == (1, RunQueued(actor="ada"))


async def test_many_runs_are_queued_in_the_order_planned(queue: Queue) -> None:
    queued = await queue(500)

    assert [run.task for run in queued] == [f"task {n}" for n in range(500)]
    assert [run.id for run in queued] == sorted(run.id for run in queued)


async def test_an_evaluation_may_be_without_runs(db: Database) -> None:
    evaluation, queued = await runs.submit(db, EvaluationRequest(suite="s"), [], actor="a", at=1.0)

    assert (evaluation.runs, queued) == (0, [])


async def test_a_run_again_names_the_first(db: Database, run: int) -> None:
    planned = PlannedRun(
        suite="s", family="f", task="t", agent="a", model=None, epoch=1, limits=RunLimits(), policy=Policy.NOTIFY
    )
    _, [again] = await runs.submit(db, EvaluationRequest(suite="s"), [planned], actor="a", at=1.0, retry_of=run)

    assert again.retry_of == run


async def test_nothing_is_queued_when_the_first_run_does_not_exist(db: Database) -> None:
    with pytest.raises(NotFound, match="no run 77"):
        await runs.submit(db, EvaluationRequest(suite="s"), [], actor="a", at=1.0, retry_of=77)

    assert await runs.evaluations(db) == []


@pytest.mark.parametrize(("before", "after"), list(itertools.product(RunState, RunState)))
async def test_every_pair_of_states_is_a_step_exactly_when_the_table_has_it(
    db: Database, run: int, before: RunState, after: RunState
) -> None:
    await bring(db, run, before)
    told = await events.last_seq(db, run)
    outcome = Outcome.STOPPED if after is E else None

    if (before, after) in TRANSITIONS:
        assert await runs.transition(db, run, before, after, at=9.0, outcome=outcome, detail="why")
        expected: list[object] = [StateChanged(before=before.value, after=after.value)]
        if after is E:
            expected.append(RunEnded(outcome="stopped", detail="why"))
        assert [each.event for each in await events.read(db, run, after=told)] == expected
        assert (await runs.get(db, run)).state is after
    else:
        with pytest.raises(ValueError, match="cannot go"):
            await runs.transition(db, run, before, after, at=9.0, outcome=outcome)
        assert await events.last_seq(db, run) == told
        assert (await runs.get(db, run)).state is before


@pytest.mark.parametrize(
    ("actual", "before", "after"),
    [(actual, *step) for actual in RunState for step in sorted(TRANSITIONS) if step[0] is not actual],
)
async def test_a_step_from_where_the_run_is_not_changes_nothing(
    db: Database, run: int, actual: RunState, before: RunState, after: RunState
) -> None:
    await bring(db, run, actual)
    was, told = await runs.get(db, run), await events.last_seq(db, run)

    assert not await runs.transition(
        db, run, before, after, at=9.0, outcome=Outcome.LOST if after is E else None, detail="x"
    )

    assert await runs.get(db, run) == was
    assert await events.last_seq(db, run) == told


async def test_the_times_of_a_run_are_those_of_its_steps(db: Database, run: int) -> None:
    await runs.transition(db, run, Q, S, at=10.0)
    await runs.transition(db, run, S, R, at=11.0)
    assert ((await runs.get(db, run)).started_at, (await runs.get(db, run)).ended_at) == (10.0, None)

    await runs.transition(db, run, R, E, at=12.5, outcome=Outcome.FAILED, detail="exit code 3")

    ended = await runs.get(db, run)
    assert (ended.started_at, ended.ended_at, ended.outcome, ended.detail) == (
        10.0, 12.5, Outcome.FAILED, "exit code 3",
    )  # fmt: skip
    assert not ended.live


async def test_a_cancelled_run_never_started(db: Database, run: int) -> None:
    await runs.transition(db, run, Q, E, at=3.0, outcome=Outcome.CANCELLED)

    ended = await runs.get(db, run)
    assert (ended.started_at, ended.ended_at) == (None, 3.0)


async def test_an_outcome_belongs_to_the_end_and_the_end_has_one(db: Database, run: int) -> None:
    with pytest.raises(ValueError, match="outcome"):
        await runs.transition(db, run, Q, S, at=1.0, outcome=Outcome.FAILED)
    with pytest.raises(ValueError, match="outcome"):
        await runs.transition(db, run, Q, E, at=1.0)


async def test_of_many_who_race_for_a_step_exactly_one_takes_it(db: Database, run: int, url: str) -> None:
    other = await Database.open(url)
    try:
        won = await asyncio.gather(
            *(runs.transition(which, run, Q, S, at=float(n)) for n in range(20) for which in (db, other))
        )
    finally:
        await other.close()

    assert won.count(True) == 1
    assert [type(each.event) for each in await events.read(db, run)] == [RunQueued, StateChanged]


async def test_a_start_and_a_cancel_that_race_leave_one_story(db: Database, queue: Queue) -> None:
    for run in await queue(20):
        started, cancelled = await asyncio.gather(
            runs.transition(db, run.id, Q, S, at=1.0),
            runs.transition(db, run.id, Q, E, at=1.0, outcome=Outcome.CANCELLED),
        )
        assert started != cancelled
        assert (await runs.get(db, run.id)).state is (S if started else E)


async def test_phases_are_recorded_as_they_come(db: Database, run: int) -> None:
    for phase in Phase:
        await runs.enter_phase(db, run, phase, at=2.0)

    assert (await runs.get(db, run)).phase is Phase.TEARDOWN
    assert [each.event for each in await events.read(db, run, after=1)] == [
        PhaseEntered(phase=phase.value) for phase in Phase
    ]


@pytest.mark.parametrize("text", ["", "Find the way.", "x" * 1_000_000, "\x1b[31mred\u202e"])
async def test_instructions_and_submissions_are_kept_as_they_are(db: Database, run: int, text: str) -> None:
    await runs.set_instructions(db, run, text)
    await runs.set_submission(db, run, text[::-1])

    kept = await runs.get(db, run)
    assert (kept.instructions, kept.submission) == (text, text[::-1])


async def test_a_submission_no_database_could_hold_is_stored_readably(db: Database, run: int) -> None:
    await runs.set_submission(db, run, "a\x00b\udc80c")

    assert (await runs.get(db, run)).submission == "a\ufffdb\ufffdc"


@pytest.mark.parametrize(
    "score",
    [
        Score(status=ScoreStatus.SCORED, value=0.75, explanation="three of four"),
        Score(status=ScoreStatus.SCORED, value=0.0),
        Score(status=ScoreStatus.SCORED, value=math.inf),
        Score(status=ScoreStatus.MANUAL),
        Score(status=ScoreStatus.FAILED, explanation="Traceback …"),
    ],
)
async def test_a_score_is_kept_with_its_event(db: Database, run: int, score: Score) -> None:
    await runs.set_score(db, run, score, where="collected", at=4.0)

    assert (await runs.get(db, run)).score == score
    [told] = await events.read(db, run, after=1)
    assert told.event == Scored(status=score.status.value, value=score.value, where="collected")


async def test_every_state_is_counted(db: Database, queue: Queue) -> None:
    assert await runs.counts(db) == dict.fromkeys(RunState, 0)

    for run, state in zip(await queue(8), [Q, S, R, F, P, E, E, E], strict=True):
        await bring(db, run.id, state)

    assert await runs.counts(db) == {Q: 1, S: 1, R: 1, F: 1, P: 1, E: 3}


async def test_the_queue_is_first_in_first_out(db: Database, queue: Queue) -> None:
    assert await runs.next_queued(db) is None
    first, second, third = await queue(3)
    await bring(db, first.id, S)

    assert await runs.next_queued(db) == second
    await bring(db, second.id, E)
    assert await runs.next_queued(db) == third


async def test_runs_are_selected_by_state_evaluation_end_and_page(db: Database, queue: Queue) -> None:
    first, others = await queue(4), await queue(2)
    ids = [run.id for run in first]
    await bring(db, ids[0], R)
    for at, run in enumerate(ids[1:3], 1):
        await runs.transition(db, run, Q, E, at=100.0 * at, outcome=Outcome.CANCELLED)

    async def chosen(**how: object) -> list[int]:
        return [run.id for run in await runs.select(db, **how)]  # type: ignore[arg-type]

    newest_first = [run.id for run in reversed([*first, *others])]
    assert await chosen() == newest_first
    assert await chosen(oldest_first=True) == newest_first[::-1]
    assert await chosen(limit=2) == newest_first[:2]
    assert await chosen(before=newest_first[1]) == newest_first[2:]
    assert await chosen(evaluation=first[0].evaluation, oldest_first=True) == ids
    assert await chosen(states={R}) == [ids[0]]
    assert await chosen(states=[R, E]) == [ids[2], ids[1], ids[0]]
    assert await chosen(states=()) == []
    assert await chosen(ended_after=100.0) == [ids[2]]
    assert await chosen(states={E}, ended_after=99.0, before=ids[2]) == [ids[1]]


async def test_evaluations_are_newest_first_and_count_their_ends(db: Database, queue: Queue) -> None:
    first, second, third = [(await queue(count))[0] for count in (2, 3, 1)]
    await bring(db, second.id, E)

    listed = await runs.evaluations(db)
    assert [each.id for each in listed] == [third.evaluation, second.evaluation, first.evaluation]
    assert [(each.runs, each.ended) for each in listed] == [(1, 0), (3, 1), (2, 0)]
    assert await runs.evaluations(db, limit=1) == listed[:1]
    assert await runs.evaluations(db, before=second.evaluation) == listed[2:]
    assert await runs.evaluation(db, second.evaluation) == listed[1]


async def test_what_is_not_there_is_not_found(db: Database) -> None:
    score = Score(status=ScoreStatus.MANUAL)
    for asked in (
        runs.get(db, 5),
        runs.evaluation(db, 5),
        runs.transition(db, 5, Q, S, at=1.0),
        runs.enter_phase(db, 5, Phase.AGENT, at=1.0),
        runs.set_instructions(db, 5, ""),
        runs.set_submission(db, 5, ""),
        runs.set_score(db, 5, score, where="x", at=1.0),
    ):
        with pytest.raises(NotFound, match=r"there is no (run|evaluation) 5"):
            await asked


async def test_a_limit_of_another_version_does_not_hide_the_run(db: Database, run: int) -> None:
    async with db.writing() as connection:
        await connection.execute(update(tables.runs).values(limits={"pids": 33, "dreams": 4}))

    assert (await runs.get(db, run)).limits == RunLimits(pids=33)


async def test_all_of_it_is_there_after_opening_again(db: Database, queue: Queue, url: str) -> None:
    queued = await queue(3)
    await bring(db, queued[1].id, F)
    was = await runs.select(db)
    await db.close()

    again = await Database.open(url)
    assert await runs.select(again) == was
    await again.close()
