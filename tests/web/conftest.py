"""The whole application over a real port: real SQLite, real server, the fake driver, a small suite."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from app.domain.limits import RunLimits
from app.domain.runs import EvaluationRequest, Outcome, PlannedRun, Policy, Run, RunState
from app.domain.stops import StopReason, StopSource
from app.main import create_app
from app.settings import Settings
from app.store import accounts, output, runs
from app.store.database import Database
from app.store.output import StoredLine
from app.supervision.supervisor import Supervisor
from app.web.server import Server
from sandbox_runner.fake_driver import FakeDriver
from sandbox_runner.fake_script import FakeKnobs

FAMILY = """\
class TaskFamily:
    standard_version = "0.5.0"

    @staticmethod
    def get_tasks():
        return {"one": {}, "two": {}}

    @staticmethod
    def get_instructions(t):
        return "do it"

    @staticmethod
    def score(t, submission):
        return 1.0
"""
SUITE = """\
title: Tiny
description: Two tasks.
tasks:
  - task: tiny/one
    agent: doer
  - task: tiny/two
    agent: doer
    limits: {wall_seconds: 30s}
"""
SETUP = {"ok": {"instructions": "do it", "permissions": [], "required_environment": [], "warnings": []}}
RESULTS: Mapping[str, bytes] = {
    "install": json.dumps({"ok": None}).encode(),
    "setup": json.dumps(SETUP).encode(),
    "start": json.dumps({"ok": None}).encode(),
    "score": json.dumps({"ok": {"kind": "number", "value": 1.0}}).encode(),
    "teardown": json.dumps({"ok": None}).encode(),
}
#: As a browser sends it with a form of our own page.
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}


def knobs(**changes: Any) -> FakeKnobs:
    """A task whose operations succeed; the rest as asked."""
    return dataclasses.replace(FakeKnobs(results=RESULTS), **changes)


@dataclass(slots=True, kw_only=True)
class Site:
    """A running server and a browser that is signed in."""

    url: str
    server: Server
    driver: FakeDriver
    browser: httpx.AsyncClient
    stranger: httpx.AsyncClient
    csrf: str
    cookie: str
    seeded: int = field(default=0)

    @property
    def db(self) -> Database:
        db: Database = self.server.lifespan.state["db"]
        return db

    @property
    def supervisor(self) -> Supervisor:
        supervisor: Supervisor = self.server.lifespan.state["supervisor"]
        return supervisor

    async def post(self, path: str, *, headers: Mapping[str, str] | None = None, **data: str) -> httpx.Response:
        """A form of our own page."""
        return await self.browser.post(
            path, data={"csrf": self.csrf, **data}, headers={**SAME_ORIGIN, **(headers or {})}
        )

    async def seed(
        self,
        *texts: bytes,
        state: RunState = RunState.RUNNING,
        outcome: Outcome = Outcome.SUCCEEDED,
        family: str = "tiny",
    ) -> Run:
        """A run in the record that no supervisor plays, with these lines printed."""
        await self.supervisor.stop_all(reason=_nobody())  # Holds the queue, so that it stays as it is put here.
        plan = PlannedRun(
            suite="tiny",
            family=family,
            task="one",
            agent="doer",
            model=None,
            epoch=1,
            limits=RunLimits(),
            policy=Policy.NOTIFY,
        )
        request = EvaluationRequest(suite="tiny")
        _, (run,) = await runs.submit(self.db, request, [plan], actor="admin", at=time.time())
        for before, after in _way_to(state):
            ended = {"outcome": outcome, "detail": "because"} if after is RunState.ENDED else {}
            await runs.transition(self.db, run.id, before, after, at=time.time(), **ended)
        await self.print(run.id, *texts)
        return await runs.get(self.db, run.id)

    async def print(self, run: int, *texts: bytes) -> None:
        """The run prints these lines; the bell rings after they are stored."""
        done = (await runs.get(self.db, run)).lines
        if texts:
            lines = [
                StoredLine(number=done + place, at=time.time(), stream=1, data=text, complete=True)
                for place, text in enumerate(texts, 1)
            ]
            await output.append(self.db, run, lines)
        self.supervisor.doorbell.ring(run)


def _nobody() -> StopReason:
    return StopReason(source=StopSource.OPERATOR, actor="test", text="the test wants the queue held")


def _way_to(state: RunState) -> list[tuple[RunState, RunState]]:
    way = [RunState.QUEUED, RunState.STARTING, RunState.RUNNING]
    if state not in way:
        way.append(state)
    way = way[: way.index(state) + 1]
    return list(itertools.pairwise(way))


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


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver(knobs())


@contextlib.asynccontextmanager
async def serving(settings: Settings, driver: FakeDriver) -> AsyncIterator[tuple[Server, str]]:
    """A real server on a free port, in this event loop."""
    config = uvicorn.Config(
        create_app(settings, driver=driver), host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=5
    )
    server = Server(config)
    task = asyncio.create_task(server.serve(), name="server")
    try:
        while not server.started:
            await asyncio.sleep(0.01)
            if task.done():
                task.result()
        port = server.servers[0].sockets[0].getsockname()[1]
        yield server, f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def site(settings: Settings, driver: FakeDriver) -> AsyncIterator[Site]:
    async with contextlib.AsyncExitStack() as stack:
        server, url = await stack.enter_async_context(serving(settings, driver))
        db = server.lifespan.state["db"]
        user = await accounts.administrator(db)
        await accounts.create_session(db, user.id, "s" * 43, "c" * 43, expires_at=time.time() + 3600)
        browser = httpx.AsyncClient(base_url=url, cookies={"crucible": "s" * 43}, timeout=30)
        stranger = httpx.AsyncClient(base_url=url, timeout=30)
        yield Site(
            url=url,
            server=server,
            driver=driver,
            browser=await stack.enter_async_context(browser),
            stranger=await stack.enter_async_context(stranger),
            csrf="c" * 43,
            cookie="s" * 43,
        )


async def until(true: Callable[[], Awaitable[bool]], *, within: float = 20.0) -> None:
    """Waits for something that has no event of its own."""
    async with asyncio.timeout(within):
        while not await true():
            await asyncio.sleep(0.02)
