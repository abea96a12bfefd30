"""A supervisor over real SQLite and the fake driver, with a one-task suite."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.domain.runs import EvaluationRequest, Run, RunState
from app.settings import Settings
from app.store import runs
from app.store.database import Database
from app.supervision.doorbell import Doorbell
from app.supervision.supervisor import Supervisor
from sandbox_runner.fake_driver import FakeDriver, FakeEngine
from sandbox_runner.fake_script import FakeKnobs

FAMILY = """\
class TaskFamily:
    standard_version = "0.5.0"

    @staticmethod
    def get_tasks():
        return {"one": {}}

    @staticmethod
    def get_instructions(t):
        return "do it"

    @staticmethod
    def score(t, submission):
        return 1.0
"""

SUITE = """\
title: Tiny
description: One task.
tasks:
  - task: tiny/one
    agent: doer
"""

SETUP = {"ok": {"instructions": "do it", "permissions": [], "required_environment": [], "warnings": []}}

#: What the operations of a task answer.
RESULTS: Mapping[str, bytes] = {
    "install": json.dumps({"ok": None}).encode(),
    "setup": json.dumps(SETUP).encode(),
    "start": json.dumps({"ok": None}).encode(),
    "score": json.dumps({"ok": {"kind": "number", "value": 1.0}}).encode(),
    "teardown": json.dumps({"ok": None}).encode(),
}


def knobs(**changes: object) -> FakeKnobs:
    """A task whose operations succeed; the rest as asked."""
    return dataclasses.replace(FakeKnobs(results=RESULTS), **changes)  # type: ignore[arg-type]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    suites = tmp_path / "suites"
    family = suites / "families" / "tiny"
    family.mkdir(parents=True)
    (family / "tiny.py").write_text(FAMILY)
    (suites / "tiny.yaml").write_text(SUITE)
    agent = suites / "agents" / "doer"
    agent.mkdir(parents=True)
    (agent / "main.py").write_text("print('hello')\n")
    return Settings(data=tmp_path / "data", suites=suites, grace_seconds=5.0, slots=2)


@dataclass(slots=True, kw_only=True)
class House:
    """All that a test touches."""

    db: Database
    driver: FakeDriver
    supervisor: Supervisor
    settings: Settings

    async def submit(self, epochs: int = 1, **limits: object) -> list[Run]:
        request = EvaluationRequest(suite="tiny", epochs=epochs, limits=limits)
        evaluation = await self.supervisor.submit(request, actor="tester")
        return sorted(await runs.select(self.db, evaluation=evaluation.id), key=lambda run: run.id)

    async def until(self, run: int, reached: Callable[[Run], bool], within: float = 20.0) -> Run:
        """The run once it is so; wakes by the doorbell."""
        with self.supervisor.doorbell.listen() as bell:
            async with asyncio.timeout(within):
                while not reached(found := await runs.get(self.db, run)):
                    await bell.wait()
                return found

    async def until_ended(self, run: int, within: float = 20.0) -> Run:
        return await self.until(run, lambda found: found.state is RunState.ENDED, within)

    async def until_true(self, true: Callable[[], Awaitable[bool]], within: float = 10.0) -> None:
        until = time.monotonic() + within
        while not await true():
            assert time.monotonic() < until, "it did not become true"
            await asyncio.sleep(0.02)


OpenHouse = Callable[..., contextlib.AbstractAsyncContextManager[House]]


@pytest.fixture
def open_house(settings: Settings) -> OpenHouse:
    """Open a server's inside over `knobs`; twice over one engine plays a restart."""

    @contextlib.asynccontextmanager
    async def opened(knobs: FakeKnobs, *, engine: FakeEngine | None = None, **changes: object) -> AsyncIterator[House]:
        changed = dataclasses.replace(settings, **changes)  # type: ignore[arg-type]
        changed.data.mkdir(exist_ok=True)
        driver = FakeDriver(knobs, engine=engine)
        db = await Database.open(f"sqlite+aiosqlite:///{changed.data}/crucible.db")
        supervisor = Supervisor(db=db, driver=driver, settings=changed, doorbell=Doorbell(), instance="test")
        try:
            async with supervisor:
                yield House(db=db, driver=driver, supervisor=supervisor, settings=changed)
        finally:
            await driver.close()
            await db.close()

    return opened
