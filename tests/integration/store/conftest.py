"""A real database in a folder of its own, and runs to write about."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from app.domain.limits import RunLimits
from app.domain.runs import EvaluationRequest, PlannedRun, Policy, Run
from app.store import runs
from app.store.database import Database, sqlite_url

Queue = Callable[[int], Awaitable[list[Run]]]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "data")


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    db = await Database.open(url)
    yield db
    await db.close()


@pytest.fixture
def queue(db: Database) -> Queue:
    """Queue some runs of one evaluation."""

    async def queue(count: int) -> list[Run]:
        planned = [
            PlannedRun(
                suite="basic", family="maze", task=f"task {n}", agent="walker", model=None, epoch=1,
                limits=RunLimits(wall_seconds=60 + n), policy=Policy.FREEZE,
            )
            for n in range(count)
        ]  # fmt: skip
        _, queued = await runs.submit(db, EvaluationRequest(suite="basic"), planned, actor="ada", at=1000.0)
        return queued

    return queue


@pytest.fixture
async def run(queue: Queue) -> int:
    """One queued run's id."""
    return (await queue(1))[0].id
