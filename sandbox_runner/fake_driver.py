"""A real driver without containers: sandboxes in memory, jobs played from scripts.

For demonstrations, development and the tests of everything above the driver. Keeps every promise of
`sandbox_runner.driver`, except those only a kernel can keep. Time is the event loop's, so it may be virtual.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import replace

from sandbox_runner.attestation import Attestation, Difference
from sandbox_runner.driver import (
    ASKED,
    DiskRoom,
    Driver,
    Engine,
    EngineDiskFull,
    EngineUnreachable,
    Exit,
    FreezeFailed,
    ImageMissing,
    NotAttested,
    Relay,
    Sandbox,
    SandboxGone,
    StartFailed,
    Told,
    Usage,
)
from sandbox_runner.fake_relay import FakeRelay
from sandbox_runner.fake_sandbox import FakeSandbox, State
from sandbox_runner.fake_script import FakeKnobs
from sandbox_runner.last_look import BUDGET, LastLook, Process
from sandbox_runner.policy import HostFeatures, labels_of, policy_of
from sandbox_runner.spec import Job, SandboxSpec

#: Any reference that starts so is an image the fake engine has.
BASE_IMAGE_PREFIX = "crucible-base"


class FakeEngine:
    """The world behind fake drivers: outlives each, as a container engine outlives a server.

    Give the same engine to a second driver to play a restart.
    """

    def __init__(self, *, runtimes: tuple[str, ...] = ("runc",)) -> None:
        self.runtimes = runtimes
        self.sandboxes: dict[str, FakeSandbox] = {}
        self.images: set[str] = set()
        self.ran: list[tuple[str, Job]] = []  #: (sandbox id, job) in the order they were started
        #: What is left on its disk; None: nobody can see that. With nothing left nothing is made.
        self.room: DiskRoom | None = DiskRoom(bytes=1024**4, files=None)
        self.layers: dict[str, int] = {}  #: run -> bytes each of its sandboxes wrote to its root
        self._down = False
        self._epoch: float | None = None

    @property
    def down(self) -> bool:
        """While true nothing is answered; going down cuts every relay. The sandboxes go on."""
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        self._down = down
        for sandbox in self.sandboxes.values():
            sandbox.reader = None
            sandbox.bell.ring()

    def now(self) -> float:
        """Unix seconds that move as the event loop's clock does."""
        if self._epoch is None:
            self._epoch = time.time() - asyncio.get_running_loop().time()
        return self._epoch + asyncio.get_running_loop().time()

    async def close(self) -> None:
        """End everything. Raises what a script's own function raised."""
        for sandbox in self.sandboxes.values():
            await sandbox.close()


