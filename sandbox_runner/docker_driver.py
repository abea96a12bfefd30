"""The port over a Docker Engine. See `sandbox_runner.driver` for what is promised."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import docker

from sandbox_runner.attestation import Attestation, Difference, differences
from sandbox_runner.docker_attach import AttachedWire, open_attach
from sandbox_runner.docker_cgroups import KnownCgroups, is_member
from sandbox_runner.docker_clients import Lane, to_the_end
from sandbox_runner.docker_config import container_name, create_body, features_of
from sandbox_runner.docker_disk import disk_of, room_of
from sandbox_runner.docker_freeze import Freezer
from sandbox_runner.docker_stats import usage_of
from sandbox_runner.docker_stop import StopLane
from sandbox_runner.docker_times import unix_seconds
from sandbox_runner.docker_versions import runsc_version, versions_of
from sandbox_runner.driver import (
    CLOSED,
    DiskRoom,
    Driver,
    Engine,
    EngineDiskFull,
    EngineUnreachable,
    Exit,
    ImageMissing,
    NotAttested,
    Relay,
    RelayLost,
    Sandbox,
    SandboxError,
    SandboxGone,
    StartFailed,
    Told,
    Usage,
)
from sandbox_runner.gvisor import crashed, is_gvisor
from sandbox_runner.last_look import BUDGET, LastLook
from sandbox_runner.policy import HostFeatures, Policy, labels_of, policy_of
from sandbox_runner.relay import KeeperRelay
from sandbox_runner.room import Homes
from sandbox_runner.spec import LABEL_INSTANCE, LABEL_ROLE, LABEL_RUN, Network, SandboxSpec
from sandbox_runner.witness import look_at

log = logging.getLogger(__name__)

#: A commit writes out all that a sandbox changed, which can be gigabytes.
COMMIT_WITHIN = 900
#: Seconds between questions whether a container ended, where its process cannot be watched.
ASK_AGAIN = 1.0


class DockerDriver(Driver):
    """`address` None: finds the engine as the docker command does (DOCKER_HOST). May be made before the engine runs."""

    def __init__(self, address: str | None = None) -> None:
        self._calls = Lane("calls", address, threads=8, timeout=60)
        self._slow = Lane("slow", address, threads=2, timeout=COMMIT_WITHIN)
        self._cgroups = KnownCgroups()
        self._homes = Homes()
        self._stop = StopLane(self._cgroups, address)
        self._freezer = Freezer(self._cgroups, address)
        self._fresh: dict[str, AttachedWire] = {}  #: attached before the start, not used by a relay yet
        self._wires: dict[str, AttachedWire] = {}  #: the one in use
        self._features: HostFeatures | None = None  #: as of the last look at the engine
        self._disk: str | None = None  #: the engine's folder, where this host has it

    async def check(self) -> Engine:
        info = await self._calls.call(lambda client: client.info())
        self._features = features_of(info)
        self._disk = disk_of(info)
        return Engine(
            name="docker",
            version=str(info["ServerVersion"]),
            runtimes=tuple(sorted(info["Runtimes"])),
            programs={name: str(each.get("path") or "") for name, each in info["Runtimes"].items()},
        )

    async def versions(self) -> Mapping[str, str]:
        found = versions_of(await self._calls.call(lambda client: client.version()))
        runsc = await asyncio.to_thread(runsc_version)
        return {**found, "runsc": runsc} if runsc is not None else found

    async def start(self, spec: SandboxSpec) -> Sandbox:
        policy = await self._policy(spec)
        name = container_name(spec, secrets.token_hex(2))
        try:
            return await self._start(spec, policy, name)
        except BaseException as error:
            await to_the_end(self._undo(name))
            if isinstance(error, SandboxError) and not isinstance(
                error, EngineUnreachable | EngineDiskFull | StartFailed
            ):
                raise StartFailed(f"run {spec.run}: the {spec.role.value} sandbox did not start: {error}") from error
            raise

    async def _policy(self, spec: SandboxSpec) -> Policy:
        if self._features is None:
            await self.check()
        return policy_of(spec, self._features or HostFeatures())

    async def _start(self, spec: SandboxSpec, policy: Policy, name: str) -> Sandbox:
        """Each step runs to its end even when cancelled: what it made must be there to be removed."""
        image = await self._calls.call(lambda client: _inspect_image(client, spec.image))
        body = create_body(spec, policy, image["Id"])
        made = await to_the_end(self._calls.call(lambda client: _create(client, body, name)))
        sandbox = Sandbox(
            id=made["Id"], run=spec.run, instance=spec.instance, role=spec.role.value, started_at=time.time()
        )
        told = await self._told(sandbox)
        _require_equal(spec, policy, image, told)
        try:
            await to_the_end(self._attach(sandbox, self._fresh, resumed=False))
            await to_the_end(self._calls.call(lambda client: client.start(sandbox.id)))
            state = await self._state(sandbox)
            sandbox = self._visible(sandbox, int(state.get("Pid") or 0) or None)
            return replace(sandbox, attestation=_witnessed(spec, policy, image, sandbox))
        except BaseException:
            await self._let_go(sandbox)
            raise

    async def attest(self, sandbox: Sandbox, spec: SandboxSpec) -> Attestation:
        policy = await self._policy(spec)
        try:
            image = await self._calls.call(lambda client: _inspect_image(client, spec.image))
        except ImageMissing as error:
            raise NotAttested((Difference(field="Image", wanted=spec.image, got="gone from the engine"),)) from error
        told = await self._told(sandbox)
        _require_equal(spec, policy, image, told)
        return _witnessed(spec, policy, image, sandbox)

    async def _undo(self, name: str) -> None:
        try:
            await self._stop.remove_named(name)
        except SandboxError as error:
            # Found by its label later; unattended, its keeper ends it after the grace.
            log.warning("container %s could not be removed after a failed start: %s", name, error)

    def relay(self, sandbox: Sandbox, *, acknowledged: int = 0) -> Relay:
        return KeeperRelay(lambda: self._wire(sandbox), acknowledged=acknowledged)

    async def wait(self, sandbox: Sandbox) -> Exit:
        watched = await self._process_ended(sandbox)
        pause = 0.01 if watched else ASK_AGAIN
        while True:
            told = await self._told(sandbox)
            state = told["State"]
            if state.get("Status") in ("exited", "dead"):
                code = int(state.get("ExitCode") or 0)
                fell = crashed(told["HostConfig"].get("Runtime"), code)
                killed_for_memory, at = bool(state.get("OOMKilled")), unix_seconds(state.get("FinishedAt"))
                return Exit(code=code, out_of_memory=killed_for_memory, sandbox_crashed=fell, at=at)
            await asyncio.sleep(pause)
            pause = min(2 * pause, ASK_AGAIN)

    async def usage(self, sandbox: Sandbox, *, fresh: bool = False) -> Usage:
        cgroup = self._cgroups.find(sandbox)
        usage = cgroup.usage(time.time(), fresh=fresh) if cgroup is not None else None
        if usage is None:
            sample = await self._calls.call(lambda client: client.stats(sandbox.id, stream=False, one_shot=True))
            usage = usage_of(sample, sandbox, time.time())
        return replace(usage, disk_used_bytes=self._homes.used(sandbox, fresh=fresh))

    async def freeze(self, sandbox: Sandbox) -> None:
        await self._freezer.freeze(sandbox)

    async def thaw(self, sandbox: Sandbox) -> None:
        await self._freezer.thaw(sandbox)

    async def frozen(self, sandbox: Sandbox) -> bool:
        return await self._freezer.frozen(sandbox)

    async def commit(self, sandbox: Sandbox, reference: str) -> str:
        repository, tag = _parted(reference)
        made = await self._slow.call(lambda client: client.commit(sandbox.id, repository=repository, tag=tag))
        return str(made["Id"])

    async def disk_room(self) -> DiskRoom | None:
        if self._features is None:
            await self.check()
        return None if self._disk is None else await asyncio.to_thread(room_of, self._disk)

    async def layer_bytes(self, sandboxes: Collection[Sandbox]) -> Mapping[str, int]:
        wanted = {"id": [sandbox.id for sandbox in sandboxes]}
        found = await self._calls.call(lambda client: client.containers(all=True, size=True, filters=wanted))
        return {entry["Id"]: int(entry.get("SizeRw") or 0) for entry in found}

    async def image_id(self, reference: str) -> str | None:
        try:
            image = await self._calls.call(lambda client: _inspect_image(client, reference))
        except ImageMissing:
            return None
        return str(image["Id"])

    async def remove_image(self, reference: str) -> None:
        try:
            await self._slow.call(lambda client: client.remove_image(reference, force=True))
        except ImageMissing:
            pass

    async def list_images(self, prefix: str) -> list[str]:
        images = await self._calls.call(lambda client: client.images())
        tags = {tag for image in images for tag in image.get("RepoTags") or ()}
        return sorted(tag for tag in tags if tag.startswith(prefix))

    async def list_owned(self, instance: str | None = None) -> list[Sandbox]:
        label = LABEL_INSTANCE if instance is None else f"{LABEL_INSTANCE}={instance}"
        found = await self._stop.containers(label)
        known = await asyncio.gather(*(self._owned(entry) for entry in found))
        return [sandbox for sandbox in known if sandbox is not None]

    def last_look(self, sandbox: Sandbox, within: float = BUDGET) -> LastLook:
        return self._stop.last_look(sandbox, within)

    async def ready(self) -> None:
        await self._stop.ready()

    async def kill(self, sandbox: Sandbox, *, told: Told | None = None) -> None:
        tell = told or (lambda _step: None)
        for wires in (self._fresh, self._wires):
            if (wire := wires.pop(sandbox.id, None)) is not None:
                wire.cut()
                tell(CLOSED)
        self._stop.strike(sandbox, tell)
        await self._stop.kill(sandbox, tell)

    async def alive(self, sandbox: Sandbox) -> bool:
        return await self._stop.alive(sandbox)

    async def remove(self, sandbox: Sandbox) -> None:
        self._homes.forget(sandbox)
        await self._let_go(sandbox)
        await self._stop.remove(sandbox)

    async def exists(self, sandbox: Sandbox) -> bool:
        return await self._stop.exists(sandbox)

    async def close(self) -> None:
        for wires in (self._fresh, self._wires):
            for wire in wires.values():
                await wire.close()
            wires.clear()
        await self._freezer.close()
        await self._stop.close()
        self._cgroups.close()
        self._calls.close()
        self._slow.close()

    async def _state(self, sandbox: Sandbox) -> dict[str, Any]:
        state: dict[str, Any] = (await self._told(sandbox))["State"]
        return state

    async def _told(self, sandbox: Sandbox) -> dict[str, Any]:
        """What the engine says of the container. Raises `SandboxGone`."""
        told: dict[str, Any] = await self._calls.call(lambda client: client.inspect_container(sandbox.id))
        return told

    async def _owned(self, entry: dict[str, Any]) -> Sandbox | None:
        """A listed container as a handle, or None when it is gone by now."""
        labels = entry.get("Labels") or {}
        sandbox = Sandbox(
            id=entry["Id"],
            run=labels.get(LABEL_RUN, ""),
            instance=labels.get(LABEL_INSTANCE, ""),
            role=labels.get(LABEL_ROLE, ""),
            started_at=float(entry.get("Created") or 0),
        )
        try:
            return self._visible(sandbox, await self._stop.pid(sandbox.id))
        except SandboxGone:
            return None

    def _visible(self, sandbox: Sandbox, pid: int | None) -> Sandbox:
        """With the pid only where it names the container's process on this host, and not somebody else's."""
        with_pid = replace(sandbox, pid=pid)
        return with_pid if self._cgroups.find(with_pid) is not None else sandbox

    async def _wire(self, sandbox: Sandbox) -> AttachedWire:
        """The sandbox's one wire: the one from before its start, or a new one in place of the last."""
        if sandbox.id in self._fresh:
            self._wires[sandbox.id] = self._fresh.pop(sandbox.id)
        else:
            await self._let_go(sandbox)
            state = await self._state(sandbox)
            if not state.get("Running") or state.get("Paused"):
                raise RelayLost(f"sandbox {sandbox.id[:12]} is {state.get('Status')}: its keeper cannot answer")
            try:
                await to_the_end(self._attach(sandbox, self._wires, resumed=True))
            except asyncio.CancelledError:
                await self._let_go(sandbox)
                raise
        return self._wires[sandbox.id]

    async def _attach(self, sandbox: Sandbox, wires: dict[str, AttachedWire], *, resumed: bool) -> None:
        sock, early = await self._calls.call(lambda client: open_attach(client, sandbox.id))
        wires[sandbox.id] = await AttachedWire.over(sock, early, resumed=resumed)

    async def _let_go(self, sandbox: Sandbox) -> None:
        """Close our own connection: an engine that waits for us to read cannot kill."""
        for wires in (self._fresh, self._wires):
            wire = wires.pop(sandbox.id, None)
            if wire is not None:
                await wire.close()

    async def _process_ended(self, sandbox: Sandbox) -> bool:
        """Wait for process 1 to end, where this host can watch it; False, at once, where it cannot."""
        if sandbox.pid is None:
            return False
        try:
            handle = os.pidfd_open(sandbox.pid)
        except OSError:
            return True  # it has ended already
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        try:
            # Checked after the handle is held: from here on the number cannot come to mean another process.
            if is_member(sandbox.pid, sandbox.id):
                loop.add_reader(handle, ended.set)
                await ended.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
        return True


