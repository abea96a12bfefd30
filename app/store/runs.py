"""Runs and evaluations. State changes only through `transition`."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, func, insert, update
from sqlalchemy import select as sql_select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.errors import NotFound
from app.domain.events import (
    Event,
    PhaseEntered,
    RunEnded,
    RunFroze,
    RunQueued,
    RunThawed,
    Scored,
    StateChanged,
    event_to_json,
)
from app.domain.runs import (
    TRANSITIONS,
    Evaluation,
    EvaluationRequest,
    Outcome,
    Phase,
    PlannedRun,
    Run,
    RunState,
)
from app.domain.sandboxes import SandboxFacts
from app.domain.scores import Score
from app.store import audit, events, tables
from app.store.database import Database
from app.store.rows import EVALUATIONS, NARROW_RUNS, RUNS, as_evaluation, as_run, planned_values, request_values
from app.store.whole import whole


@whole
async def submit(
    db: Database,
    request: EvaluationRequest,
    planned: Sequence[PlannedRun],
    *,
    actor: str,
    at: float,
    retry_of: int | None = None,
) -> tuple[Evaluation, list[Run]]:
    """Record the evaluation and queue its runs (each with a RunQueued event), all or nothing.

    Runs come back, and get their ids, in the order planned. Raises `NotFound` when `retry_of` is no run.
    """
    async with db.writing() as connection:
        if retry_of is not None:
            await _require(connection, retry_of)
        evaluation = await connection.scalar(
            insert(tables.evaluations)
            .values({**request_values(request), "actor": actor, "created_at": at})
            .returning(tables.evaluations.c.id)
        )
        ids: Sequence[int] = []
        if planned:
            common = {"evaluation": evaluation, "created_at": at, "retry_of": retry_of}
            ids = (
                await connection.scalars(
                    insert(tables.runs).returning(tables.runs.c.id, sort_by_parameter_order=True),
                    [{**planned_values(each), **common} for each in planned],
                )
            ).all()
            queued = event_to_json(RunQueued(actor=actor))
            zero = {"lines": 0, "bytes": 0, "tail_after": 0, "tail_chunks": 0, "tail_weight": 0}
            await connection.execute(insert(tables.progress), [{"run": run, "events": 1, **zero} for run in ids])
            await connection.execute(
                insert(tables.events), [{"run": run, "seq": 1, "at": at, "line": 0, "data": queued} for run in ids]
            )
        made = (await connection.execute(EVALUATIONS.where(tables.evaluations.c.id == evaluation))).one()
        rows = await connection.execute(RUNS.where(tables.runs.c.evaluation == evaluation).order_by(tables.runs.c.id))
        return as_evaluation(made), [as_run(row) for row in rows]


@whole
async def get(db: Database, run: int) -> Run:
    """Raises `NotFound`."""
    async with db.reading() as connection:
        row = (await connection.execute(RUNS.where(tables.runs.c.id == run))).one_or_none()
    if row is None:
        raise NotFound(f"there is no run {run}")
    return as_run(row)


@whole
async def select(
    db: Database,
    *,
    states: Collection[RunState] | None = None,
    evaluation: int | None = None,
    suite: str | None = None,
    ended_after: float | None = None,
    before: int | None = None,
    limit: int = 200,
    oldest_first: bool = False,
    ids: Collection[int] | None = None,
    narrow: bool = False,
) -> list[Run]:
    """Newest first unless asked. `before`: ids below it, for paging. `narrow`: no instructions and no submission."""
    table = tables.runs.c
    conditions: list[ColumnElement[bool]] = []
    if states is not None:
        conditions.append(table.state.in_([state.value for state in states]))
    if evaluation is not None:
        conditions.append(table.evaluation == evaluation)
    if suite is not None:
        conditions.append(table.suite == suite)
    if ended_after is not None:
        # By the index of ends: with a plain condition SQLite walked through all that ever ended (15 ms at 50,000 runs).
        conditions.append(table.id.in_(sql_select(table.id).where(table.ended_at > ended_after)))
    if ids is not None:
        conditions.append(table.id.in_(ids))
    if before is not None:
        conditions.append(table.id < before)
    order = table.id.asc() if oldest_first else table.id.desc()
    async with db.reading() as connection:
        query = NARROW_RUNS if narrow else RUNS
        rows = await connection.execute(query.where(*conditions).order_by(order).limit(limit))
        return [as_run(row) for row in rows]


@whole
async def counts(db: Database) -> Mapping[RunState, int]:
    """How many runs are in each state; every state is a key."""
    state = tables.runs.c.state
    async with db.reading() as connection:
        rows = (await connection.execute(sql_select(state, func.count().label("number")).group_by(state))).all()
    found = {row.state: row.number for row in rows}
    return {each: found.get(each.value, 0) for each in RunState}


@whole
async def next_queued(db: Database) -> Run | None:
    """The queued run with the lowest id."""
    queued = await select(db, states={RunState.QUEUED}, limit=1, oldest_first=True)
    return queued[0] if queued else None


@whole
async def transition(
    db: Database,
    run: int,
    before: RunState,
    after: RunState,
    *,
    at: float,
    outcome: Outcome | None = None,
    detail: str = "",
) -> bool:
    """The only writer of state: UPDATE … WHERE id AND state = before. False: someone was first, read again.

    Records StateChanged (and RunEnded) in the same transaction, sets started_at (on leaving the queue for a slot) and
    ended_at. `outcome` exactly when `after` is ENDED. Raises `ValueError` for a step TRANSITIONS does not have, and
    `NotFound`.
    """
    if (before, after) not in TRANSITIONS:
        raise ValueError(f"a run cannot go from {before} to {after}")
    if (outcome is not None) != (after is RunState.ENDED):
        raise ValueError(f"an outcome belongs to {RunState.ENDED} and to nothing else, not {outcome!r} to {after}")
    changes: dict[str, object] = {"state": after.value}
    told: list[Event] = [StateChanged(before=before.value, after=after.value)]
    if after is RunState.STARTING:
        changes["started_at"] = at
    if outcome is not None:
        changes |= {"ended_at": at, "outcome": outcome.value, "detail": detail}
        told.append(RunEnded(outcome=outcome.value, detail=detail))
    async with db.writing() as connection:
        table = tables.runs
        changed = await connection.execute(
            update(table).where(table.c.id == run, table.c.state == before.value).values(changes)
        )
        if changed.rowcount == 0:
            await _require(connection, run)
            return False
        await events.record(connection, run, told, at=at)
        return True


@whole
async def record_freeze(db: Database, run: int, *, actor: str, text: str = "", at: float) -> None:
    """That its agent stands still: state, event and audit at once. The state only of a run that is running."""
    async with db.writing() as connection:
        await _stand(connection, run, RunState.RUNNING, RunState.FROZEN, RunFroze(actor=actor, text=text), at=at)
        subject = f"run {run}"
        await audit.record(connection, at=at, actor=actor, action="run.freeze", subject=subject, detail=text)


@whole
async def record_thaw(db: Database, run: int, *, actor: str, at: float) -> None:
    """That its agent goes on. As `record_freeze`."""
    async with db.writing() as connection:
        await _stand(connection, run, RunState.FROZEN, RunState.RUNNING, RunThawed(actor=actor), at=at)
        await audit.record(connection, at=at, actor=actor, action="run.thaw", subject=f"run {run}")


async def _stand(
    connection: AsyncConnection, run: int, before: RunState, after: RunState, event: RunFroze | RunThawed, *, at: float
) -> None:
    table = tables.runs
    moved = await connection.execute(
        update(table).where(table.c.id == run, table.c.state == before.value).values(state=after.value)
    )
    changed: list[Event] = [StateChanged(before=before.value, after=after.value)] if moved.rowcount else []
    await events.record(connection, run, [*changed, event], at=at)


@whole
async def enter_phase(db: Database, run: int, phase: Phase, *, at: float) -> None:
    """Sets the phase and records PhaseEntered. Raises `NotFound`."""
    async with db.writing() as connection:
        await _change(connection, run, phase=phase.value)
        await events.record(connection, run, [PhaseEntered(phase=phase.value)], at=at)


@whole
async def set_instructions(db: Database, run: int, text: str) -> None:
    """Raises `NotFound`."""
    async with db.writing() as connection:
        await _change(connection, run, instructions=text)


@whole
async def set_submission(db: Database, run: int, text: str) -> None:
    """Raises `NotFound`."""
    async with db.writing() as connection:
        await _change(connection, run, submission=text)


@whole
async def set_sandbox(db: Database, run: int, facts: SandboxFacts) -> None:
    """What its agent's sandbox was proven to be. Raises `NotFound`."""
    async with db.writing() as connection:
        await _change(connection, run, sandbox=dataclasses.asdict(facts))


