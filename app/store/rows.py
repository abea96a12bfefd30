"""Rows of runs and evaluations <-> domain objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, Select, func, null, select

from app.domain.limits import RunLimits
from app.domain.runs import Evaluation, EvaluationRequest, Outcome, Phase, PlannedRun, Policy, Run, RunState
from app.domain.sandboxes import AgentProfile, Runtime, SandboxFacts
from app.domain.scores import Score, ScoreStatus
from app.store.tables import evaluations, progress, runs

RUNS: Select[Any] = select(runs, progress.c.lines, progress.c.bytes).join(progress, progress.c.run == runs.c.id)

#: The same without what may be long: `instructions` and `submission` are None.
NARROW_RUNS: Select[Any] = select(
    *(column for column in runs.c if column.name not in {"instructions", "submission"}),
    null().label("instructions"),
    null().label("submission"),
    progress.c.lines,
    progress.c.bytes,
).join(progress, progress.c.run == runs.c.id)

EVALUATIONS: Select[Any] = select(
    evaluations,
    select(func.count()).where(runs.c.evaluation == evaluations.c.id).scalar_subquery().label("runs"),
    select(func.count())
    .where(runs.c.evaluation == evaluations.c.id, runs.c.state == RunState.ENDED.value)
    .scalar_subquery()
    .label("ended"),
)

_LIMITS = frozenset(each.name for each in dataclasses.fields(RunLimits))


def as_run(row: Row[Any]) -> Run:
    """One row of `RUNS`."""
    return Run(
        id=row.id,
        evaluation=row.evaluation,
        suite=row.suite,
        family=row.family,
        task=row.task,
        agent=row.agent,
        model=row.model,
        epoch=row.epoch,
        state=RunState(row.state),
        phase=None if row.phase is None else Phase(row.phase),
        outcome=None if row.outcome is None else Outcome(row.outcome),
        detail=row.detail,
        # A limit that a later version dropped is left out; one that it added has its default.
        limits=RunLimits(**{name: value for name, value in row.limits.items() if name in _LIMITS}),
        policy=Policy(row.policy),
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        instructions=row.instructions,
        submission=row.submission,
        score=None
        if row.score_status is None
        else Score(status=ScoreStatus(row.score_status), value=row.score_value, explanation=row.score_explanation),
        honeytokens=row.honeytokens,
        lines=row.lines,
        bytes=row.bytes,
        retry_of=row.retry_of,
        runtime=Runtime(row.runtime),
        profile=AgentProfile(row.profile),
        sandbox=None if row.sandbox is None else SandboxFacts(**row.sandbox),
    )


def as_evaluation(row: Row[Any]) -> Evaluation:
    """One row of `EVALUATIONS`."""
    return Evaluation(
        id=row.id,
        suite=row.suite,
        agent=row.agent,
        model=row.model,
        epochs=row.epochs,
        actor=row.actor,
        created_at=row.created_at,
        runs=row.runs,
        ended=row.ended,
        runtime=None if row.runtime is None else Runtime(row.runtime),
    )


def planned_values(planned: PlannedRun) -> Mapping[str, object]:
    """A planned run as a new row, queued."""
    return {
        "suite": planned.suite,
        "family": planned.family,
        "task": planned.task,
        "agent": planned.agent,
        "model": planned.model,
        "epoch": planned.epoch,
        "limits": dataclasses.asdict(planned.limits),
        "policy": planned.policy.value,
        "runtime": planned.runtime.value,
        "profile": planned.profile.value,
        "honeytokens": planned.honeytokens,
        "state": RunState.QUEUED.value,
        "detail": "",
    }


def request_values(request: EvaluationRequest) -> dict[str, object]:
    """A request as a new row."""
    return {
        "suite": request.suite,
        "tasks": list(request.tasks),
        "agent": request.agent,
        "model": request.model,
        "epochs": request.epochs,
        "policy": None if request.policy is None else request.policy.value,
        "runtime": None if request.runtime is None else request.runtime.value,
        "limits": dict(request.limits),
    }