class FakeDriver(Driver):
    """Without an `engine` it has its own, which ends when the driver is closed."""

    def __init__(
        self,
        knobs: FakeKnobs | None = None,
        *,
        by_run: Mapping[str, FakeKnobs] | None = None,
        engine: FakeEngine | None = None,
    ) -> None:
        self.knobs = knobs or FakeKnobs()
        self.by_run = dict(by_run or {})  #: run id -> the knobs of its sandboxes; read at each start
        self.engine = engine or FakeEngine()
        self._owns_engine = engine is None

    @property
    def engine_down(self) -> bool:
        return self.engine.down

    @engine_down.setter
    def engine_down(self, down: bool) -> None:
        self.engine.down = down

    @property
    def fed(self) -> Mapping[tuple[str, int], bytes]:
        """(sandbox id, job id) -> every byte fed to the job."""
        boxes = self.engine.sandboxes
        return {(name, job): bytes(data) for name, box in boxes.items() for job, data in box.fed.items()}

    async def check(self) -> Engine:
        self._require_engine()
        return Engine(name="fake", version="1", runtimes=self.engine.runtimes)

    async def versions(self) -> Mapping[str, str]:
        self._require_engine()
        return {"engine": "1"}

    async def start(self, spec: SandboxSpec) -> Sandbox:
        self._require_engine()
        knobs = self.by_run.get(spec.run, self.knobs)
        if await self.image_id(spec.image) is None:
            raise ImageMissing(f"image {spec.image} is not on the fake engine")
        if spec.runtime not in self.engine.runtimes:
            raise StartFailed(f"the fake engine has no runtime {spec.runtime}")
        self._require_room()
        attestation = _attested(spec, knobs)
        handle = Sandbox(
            id=secrets.token_hex(32),
            run=spec.run,
            instance=spec.instance,
            role=spec.role.value,
            started_at=self.engine.now(),
            attestation=attestation,
        )
        sandbox = FakeSandbox(handle, spec, knobs, self.engine.now)
        self.engine.sandboxes[handle.id] = sandbox
        try:
            await asyncio.sleep(knobs.start_delay)
            self._require_engine()
            if knobs.start_error is not None or sandbox.state is State.REMOVED:
                raise StartFailed(knobs.start_error or "the sandbox was removed while it started")
        except BaseException:
            sandbox.remove()
            raise
        sandbox.begin()
        return handle

    async def attest(self, sandbox: Sandbox, spec: SandboxSpec) -> Attestation:
        box = self.find(sandbox)
        _compare(box.spec, spec)
        if await self.image_id(spec.image) is None:
            raise NotAttested((Difference(field="Image", wanted=spec.image, got="gone from the engine"),))
        return _attested(spec, box.knobs)

    def relay(self, sandbox: Sandbox, *, acknowledged: int = 0) -> Relay:
        return FakeRelay(self.find, self.engine.ran, sandbox, acknowledged)

    async def wait(self, sandbox: Sandbox) -> Exit:
        box = self.find(sandbox)
        await box.bell.until(lambda: box.exit is not None or self.engine.down)
        self._require_engine()
        assert box.exit is not None
        return box.exit

    async def usage(self, sandbox: Sandbox, *, fresh: bool = False) -> Usage:
        box = self.find(sandbox)
        if not box.alive:
            raise SandboxGone(f"sandbox {sandbox.id[:12]} is not running")
        return box.usage()

    async def freeze(self, sandbox: Sandbox) -> None:
        box = self.find(sandbox)
        if not box.alive:
            raise FreezeFailed(f"sandbox {sandbox.id[:12]} is not running")
        if box.knobs.freeze_error is not None:
            raise FreezeFailed(box.knobs.freeze_error)
        box.freeze()

    async def thaw(self, sandbox: Sandbox) -> None:
        self.find(sandbox).thaw()

    async def frozen(self, sandbox: Sandbox) -> bool:
        return self.find(sandbox).state is State.FROZEN

    async def commit(self, sandbox: Sandbox, reference: str) -> str:
        self.find(sandbox)
        self._require_room()
        self.engine.images.add(reference)
        return _image_id(reference)

    async def disk_room(self) -> DiskRoom | None:
        return self.engine.room

    async def layer_bytes(self, sandboxes: Collection[Sandbox]) -> Mapping[str, int]:
        self._require_engine()
        boxes = [box for each in sandboxes if (box := self.engine.sandboxes.get(each.id)) is not None]
        left = [box.handle for box in boxes if box.state is not State.REMOVED]
        return {handle.id: self.engine.layers.get(handle.run, 0) for handle in left}

    async def image_id(self, reference: str) -> str | None:
        self._require_engine()
        known = reference in self.engine.images or reference.startswith(BASE_IMAGE_PREFIX)
        return _image_id(reference) if known else None

    async def remove_image(self, reference: str) -> None:
        self._require_engine()
        self.engine.images.discard(reference)

    async def list_images(self, prefix: str) -> list[str]:
        self._require_engine()
        return sorted(reference for reference in self.engine.images if reference.startswith(prefix))

    async def list_owned(self, instance: str | None = None) -> list[Sandbox]:
        self._require_engine()
        return [
            replace(box.handle, attestation=None)
            for box in self.engine.sandboxes.values()
            if box.state is not State.REMOVED and instance in (None, box.spec.instance)
        ]

    def last_look(self, sandbox: Sandbox, within: float = BUDGET) -> LastLook:
        box = self.engine.sandboxes.get(sandbox.id)
        if box is None or not box.alive:
            return LastLook(processes=(), unseen=0, took_ms=0.0)
        keeper = Process(pid=1, parent=0, name="keeper", state="S")
        jobs = [job for job, code in box.jobs.items() if code is None]
        running = (Process(pid=job + 1, parent=1, name=f"job {job}", state="S") for job in jobs)
        return LastLook(processes=(keeper, *running), unseen=0, took_ms=0.0)

    async def ready(self) -> None:
        self._require_engine()

    async def kill(self, sandbox: Sandbox, *, told: Told | None = None) -> None:
        self._require_engine()
        if (box := self.engine.sandboxes.get(sandbox.id)) is not None:
            box.kill()
        if told is not None:
            told(ASKED)

    async def alive(self, sandbox: Sandbox) -> bool:
        self._require_engine()
        box = self.engine.sandboxes.get(sandbox.id)
        return box is not None and box.alive

    async def remove(self, sandbox: Sandbox) -> None:
        self._require_engine()
        if (box := self.engine.sandboxes.get(sandbox.id)) is not None:
            box.remove()

    async def exists(self, sandbox: Sandbox) -> bool:
        self._require_engine()
        box = self.engine.sandboxes.get(sandbox.id)
        return box is not None and box.state is not State.REMOVED

    async def close(self) -> None:
        if self._owns_engine:
            await self.engine.close()

    def find(self, sandbox: Sandbox) -> FakeSandbox:
        """Raises `SandboxGone` when it was removed, `EngineUnreachable` while the engine is down."""
        self._require_engine()
        box = self.engine.sandboxes.get(sandbox.id)
        if box is None or box.state is State.REMOVED:
            raise SandboxGone(f"sandbox {sandbox.id[:12]} does not exist")
        return box

    def _require_room(self) -> None:
        if self.engine.room is not None and self.engine.room.bytes == 0:
            raise EngineDiskFull("the container engine's disk is full: the fake engine was told so")

    def _require_engine(self) -> None:
        if self.engine.down:
            raise EngineUnreachable("the fake engine is switched off")