@whole
async def set_score(db: Database, run: int, score: Score, *, where: str, at: float) -> None:
    """Sets the score and records Scored. Raises `NotFound`."""
    async with db.writing() as connection:
        await _change(
            connection,
            run,
            score_status=score.status.value,
            score_value=score.value,
            score_explanation=score.explanation,
        )
        await events.record(connection, run, [Scored(status=score.status.value, value=score.value, where=where)], at=at)


@whole
async def evaluations(db: Database, *, before: int | None = None, limit: int = 50) -> list[Evaluation]:
    """Newest first."""
    query = EVALUATIONS.order_by(tables.evaluations.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(tables.evaluations.c.id < before)
    async with db.reading() as connection:
        return [as_evaluation(row) for row in await connection.execute(query)]


@whole
async def actors(db: Database, evaluations: Collection[int]) -> Mapping[int, str]:
    """Who asked for these evaluations."""
    table = tables.evaluations.c
    async with db.reading() as connection:
        rows = await connection.execute(sql_select(table.id, table.actor).where(table.id.in_(evaluations)))
        return {row.id: row.actor for row in rows}


@whole
async def evaluation(db: Database, evaluation: int) -> Evaluation:
    """Raises `NotFound`."""
    async with db.reading() as connection:
        row = (await connection.execute(EVALUATIONS.where(tables.evaluations.c.id == evaluation))).one_or_none()
    if row is None:
        raise NotFound(f"there is no evaluation {evaluation}")
    return as_evaluation(row)


async def _change(connection: AsyncConnection, run: int, **values: object) -> None:
    changed = await connection.execute(update(tables.runs).where(tables.runs.c.id == run).values(values))
    if changed.rowcount == 0:
        raise NotFound(f"there is no run {run}")


async def _require(connection: AsyncConnection, run: int) -> None:
    if await connection.scalar(sql_select(tables.runs.c.id).where(tables.runs.c.id == run)) is None:
        raise NotFound(f"there is no run {run}")
