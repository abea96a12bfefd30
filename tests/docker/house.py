"""A supervisor of a test's own over the real engine, with one task whose agent is the test's program."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from app.domain.alerts import Alert
from app.domain.events import Event, Recorded
from app.domain.runs import EvaluationRequest, Run, RunState
from app.domain.sandboxes import Runtime
from app.settings import Settings
from app.store import alerts, events, runs
from app.store.database import Database, sqlite_url
from app.supervision.doorbell import Doorbell
from app.supervision.supervisor import Supervisor
from sandbox_runner.docker_driver import DockerDriver
from tests.docker.conftest import PATIENCE

FAMILY = """\
class TaskFamily:
    @staticmethod
    def get_tasks():
        return {"act": {}}

    @staticmethod
    def get_instructions(t):
        return "act"

    @staticmethod
    def score(t, submission):
        return float(len(submission))
"""


class House:
    """`agents`: name to the text of its main.py."""

    def __init__(self, folder: Path, agents: dict[str, str], *, suite: str = "", family: str = FAMILY) -> None:
        self.suites = folder / "suites"
        files = {"families/stage/stage.py": family}
        files |= {f"agents/{name}/main.py": text for name, text in agents.items()}
        tasks = "".join(f"  - {{task: stage/act, agent: {name}{suite}}}\n" for name in agents)
        files["stage.yaml"] = f"title: Stage\ndescription: A test.\ntasks:\n{tasks}"
        for path, text in files.items():
            (self.suites / path).parent.mkdir(parents=True, exist_ok=True)
            (self.suites / path).write_text(text)
        self.folder = folder
        self.db: Database
        self.supervisor: Supervisor
        self.driver: DockerDriver
        self.instance = ""  #: the label of its containers

    @contextlib.asynccontextmanager
    async def open(self, **changes: object) -> AsyncIterator[House]:
        settings = Settings(
            data=self.folder / "data", suites=self.suites, **{"slots": 5, "runtime": Runtime.RUNC, **changes}
        )  # type: ignore[arg-type]
        settings.data.mkdir(exist_ok=True)
        self.driver = DockerDriver()
        self.instance = secrets.token_hex(6)
        self.db = await Database.open(sqlite_url(settings.data))
        self.supervisor = Supervisor(
            db=self.db, driver=self.driver, settings=settings, doorbell=Doorbell(), instance=self.instance
        )
        try:
            async with self.supervisor:
                yield self
        finally:
            await self.driver.close()
            await self.db.close()

    async def submit(self, **limits: object) -> dict[str, Run]:
        """One run of every agent, by the agent's name."""
        request = EvaluationRequest(suite="stage", limits={"memory_bytes": "128m", "disk_bytes": "16m", **limits})
        evaluation = await self.supervisor.submit(request, actor="tester")
        return {run.agent: run for run in await runs.select(self.db, evaluation=evaluation.id)}

    async def until_ended(self, run: Run) -> Run:
        with self.supervisor.doorbell.listen() as bell:
            async with asyncio.timeout(2 * PATIENCE):
                while (found := await runs.get(self.db, run.id)).state is not RunState.ENDED:
                    await bell.wait()
                return found

    async def play(self, **limits: object) -> dict[str, Run]:
        """All of them, to their end."""
        queued = await self.submit(**limits)
        return {name: await self.until_ended(run) for name, run in queued.items()}

    async def recorded(self, run: Run) -> list[Recorded]:
        return await events.read(self.db, run.id, limit=100_000)

    async def events(self, run: Run) -> list[Event]:
        return [each.event for each in await self.recorded(run)]

    async def alerts(self, run: Run) -> list[Alert]:
        return await alerts.select(self.db, run=run.id)
