"""The end of a container: killed by every way there is, and read to be dead. Shares nothing that can block."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from sandbox_runner.cgroups import ContainerCgroup
from sandbox_runner.docker_cgroups import KnownCgroups, strike
from sandbox_runner.docker_clients import Lane
from sandbox_runner.docker_errors import EngineRefused
from sandbox_runner.driver import (
    ANSWERED,
    ASKED,
    STRUCK,
    THAWED,
    EngineUnreachable,
    Sandbox,
    SandboxError,
    SandboxGone,
    Told,
)
from sandbox_runner.last_look import LastLook, look_at

#: Seconds the engine is given to kill; it may take ten, or hang, when the kernel needs two milliseconds.
KILL_WITHIN = 2.0


class StopLane:
    """kill, alive, remove and exists, over a client and threads of their own."""

    def __init__(self, cgroups: KnownCgroups, address: str | None) -> None:
        # Threads are made as needed; this many engine calls may hang before one more would wait.
        self._lane = Lane("stop", address, threads=32, timeout=10)
        self._cgroups = cgroups
        self._asked: set[asyncio.Task[SandboxError | None]] = set()

    async def ready(self) -> None:
        """Raises when the engine does not answer by this lane."""
        await self._lane.call(lambda client: client.ping())

    async def containers(self, label: str) -> list[dict[str, Any]]:
        """All with this label, in any state, as the engine lists them."""
        return await self._lane.call(lambda client: client.containers(all=True, filters={"label": [label]}))

    def last_look(self, sandbox: Sandbox, within: float) -> LastLook:
        begun = time.monotonic()
        cgroup = self._cgroups.find(sandbox)
        try:
            if cgroup is not None:
                return look_at(cgroup.procs(), begun=begun, within=within)
        except OSError:
            pass
        return LastLook(processes=(), unseen=0, took_ms=round((time.monotonic() - begun) * 1000, 2), shown=False)

    def strike(self, sandbox: Sandbox, tell: Told) -> None:
        """SIGKILL by the kernel alone, where this host can: at once, waiting for nothing and nobody."""
        cgroup = self._cgroups.search(sandbox)
        if cgroup is not None:
            _kill_directly(sandbox, cgroup, tell)

    async def kill(self, sandbox: Sandbox, tell: Told) -> None:
        """By the engine too; back as soon as nothing is left. Raises when neither it nor the kernel could be asked."""
        cgroup = self._cgroups.find(sandbox)
        asked = asyncio.create_task(self._ask_engine(sandbox, thaw_first=cgroup is None), name="engine kill")
        tell(ASKED)
        self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)
        until = time.monotonic() + KILL_WITHIN
        pause = 0.001
        while time.monotonic() < until and not asked.done():
            if cgroup is not None and not _members(cgroup):
                return
            await asyncio.wait({asked}, timeout=pause)
            pause = min(2 * pause, 0.01)
        if cgroup is None and asked.done() and (error := asked.result()) is not None:
            raise error
        if asked.done():
            tell(ANSWERED)

    async def alive(self, sandbox: Sandbox) -> bool:
        cgroup = self._cgroups.find(sandbox)
        if cgroup is not None:
            try:
                return bool(cgroup.procs())
            except OSError:
                pass  # then the engine must say
        try:
            state = await self._lane.call(lambda client: client.inspect_container(sandbox.id)["State"])
        except SandboxGone:
            return False
        return bool(state.get("Running"))

    async def remove(self, sandbox: Sandbox) -> None:
        await self.remove_named(sandbox.id)
        self._cgroups.forget(sandbox)

    async def remove_named(self, name: str) -> None:
        """By id or name, with the volumes its image may have asked for."""
        try:
            await self._lane.call(lambda client: client.remove_container(name, v=True, force=True))
        except SandboxGone:
            pass
        except EngineRefused as error:
            if error.status != 409:  # it is being removed already; `exists` tells when that is done
                raise

    async def exists(self, sandbox: Sandbox) -> bool:
        try:
            await self._lane.call(lambda client: client.inspect_container(sandbox.id))
        except SandboxGone:
            return False
        return True

    async def pid(self, container: str) -> int | None:
        """Process 1 as the engine says, or None when it does not say so soon: a hung container holds its lock."""
        try:
            async with asyncio.timeout(KILL_WITHIN):
                state = await self._lane.call(lambda client: client.inspect_container(container)["State"])
        except (TimeoutError, EngineUnreachable):
            return None
        return int(state.get("Pid") or 0) or None

    async def close(self) -> None:
        if self._asked:
            await asyncio.wait(self._asked)
        self._lane.close()

    async def _ask_engine(self, sandbox: Sandbox, *, thaw_first: bool) -> SandboxError | None:
        """Kill through the engine; the error is an answer, because often nobody waits for it."""
        try:
            if thaw_first:
                await self._thaw(sandbox)
            await self._lane.call(lambda client: client.kill(sandbox.id, "SIGKILL"))
        except SandboxGone:
            return None
        except EngineRefused as error:
            return None if error.status == 409 else error  # it is not running
        except SandboxError as error:
            return error
        return None

    async def _thaw(self, sandbox: Sandbox) -> None:
        """Where the kernel cannot be asked: some runtimes act on no signal while frozen."""
        try:
            await self._lane.call(lambda client: client.unpause(sandbox.id))
        except EngineRefused:
            pass  # it was not frozen


def _members(cgroup: ContainerCgroup) -> list[int]:
    """Who is left; when that cannot be read, somebody may be."""
    try:
        return cgroup.procs()
    except OSError:
        return [0]


def _kill_directly(sandbox: Sandbox, cgroup: ContainerCgroup, tell: Told) -> None:
    """Nothing of the sandbox runs again, not even when it was frozen: struck first, thawed after."""
    frozen = cgroup.frozen()
    struck = cgroup.kill()
    if sandbox.pid is not None:
        struck = strike(sandbox.pid, sandbox.id) or struck  # with process 1 the kernel ends its whole namespace
    if frozen or not struck:
        for pid in _members(cgroup):
            struck = strike(pid, sandbox.id) or struck
    if struck:
        tell(STRUCK)
    if frozen:
        cgroup.thaw()
        tell(THAWED)
