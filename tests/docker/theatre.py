"""Plays task families in real sandboxes, in the order a run has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from app.domain.scores import Score
from app.task_standard import operations
from app.task_standard.agents import Agent, agent_archive
from app.task_standard.collected import Collected, CollectLimits, parse_collected
from app.task_standard.family import Family
from app.task_standard.image import family_archive, image_reference
from sandbox_runner.driver import JobEnded, OutputChunk, Relay, Sandbox, Stream, end_of
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import Job, Role
from tests.docker.conftest import IMAGE, PATIENCE, Bench

LIMITS = CollectLimits(bytes=1024 * 1024, files=200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a job ended and what it said."""

    code: int
    out: str
    result: bytes


class Stage:
    """One sandbox with its relay open: jobs one after the other."""

    def __init__(self, sandbox: Sandbox, relay: Relay) -> None:
        self.sandbox = sandbox
        self._relay = relay

    async def run(self, job: Job, feed: bytes | None = None) -> Done:
        assert job.stdin == (feed is not None)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            await self._relay.run(job)
            if feed is not None:
                group.create_task(self._feed(job.id, feed))
            return await self._hear()

    async def well(self, job: Job, feed: bytes | None = None) -> Done:
        """`run`, for a job that has to end with 0."""
        done = await self.run(job, feed)
        assert done.code == 0, f"{job.name}: {done}"
        return done

    async def _feed(self, job: int, data: bytes) -> None:
        for start in range(0, len(data), 32_768):
            await self._relay.feed(job, data[start : start + 32_768])
        await self._relay.feed(job, b"")

    async def _hear(self) -> Done:
        out, result = bytearray(), bytearray()
        async for item in self._relay:
            self._relay.acknowledge(end_of(item))
            if isinstance(item, OutputChunk):
                (result if item.stream is Stream.RESULT else out).extend(item.data)
            if isinstance(item, JobEnded):
                return Done(code=item.code, out=out.decode(errors="replace"), result=bytes(result))
        raise AssertionError("the relay ended before the job")


class Theatre:
    """Builds, sets up, acts, collects and scores. Its images are its own, and `close` removes them."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._images: list[str] = []

    @contextlib.asynccontextmanager
    async def stage(self, role: Role, image: str) -> AsyncIterator[Stage]:
        sandbox = await self._bench.start(role=role, image=image)
        async with self._bench.driver.relay(sandbox) as relay:
            yield Stage(sandbox, relay)
        await kill_until_verified(self._bench.driver, sandbox)

    async def build(self, family: Family) -> str:
        image = f"{image_reference(family, IMAGE)}-{self._bench.instance}"
        async with self.stage(Role.BUILD, IMAGE) as stage:
            await stage.well(operations.unpack_job(1, "/root", 0, 0), family_archive(family))
            installed = await stage.run(operations.install_job(2, family))
            operations.parse_done("install", installed.result, installed.code)
            await self._commit(stage, image)
        return image

    async def set_up(self, family: Family, image: str, task: str, agent: Agent) -> tuple[str, operations.TaskSetup]:
        ready = f"{image}-{len(self._images)}"
        async with self.stage(Role.SETUP, image) as stage:
            done = await stage.run(operations.setup_job(1, family, task))
            setup = operations.parse_setup(done.result, done.code)
            await stage.well(operations.unpack_job(2, operations.SCAFFOLDING, 0, 0), agent_archive(agent))
            started = await stage.run(operations.start_job(3, family, task))
            operations.parse_done("start", started.result, started.code)
            finish = operations.finish_setup_job(4, keep_owners=setup.keep_owners)
            await stage.well(finish, setup.instructions.encode())
            await self._commit(stage, ready)
        return ready, setup

    async def act(self, ready: str, agent: Agent) -> tuple[Done, Collected]:
        async with self.stage(Role.AGENT, ready) as stage:
            await stage.well(operations.populate_job(1))
            acted = await stage.run(operations.agent_job(2, agent, {}))
            left = await stage.well(operations.collect_job(3, LIMITS.bytes, LIMITS.files))
        return acted, parse_collected(left.result, LIMITS)

    async def score(self, family: Family, ready: str, task: str, collected: Collected) -> Score:
        async with self.stage(Role.SCORING, ready) as stage:
            await stage.well(operations.unpack_job(1, operations.HOME, 1000, 1000), collected.archive)
            scored = await stage.run(
                operations.score_job(2, family, task), operations.score_input(collected.submission)
            )
            down = await stage.run(operations.teardown_job(3, family, task))
            operations.parse_done("teardown", down.result, down.code)
        return operations.parse_score(scored.result, scored.code)

    async def close(self) -> None:
        for image in reversed(self._images):
            await self._bench.driver.remove_image(image)

    async def _commit(self, stage: Stage, image: str) -> None:
        self._images.append(image)
        await self._bench.driver.commit(stage.sandbox, image)
