"""Freezing a container so that it can be believed: the engine first, the kernel's own freezer where that fails."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from sandbox_runner.cgroups import ContainerCgroup
from sandbox_runner.docker_cgroups import KnownCgroups
from sandbox_runner.docker_clients import Lane
from sandbox_runner.docker_errors import EngineRefused
from sandbox_runner.driver import FreezeFailed, Sandbox, SandboxError, SandboxGone
from sandbox_runner.gvisor import is_gvisor

PAUSE_WITHIN = 1.0
DIRECT_WITHIN = 3.0
#: Seconds over which not a tick of CPU time may be used before anything is called frozen.
STILL_FOR = 0.2


class Freezer:
    """Freeze and thaw over a lane of their own: a pause can hang, and must hold up nobody else."""

    def __init__(self, cgroups: KnownCgroups, address: str | None) -> None:
        self._lane = Lane("freeze", address, threads=16, timeout=10)
        self._cgroups = cgroups
        self._pausing: dict[str, asyncio.Task[SandboxError | None]] = {}

    async def freeze(self, sandbox: Sandbox) -> None:
        """Raises `FreezeFailed` unless proven, `SandboxGone` when there is no such container."""
        cgroup = self._cgroups.search(sandbox)
        asked = self._pausing.get(sandbox.id)
        if asked is None:
            asked = asyncio.create_task(self._pause(sandbox, directly=cgroup is not None), name="engine pause")
            self._pausing[sandbox.id] = asked
            asked.add_done_callback(lambda _: self._pausing.pop(sandbox.id, None))
        await asyncio.wait({asked}, timeout=PAUSE_WITHIN)
        refused = asked.result() if asked.done() else None
        if isinstance(refused, SandboxGone):
            raise refused
        if cgroup is not None:
            if cgroup.procs() and await _freeze_directly(cgroup):
                return
        elif (await self._state(sandbox)).get("Paused") and await self._stands_still(sandbox):
            return
        why = refused or f"it used CPU time, or did not stand still within {DIRECT_WITHIN:.0f} s"
        raise FreezeFailed(f"sandbox {sandbox.id[:12]} could not be proven frozen: {why}")

    async def thaw(self, sandbox: Sandbox) -> None:
        asked = self._pausing.get(sandbox.id)
        if asked is not None:
            await asyncio.wait({asked})  # or it would be frozen again after this
        cgroup = self._cgroups.search(sandbox)
        try:
            # Before the kernel's own: an engine that finds it thawed refuses, and calls it paused for good.
            if (await self._state(sandbox)).get("Paused"):
                await self._lane.call(lambda client: client.unpause(sandbox.id))
        except EngineRefused:
            pass  # the kernel decides
        finally:
            if cgroup is not None:
                cgroup.thaw()
        if cgroup.frozen() if cgroup is not None else (await self._state(sandbox)).get("Paused"):
            raise SandboxError(f"sandbox {sandbox.id[:12]} could not be thawed")

    async def frozen(self, sandbox: Sandbox) -> bool:
        cgroup = self._cgroups.search(sandbox)
        return bool((cgroup is not None and cgroup.frozen()) or (await self._state(sandbox)).get("Paused"))

    async def close(self) -> None:
        if self._pausing:
            await asyncio.wait(list(self._pausing.values()))
        self._lane.close()

    async def _stands_still(self, sandbox: Sandbox) -> bool:
        """By the engine's own figures, where the kernel's cannot be read."""
        used = [await self._cpu_time(sandbox)]
        await asyncio.sleep(STILL_FOR)
        used.append(await self._cpu_time(sandbox))
        return used[0] == used[1]

    async def _cpu_time(self, sandbox: Sandbox) -> int:
        told = await self._lane.call(lambda client: client.stats(sandbox.id, stream=False, one_shot=True))
        return int(told["cpu_stats"]["cpu_usage"]["total_usage"])

    async def _pause(self, sandbox: Sandbox, *, directly: bool) -> SandboxError | None:
        """Through the engine, so that it knows; the error is an answer, because the kernel may still do it."""
        try:
            told = await self._lane.call(lambda client: client.inspect_container(sandbox.id))
            # gVisor's own pause leaves its kernel running, and the way back from it was seen to hang.
            if not (directly and is_gvisor(told["HostConfig"].get("Runtime"))):
                await self._lane.call(lambda client: client.pause(sandbox.id))
        except SandboxError as error:
            return error
        return None

    async def _state(self, sandbox: Sandbox) -> dict[str, Any]:
        told = await self._lane.call(lambda client: client.inspect_container(sandbox.id))
        state: dict[str, Any] = told["State"]
        return state


async def _freeze_directly(cgroup: ContainerCgroup) -> bool:
    """Frozen as the kernel's freezer says, and no CPU time used since.

    The v1 freezer can stay half-way when processes come and go: thawed and asked again, it succeeds.
    """
    until = time.monotonic() + DIRECT_WITHIN
    pause = 0.002
    while time.monotonic() < until:
        if cgroup.frozen() and await _stands_still(cgroup):
            return True
        if not cgroup.freeze():
            return False
        await asyncio.sleep(pause)
        if not cgroup.frozen() and pause > 0.05:
            cgroup.thaw()
        pause = min(2 * pause, 0.1)
    return False


async def _stands_still(cgroup: ContainerCgroup) -> bool:
    """Whether it is frozen all the while, and its CPU time is the same before and after."""
    before = _cpu_time(cgroup)
    await asyncio.sleep(STILL_FOR)
    return cgroup.frozen() and _cpu_time(cgroup) == before


def _cpu_time(cgroup: ContainerCgroup) -> float | None:
    """None where this host has no such figure: then the freezer's word is all there is."""
    usage = cgroup.usage(time.time())
    return None if usage is None else usage.cpu_seconds
