"""Which kernels the engine offers that really work: each but the host's is tried before a run gets it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.errors import Broken, Refused
from app.domain.sandboxes import Runtime
from app.supervision.doorbell import Doorbell
from sandbox_runner.driver import Driver, Engine, SandboxError
from sandbox_runner.gvisor import is_gvisor
from sandbox_runner.runtime_probe import RuntimeProbe, probe_runtime

log = logging.getLogger(__name__)

#: The engine's name of the runtime that runs on the host's kernel.
HOST_RUNTIME = "runc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A probe with what it was of: it counts as long as neither engine nor program is another."""

    key: str
    program: str  #: path and the beginning of its SHA-256, for people
    probe: RuntimeProbe


class Runtimes:
    """Tries gVisor once per start of the engine and version of its program; answers what a run gets."""

    def __init__(self, *, driver: Driver, doorbell: Doorbell, image: str, instance: str) -> None:
        self._driver = driver
        self._doorbell = doorbell
        self._image = image
        self._instance = instance
        self._engine: Engine | None = None
        self._epoch = 0  #: grows with every coming of the engine
        self._wake = asyncio.Event()
        self._tried: Tried | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def gvisor(self) -> str | None:
        """The engine's name of gVisor; None when it has none, or nobody has seen the engine yet."""
        offered = self._engine.runtimes if self._engine is not None else ()
        return next((name for name in offered if is_gvisor(name)), None)

    @property
    def tried(self) -> Tried | None:
        """What came of the last probe."""
        return self._tried

    def engine_came(self, engine: Engine) -> None:
        """The engine answers, or another one does: what was tried before says nothing of it."""
        self._engine = engine
        self._epoch += 1
        self._wake.set()

    async def run(self) -> None:
        """Try what the engine offers whenever it comes, for ever: a run should not have to wait for it."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.try_gvisor()

    async def try_gvisor(self) -> None:
        """One probe, unless what is known still holds."""
        async with self._one_at_a_time:
            name = self.gvisor
            if name is not None and (self._tried is None or self._tried.key != self._key(name)):
                await self._try(name)

    async def _try(self, name: str) -> None:
        key = self._key(name)
        program = await asyncio.to_thread(_program, self._path(name))
        try:
            probe = await probe_runtime(self._driver, name, image=self._image, instance=self._instance)
        except SandboxError as error:
            log.warning("runtime %s could not be tried: %s", name, error)
            return
        self._tried = Tried(key=key, program=program, probe=probe)
        log.info("runtime %s: %s", name, probe.sentence or "works")
        if probe.problem:
            log.debug("runtime %s: %s", name, probe.problem)
        self._doorbell.ring(Doorbell.HOUSE)

    async def require(self, wanted: Runtime) -> None:
        """Before anything is queued. Raises `Refused` when the engine is known not to have `wanted` at work."""
        if wanted is not Runtime.GVISOR or self._engine is None:
            return
        if (why := await self._why_not()) is not None:
            raise Refused(f"gVisor {why}", where="runtime", todo="Choose runc or auto, or install a newer gVisor.")

    async def resolve(self, wanted: Runtime) -> str:
        """The engine's name of what a run gets. Raises `Broken` when it was promised gVisor and there is none."""
        if wanted is Runtime.RUNC:
            return HOST_RUNTIME
        why = await self._why_not()
        name = self.gvisor
        if why is None and name is not None:
            return name
        if wanted is Runtime.GVISOR:
            raise Broken(f"gVisor {why}")
        return HOST_RUNTIME

    async def _why_not(self) -> str | None:
        """None when gVisor works. Waits for a probe that is under way, and tries again what was not tried as it is."""
        if self.gvisor is None:
            return "is not registered with the engine"
        await self.try_gvisor()
        if self._tried is None:
            return "could not be tried: the engine went away"
        problem = self._tried.probe.problem
        return f"was tried on this engine and does not work ({problem})" if problem else None

    async def refused(self) -> Mapping[str, str]:
        """What was tried on this engine and does not work: the engine's name -> why. Waits for a probe under way."""
        await self.try_gvisor()
        probe = self._tried.probe if self.gvisor is not None and self._tried is not None else None
        return {probe.runtime: probe.problem} if probe is not None and probe.problem else {}

    def _path(self, name: str) -> str:
        path = self._engine.programs.get(name, "") if self._engine is not None else ""
        return shutil.which(path) or path

    def _key(self, name: str) -> str:
        """Says whether engine or program are others. The program's own file, where it is on this host."""
        path = self._path(name)
        try:
            about = os.stat(path)
        except OSError:
            return f"{self._epoch} {name} {path}"
        return f"{self._epoch} {name} {path} {about.st_size} {about.st_mtime_ns}"


def _program(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return f"{path} sha256 {hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
    except OSError:
        return path or "unknown"
