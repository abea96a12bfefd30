"""What every attempt works with: the driver, the record, and sandboxes that are proven gone when left."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from app.domain.events import SandboxRemoved, SandboxStarted
from app.settings import Settings
from app.store import events
from app.store.database import Database
from app.supervision.doorbell import Doorbell
from app.supervision.live_run import LiveRun
from app.supervision.open_sandbox import OpenSandbox, open_sandbox
from app.supervision.recorder import LinesSeen, Recorder
from app.supervision.usage_log import UsageLog
from sandbox_runner.driver import Driver, Sandbox
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import Network, Role, SandboxLimits, SandboxSpec, home_room


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Shared by all attempts of one supervisor. `instance` marks our containers among others on the engine."""

    driver: Driver
    db: Database
    settings: Settings
    doorbell: Doorbell
    recorder: Recorder
    usage: UsageLog
    instance: str
    lives: dict[int, LiveRun] = field(default_factory=dict)

    def live(self, run: int) -> LiveRun:
        return self.lives[run]

    @contextlib.asynccontextmanager
    async def sandbox(
        self, live: LiveRun, role: Role, image: str, *, on_lines: LinesSeen | None = None
    ) -> AsyncIterator[OpenSandbox]:
        """A started sandbox with its relay open. Left without an error it is proven gone.

        Left with one (a stop among them) it stays in `live.sandboxes`, and the run's owner ends it.
        """
        spec = self._spec(live, role, image)
        sandbox = await self._start(live, spec)
        started = SandboxStarted(
            role=role.value,
            sandbox=sandbox.id,
            image=image,
            profile=spec.profile.name,
            runtime=spec.runtime,
        )
        await events.append(self.db, live.id, started, at=time.time())
        self.doorbell.ring(live.id)
        async with self.opened(live, sandbox, on_lines=on_lines) as box:
            yield box
        await self.end(live, sandbox)

    async def _start(self, live: LiveRun, spec: SandboxSpec) -> Sandbox:
        if live.stop is not None:
            raise asyncio.CancelledError
        live.no_start.clear()
        try:
            sandbox = await self.driver.start(spec)
            live.sandboxes[sandbox.id] = sandbox
        finally:
            live.no_start.set()
        return sandbox

    @contextlib.asynccontextmanager
    async def opened(
        self, live: LiveRun, sandbox: Sandbox, *, on_lines: LinesSeen | None = None
    ) -> AsyncIterator[OpenSandbox]:
        """The relay of a sandbox that is already there."""
        box = await open_sandbox(
            sandbox,
            live=live,
            driver=self.driver,
            recorder=self.recorder,
            db=self.db,
            grace_seconds=self.settings.grace_seconds,
            on_lines=on_lines,
        )
        async with box:
            yield box

    async def end(self, live: LiveRun, sandbox: Sandbox) -> None:
        """Kill, prove, record. Raises `NotDead`."""
        death = await kill_until_verified(self.driver, sandbox)
        live.sandboxes.pop(sandbox.id, None)
        removed = SandboxRemoved(
            role=sandbox.role,
            sandbox=sandbox.id,
            dead_ms=round(death.dead_after * 1000, 1),
            gone_ms=round(death.gone_after * 1000, 1),
        )
        await events.append(self.db, live.id, removed, at=time.time())

    def _spec(self, live: LiveRun, role: Role, image: str) -> SandboxSpec:
        limits = live.run.limits
        network = Network.BRIDGE if role is Role.BUILD and self.settings.build_network else Network.NONE
        return SandboxSpec(
            image=image,
            role=role,
            instance=self.instance,
            run=str(live.id),
            limits=SandboxLimits.fitting(
                memory_bytes=limits.memory_bytes,
                cpus=limits.cpus,
                pids=limits.pids,
                # A run that was queued before the home had to fit into half of the memory still can be run.
                home_bytes=min(limits.disk_bytes, home_room(limits.memory_bytes)),
            ),
            network=network,
            runtime=self.settings.runtime or "runc",
            grace_seconds=self.settings.grace_seconds,
        )
