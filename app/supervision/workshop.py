"""What every attempt works with: the driver, the record, and sandboxes that are proven gone when left."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from app.domain.events import SandboxRefused, SandboxRemoved, SandboxStarted
from app.domain.sandboxes import AgentProfile, SandboxFacts
from app.safety.attestation import ACTION, not_attested
from app.settings import Settings
from app.store import alerts, events, runs
from app.store.database import Database
from app.supervision.doorbell import Doorbell
from app.supervision.engine_disk import EngineDisk
from app.supervision.live_run import LiveRun
from app.supervision.open_sandbox import OpenSandbox, open_sandbox
from app.supervision.recorder import LinesSeen, Recorder
from app.supervision.runtimes import Runtimes
from app.supervision.stop import until_recorded
from app.supervision.usage_log import UsageLog
from sandbox_runner.attestation import Attestation
from sandbox_runner.driver import Driver, EngineDiskFull, NotAttested, Sandbox
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import Network, Role, SandboxLimits, SandboxSpec


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
    runtimes: Runtimes
    disk: EngineDisk
    held: asyncio.Event = field(default_factory=asyncio.Event)  #: set while the hold is on: nothing is begun
    lives: dict[int, LiveRun] = field(default_factory=dict)
    #: recorded live without an owner: what an earlier server left, until it is reconciled. A stop reaches these too.
    ownerless: dict[int, LiveRun] = field(default_factory=dict)

    def live(self, run: int) -> LiveRun:
        return self.lives[run]

    @contextlib.asynccontextmanager
    async def sandbox(
        self, live: LiveRun, role: Role, image: str, *, on_lines: LinesSeen | None = None
    ) -> AsyncIterator[OpenSandbox]:
        """A started sandbox with its relay open. Left without an error it is proven gone.

        Left with one (a stop among them) it stays in `live.sandboxes`, and the run's owner ends it.
        """
        by_root = role is not Role.AGENT
        if by_root:
            await self.disk.require_room(role.value)
        deadline = int(time.time() + live.run.limits.wall_seconds + 3 * self.settings.operation_seconds)
        sandbox = await self._start(live, self.spec(live, role, image, deadline=deadline))
        await self._record_start(live, sandbox, image, deadline)
        reserve = self.disk.kept_free(sandbox) if by_root else contextlib.nullcontext()
        async with reserve, self.opened(live, sandbox, on_lines=on_lines) as box:
            yield box
        await self.end(live, sandbox)

    async def _start(self, live: LiveRun, spec: SandboxSpec) -> Sandbox:
        if live.stop is not None or self.held.is_set():
            raise asyncio.CancelledError
        live.no_start.clear()
        try:
            sandbox = await self.driver.start(spec)
            live.sandboxes[sandbox.id] = sandbox
            self.disk.made()
        except EngineDiskFull as error:
            raise await self.disk.refused(error) from error
        except NotAttested as error:
            await self.refused(live, spec.role.value, error)
            raise
        finally:
            live.no_start.set()
        return sandbox

    async def _record_start(self, live: LiveRun, sandbox: Sandbox, image: str, deadline: int) -> None:
        attested = sandbox.attestation
        assert attested is not None, "a driver attests what it starts"
        started = SandboxStarted(
            role=sandbox.role,
            sandbox=sandbox.id,
            image=image,
            profile=attested.profile,
            runtime=attested.runtime,
            isolation=attested.isolation,
            policy_sha256=attested.policy_sha256,
            image_id=attested.image_id,
            witnessed=attested.witnessed,
        )
        await events.append(self.db, live.id, started, at=time.time())
        if sandbox.role == Role.AGENT.value:
            await runs.set_sandbox(self.db, live.id, facts_of(sandbox, attested, deadline))
        self.doorbell.ring(live.id)

    async def refused(self, live: LiveRun, role: str, error: NotAttested) -> None:
        """Record that a sandbox was not what was asked for, and tell people. Ends nothing."""
        told = [str(each) for each in error.differences]
        finding = not_attested(role, told)
        event = SandboxRefused(role=role, differences="; ".join(told)[:4000])
        await until_recorded(lambda: events.append(self.db, live.id, event, at=time.time()))
        await until_recorded(lambda: alerts.record(self.db, live.id, finding, at=time.time(), action=ACTION))
        self.doorbell.ring(live.id)
        self.doorbell.ring(Doorbell.HOUSE)

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

    def spec(self, live: LiveRun, role: Role, image: str, *, deadline: int | None) -> SandboxSpec:
        """What a run's sandbox of this role is to be. The same again for the same run: an adoption compares with it."""
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
                home_bytes=limits.home_bytes,
            ),
            network=network,
            runtime=live.runtime,
            grace_seconds=self.settings.grace_seconds,
            debug=live.run.profile is AgentProfile.DEBUG,
            deadline=deadline,
        )


def facts_of(sandbox: Sandbox, attested: Attestation, deadline: int) -> SandboxFacts:
    """What the record keeps of the agent's sandbox."""
    return SandboxFacts(
        sandbox=sandbox.id,
        profile=attested.profile,
        isolation=attested.isolation,
        policy_sha256=attested.policy_sha256,
        image_id=attested.image_id,
        runtime=attested.runtime,
        witnessed=attested.witnessed,
        deadline=deadline,
    )
