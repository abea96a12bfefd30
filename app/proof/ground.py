"""Where attacks are played: sandboxes of the proof's own, each proven gone before the next."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from app.proof.attack import Broke, Untestable
from sandbox_runner.driver import Driver, JobEnded, OutputChunk, Relay, Sandbox, Stream, Usage, end_of
from sandbox_runner.kill import Death, kill_until_verified
from sandbox_runner.spec import MIB, Job, Role, SandboxLimits, SandboxSpec

#: Bytes of a job's output that are looked at; the rest is counted.
KEPT = 256 * 1024
#: Small, so that what an attack may use up at most is little.
LIMITS = SandboxLimits(memory_bytes=128 * MIB, cpus=0.5, pids=64, home_bytes=16 * MIB, tmp_bytes=8 * MIB)
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/home/agent", "LANG": "C.UTF-8"}


@dataclass(slots=True, kw_only=True)
class Told:
    """What a job said until it ended."""

    code: int = 0
    reason: str = ""
    out: bytearray = field(default_factory=bytearray)
    result: bytearray = field(default_factory=bytearray)
    bytes: int = 0  #: all it printed, what is not kept too

    @property
    def answer(self) -> Any:
        """The JSON it answered. Raises `Untestable` when the program did not come that far."""
        try:
            return json.loads(bytes(self.result))
        except ValueError:
            ended = f"exit code {self.code} {self.reason}, printed {bytes(self.out[-200:])!r}"
            raise Untestable(f"the program did not run to its end here ({ended})") from None

    def take(self, item: object) -> None:
        if isinstance(item, OutputChunk):
            kept = self.result if item.stream is Stream.RESULT else self.out
            kept += item.data[: KEPT - len(kept)]
            self.bytes += len(item.data)
        elif isinstance(item, JobEnded):
            self.code, self.reason = item.code, item.reason


@dataclass(slots=True, kw_only=True)
class Box:
    """One sandbox under attack."""

    driver: Driver
    sandbox: Sandbox
    relay: Relay
    death: Death | None = None  #: once it was killed and proven gone
    _jobs: int = 0

    async def start(self, code: str, *, shell: bool = False, uid: int = 1000, **changes: Any) -> Job:
        """Start a program and do not wait: Python text, or a shell's."""
        self._jobs += 1
        argv = ("bash", "-c", code) if shell else ("python3", "-uc", code)
        job = Job(id=self._jobs, name="attack", argv=argv, uid=uid, gid=uid, env=_ENVIRONMENT, result=True, **changes)
        await self.relay.run(job)
        return job

    async def run(self, code: str, *, shell: bool = False, uid: int = 1000) -> Told:
        """A program to its end."""
        await self.start(code, shell=shell, uid=uid)
        return await self.listen()

    async def job(self, job: Job) -> Told:
        """A job that somebody else has made, to its end."""
        self._jobs = job.id
        await self.relay.run(job)
        return await self.listen()

    async def listen(self, *, until: Callable[[Told], bool] = lambda _: False) -> Told:
        """What the running job says, until it ends or `until`."""
        told = Told()
        async for item in self.relay:
            self.relay.acknowledge(end_of(item))
            told.take(item)
            if isinstance(item, JobEnded) or until(told):
                break
        return told

    async def usage(self) -> Usage:
        return await self.driver.usage(self.sandbox, fresh=True)

    async def alive(self) -> bool:
        return await self.driver.alive(self.sandbox)

    async def kill(self) -> Death:
        """Kill and prove it."""
        if self.death is None:
            self.death = await kill_until_verified(self.driver, self.sandbox)
        return self.death


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One runtime of one engine."""

    driver: Driver
    image: str
    instance: str  #: the label all its containers have
    runtime: str  #: the engine's name of it

    @property
    def gvisor(self) -> bool:
        return self.runtime.startswith("runsc")

    @contextlib.asynccontextmanager
    async def box(
        self, *, limits: SandboxLimits = LIMITS, role: Role = Role.AGENT, grace: float = 20.0
    ) -> AsyncIterator[Box]:
        """A started sandbox with its relay open; proven gone when left, whatever happened in it."""
        spec = SandboxSpec(
            image=self.image,
            role=role,
            instance=self.instance,
            run="proof",
            limits=limits,
            runtime=self.runtime,
            grace_seconds=grace,
        )
        sandbox = await self.driver.start(spec)
        try:
            async with self.driver.relay(sandbox) as relay:
                box = Box(driver=self.driver, sandbox=sandbox, relay=relay)
                yield box
                # While the relay is open: nothing that it still holds may keep a kill waiting.
                await box.kill()
        finally:
            await kill_until_verified(self.driver, sandbox)

    async def answer(self, code: str, *, uid: int = 1000, role: Role = Role.AGENT) -> Any:
        """What one program in a sandbox of its own answered."""
        async with self.box(role=role) as box:
            return (await box.run(code, uid=uid)).answer


async def until(seconds: float, true: Callable[[], Any], missed: str) -> None:
    """Wait until `true` (awaited when it is to be) is so. Raises `Broke(missed)` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = true()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return
        if time.monotonic() > end:
            raise Broke(missed)
        await asyncio.sleep(0.02)