def _require_equal(spec: SandboxSpec, policy: Policy, image: dict[str, Any], told: dict[str, Any]) -> None:
    """Raises `NotAttested` naming every field in which the engine's container is not what was asked for."""
    if found := differences(policy, labels_of(spec, policy), image, told):
        raise NotAttested(found)


def _witnessed(spec: SandboxSpec, policy: Policy, image: dict[str, Any], sandbox: Sandbox) -> Attestation:
    """The attestation of a started sandbox. Raises `NotAttested` when this host sees something else than was asked."""
    seen = look_at(sandbox.pid) if sandbox.pid is not None else None
    found = []
    if seen is not None and seen.gvisor != is_gvisor(spec.runtime):
        got = "gVisor's kernel" if seen.gvisor else "no kernel of gVisor's"
        found.append(Difference(field="the host's process", wanted=spec.runtime, got=got))
    if seen is not None and not seen.alone and spec.network is Network.NONE:
        found.append(Difference(field="the host's view of its network", wanted="a loopback alone", got=str(seen)))
    if found:
        raise NotAttested(tuple(found))
    return Attestation(
        profile=policy.profile,
        isolation=str(policy.isolation),
        policy_sha256=policy.sha256,
        image_id=image["Id"],
        runtime=spec.runtime,
        witnessed=seen is not None,
    )


def _create(client: docker.APIClient, config: dict[str, Any], name: str) -> dict[str, Any]:
    made: dict[str, Any] = client.create_container_from_config(config, name)  # type: ignore[no-untyped-call]
    return made


def _inspect_image(client: docker.APIClient, reference: str) -> dict[str, Any]:
    found: dict[str, Any] = client.inspect_image(reference)  # type: ignore[no-untyped-call]
    return found


def _parted(reference: str) -> tuple[str, str]:
    """Repository and tag; a colon before a slash belongs to a registry's port."""
    repository, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        return reference, "latest"
    return repository, tag
