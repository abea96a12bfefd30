"""Runs and evaluations. State changes only through `transition`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from app.domain.runs import Evaluation, EvaluationRequest, Outcome, Phase, PlannedRun, Run, RunState
from app.domain.scores import Score
from app.store.database import Database


async def submit(
    db: Database, request: EvaluationRequest, planned: Sequence[PlannedRun], *, actor: str, at: float,
    retry_of: int | None = None,
) -> tuple[Evaluation, list[Run]]:
    """Record the evaluation and queue its runs (each with a RunQueued event), all or nothing."""
    raise NotImplementedError


async def get(db: Database, run: int) -> Run:
    """Raises `NotFound`."""
    raise NotImplementedError


async def select(
    db: Database, *, states: Collection[RunState] | None = None, evaluation: int | None = None,
    ended_after: float | None = None, before: int | None = None, limit: int = 200, oldest_first: bool = False,
) -> list[Run]:
    """Newest first unless asked. `before`: ids below it, for paging."""
    raise NotImplementedError


async def counts(db: Database) -> Mapping[RunState, int]:
    """How many runs are in each state; every state is a key."""
    raise NotImplementedError


async def next_queued(db: Database) -> Run | None:
    """The queued run with the lowest id."""
    raise NotImplementedError


async def transition(
    db: Database, run: int, before: RunState, after: RunState, *, at: float,
    outcome: Outcome | None = None, detail: str = "",
) -> bool:
    """The only writer of state: UPDATE … WHERE id AND state = before. False: someone was first, read again.

    Records StateChanged (and RunEnded) in the same transaction, sets started_at / ended_at. `outcome` exactly when
    `after` is ENDED. Raises `ValueError` for a step TRANSITIONS does not have.
    """
    raise NotImplementedError


async def enter_phase(db: Database, run: int, phase: Phase, *, at: float) -> None:
    """Sets the phase and records PhaseEntered."""
    raise NotImplementedError


async def set_instructions(db: Database, run: int, text: str) -> None:
    raise NotImplementedError


async def set_submission(db: Database, run: int, text: str) -> None:
    raise NotImplementedError


async def set_score(db: Database, run: int, score: Score, *, where: str, at: float) -> None:
    """Sets the score and records Scored."""
    raise NotImplementedError


async def evaluations(db: Database, *, before: int | None = None, limit: int = 50) -> list[Evaluation]:
    """Newest first."""
    raise NotImplementedError


async def evaluation(db: Database, evaluation: int) -> Evaluation:
    """Raises `NotFound`."""
    raise NotImplementedError