def _attested(spec: SandboxSpec, knobs: FakeKnobs) -> Attestation:
    if knobs.differences:
        raise NotAttested(knobs.differences)
    policy = policy_of(spec, HostFeatures())
    return Attestation(
        profile=policy.profile,
        isolation=str(policy.isolation),
        policy_sha256=policy.sha256,
        image_id=_image_id(spec.image),
        runtime=spec.runtime,
        witnessed=False,
    )


def _compare(made: SandboxSpec, wanted: SandboxSpec) -> None:
    """Raises `NotAttested` naming what a sandbox made by one spec has otherwise than the other."""
    wanted = replace(wanted, deadline=made.deadline if wanted.deadline is None else wanted.deadline)
    was, now = policy_of(made, HostFeatures()), policy_of(wanted, HostFeatures())
    parts = (
        ("Config", now.config, was.config),
        ("HostConfig", now.host_config, was.host_config),
        ("Config.Labels", labels_of(wanted, now), labels_of(made, was)),
        ("", {"Image": wanted.image}, {"Image": made.image}),
    )
    found = tuple(
        Difference(field=f"{part}.{name}".lstrip("."), wanted=repr(value), got=repr(has[name]))
        for part, asked, has in parts
        for name, value in asked.items()
        if has[name] != value
    )
    if found:
        raise NotAttested(found)


def _image_id(reference: str) -> str:
    return "sha256:" + hashlib.sha256(reference.encode()).hexdigest()
