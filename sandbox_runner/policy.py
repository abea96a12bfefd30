"""Every wall of a sandbox, decided before an engine is asked: the whole configuration, nothing left to a default.

A policy is compared with what the engine made (`sandbox_runner.attestation`) before anything runs in it. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from sandbox_runner.driver import StartFailed
from sandbox_runner.gvisor import OVERHEAD_BYTES, host_pids, is_gvisor
from sandbox_runner.isolation import Isolation
from sandbox_runner.spec import (
    LABEL_DEADLINE,
    LABEL_INSTANCE,
    LABEL_ISOLATION,
    LABEL_POLICY,
    LABEL_ROLE,
    LABEL_RUN,
    Network,
    Profile,
    Role,
    SandboxLimits,
    SandboxSpec,
)

#: Read once; an engine takes the text itself, so no file of this host is named in a container's configuration.
SECCOMP = files("sandbox_runner").joinpath("seccomp/strict.json").read_text(encoding="utf-8")

KEEPER = ("python3", "-ISE", "/opt/crucible/keeper.py")
TMP_INODES = 4096
HOME_INODES = 16384
AGENT_UID = 1000
#: Largest file a root operation may write. Its root lies on the engine's disk, which has no quota; whoever uses this
#: package looks at what is left there (`Driver.disk_room`).
ROOT_FILE_BYTES = 4 * 1024**3
#: Seconds an engine that is asked to stop a container politely waits before it kills. We never ask politely.
STOP_SECONDS = 2

#: Never due. The keeper's heartbeat says whether a sandbox is well; an engine's check would be one more program that is
#: started inside, as root. Auditors ask that there is one (CIS 5.27), and an image's own must not be taken over.
HEALTH: Mapping[str, Any] = {
    "Interval": 10 * 365 * 24 * 3600 * 10**9,
    "Retries": 1,
    "Test": ["CMD", "true"],
    "Timeout": 10**9,
}

#: The engine's own list, which this replaces, and what else tells of the host.
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/cgroup",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

#: What no sandbox has: asked for with nothing in it, so that a default cannot fill it.
NOTHING: Mapping[str, Any] = {
    "Binds": None,
    "BlkioDeviceReadBps": None,
    "BlkioDeviceReadIOps": None,
    "BlkioDeviceWriteBps": None,
    "BlkioDeviceWriteIOps": None,
    "BlkioWeight": 0,
    "BlkioWeightDevice": None,
    "Cgroup": "",
    "CgroupParent": "",
    "ContainerIDFile": "",
    "CpuPeriod": 0,
    "CpuQuota": 0,
    "CpuRealtimePeriod": 0,
    "CpuRealtimeRuntime": 0,
    "CpuShares": 0,
    "CpusetCpus": "",
    "CpusetMems": "",
    "DeviceCgroupRules": None,
    "DeviceRequests": None,
    "Devices": None,
    "DnsOptions": None,
    "DnsSearch": None,
    "ExtraHosts": None,
    "GroupAdd": None,
    "Links": None,
    "MemoryReservation": 0,
    "Mounts": None,
    "PidMode": "",
    "PortBindings": None,
    "PublishAllPorts": False,
    "StorageOpt": None,
    "Sysctls": None,
    "UTSMode": "",
    "UsernsMode": "",
    "VolumeDriver": "",
    "VolumesFrom": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFeatures:
    """What this engine's kernel offers beyond what every one has."""

    apparmor: bool = False  #: the engine's own AppArmor profile is loaded
    swappiness: bool = False  #: cgroup v1, where swapping is steered for each container


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One sandbox's walls. Who owns it and which image it is made from are not part of it."""

    profile: str
    isolation: Isolation
    document: str  #: {"Config": …, "HostConfig": …, "Isolation": "T.H.N", "Profile": name} as canonical JSON

    @property
    def sha256(self) -> str:
        """Digest of the document: two sandboxes with the same have the same walls and limits."""
        return hashlib.sha256(self.document.encode()).hexdigest()

    @property
    def config(self) -> dict[str, Any]:
        """The engine's Config, without image and labels."""
        config: dict[str, Any] = json.loads(self.document)["Config"]
        return config

    @property
    def host_config(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads(self.document)["HostConfig"]
        return config


def policy_of(spec: SandboxSpec, features: HostFeatures) -> Policy:
    """The walls of `spec`. Raises `StartFailed` for what no sandbox may have."""
    if spec.network is not Network.NONE and spec.role is not Role.BUILD:
        raise StartFailed(f"only an image build may be given a network, not {spec.role.value}")
    _require_room(spec)
    alone = spec.network is Network.NONE
    isolation = Isolation(tooling=0, host=2 if is_gvisor(spec.runtime) else 1, network=2 if alone else 0)
    whole = {
        "Config": _config(spec, alone=alone),
        "HostConfig": _host_config(spec, features, alone=alone),
        "Isolation": str(isolation),
        "Profile": spec.profile.name,
    }
    return Policy(profile=spec.profile.name, isolation=isolation, document=canonical(whole))


def labels_of(spec: SandboxSpec, policy: Policy) -> dict[str, str]:
    """Whose it is, and by which policy it was made."""
    labels = {
        LABEL_INSTANCE: spec.instance,
        LABEL_RUN: spec.run,
        LABEL_ROLE: spec.role.value,
        LABEL_POLICY: policy.sha256,
        LABEL_ISOLATION: str(policy.isolation),
    }
    # Always there: a committed image hands its own down to every container that does not say otherwise.
    labels[LABEL_DEADLINE] = "" if spec.deadline is None else str(spec.deadline)
    return labels


def canonical(value: object) -> str:
    """JSON with one spelling: keys sorted, no blanks. For texts, whole numbers, truth values and nothing (RFC 8785)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _require_room(spec: SandboxSpec) -> None:
    limits = spec.limits
    home = limits.home_bytes if spec.profile.home is not None else 0
    inside = home + limits.tmp_bytes + limits.shared_bytes
    if 2 * inside > limits.memory_bytes:
        raise StartFailed(
            f"home, /tmp and shared memory of {inside} bytes are more than half of the memory, {limits.memory_bytes}"
        )


def _config(spec: SandboxSpec, *, alone: bool) -> dict[str, Any]:
    return {
        "AttachStderr": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "Cmd": ["--grace", str(spec.grace_seconds)],
        "Domainname": "",
        "Entrypoint": list(KEEPER),
        "Healthcheck": HEALTH,
        "Hostname": "sandbox",
        "NetworkDisabled": alone,
        "OpenStdin": True,
        # The keeper notices a lost connection by itself and gives a restarted server its grace.
        "StdinOnce": False,
        "StopTimeout": STOP_SECONDS,
        "Tty": False,
        "User": "0:0",
        "Volumes": None,
        "WorkingDir": "/",
    }


def _host_config(spec: SandboxSpec, features: HostFeatures, *, alone: bool) -> dict[str, Any]:
    return {
        **NOTHING,
        "AutoRemove": False,  # what is left of it is evidence until it is recorded
        "CapAdd": list(spec.profile.capabilities),
        "CapDrop": ["ALL"],
        "CgroupnsMode": "private",
        # Otherwise the host's resolver stands in resolv.conf, network or not.
        "Dns": ["127.0.0.1"] if alone else None,
        "Init": False,
        "IpcMode": "private",
        # Output goes through the keeper; a log here would fill the host's disk.
        "LogConfig": {"Config": {}, "Type": "none"},
        "MaskedPaths": list(MASKED_PATHS),
        "NetworkMode": "none" if alone else "bridge",
        "OomKillDisable": False,
        "OomScoreAdj": 500,
        "Privileged": False,
        "ReadonlyPaths": list(READONLY_PATHS),
        "ReadonlyRootfs": spec.profile.read_only_root,
        "RestartPolicy": {"MaximumRetryCount": 0, "Name": "no"},
        "Runtime": spec.runtime,
        "SecurityOpt": _security(spec.profile, features),
        "ShmSize": spec.limits.shared_bytes,
        "Tmpfs": _tmpfs(spec),
        "Ulimits": _ulimits(spec),
        **_limits(spec.limits, spec.runtime, features),
    }


def _security(profile: Profile, features: HostFeatures) -> list[str]:
    told = ["no-new-privileges", f"seccomp={seccomp_of(profile)}"]
    return [*told, "apparmor=docker-default"] if features.apparmor else told


def seccomp_of(profile: Profile) -> str:
    """The system call filter of a profile: what all may call, and what it adds."""
    if not profile.more_calls:
        return SECCOMP
    rules = json.loads(SECCOMP)
    more = {
        "names": list(profile.more_calls),
        "action": "SCMP_ACT_ALLOW",
        "args": [],
        "comment": f"only in the profile {profile.name}",
    }
    return canonical({**rules, "syscalls": [*rules["syscalls"], more]})


def _limits(limits: SandboxLimits, runtime: str, features: HostFeatures) -> dict[str, Any]:
    inside_gvisor = is_gvisor(runtime)
    memory = limits.memory_bytes + (OVERHEAD_BYTES if inside_gvisor else 0)
    return {
        "Memory": memory,
        "MemorySwap": memory,  # the sum of both: no swap
        "MemorySwappiness": 0 if features.swappiness else None,
        "NanoCpus": int(limits.cpus * 1e9),
        "PidsLimit": host_pids(limits.pids) if inside_gvisor else limits.pids,
    }


def _ulimits(spec: SandboxSpec) -> list[dict[str, Any]]:
    limits = spec.limits
    places = (limits.tmp_bytes, limits.shared_bytes, limits.home_bytes)
    # A page more than the largest place to write to: a full one is told as "no space left", and no file can claim more.
    largest = max(places) + 4096 if spec.profile.read_only_root else ROOT_FILE_BYTES
    return [
        {"Hard": limits.open_files, "Name": "nofile", "Soft": limits.open_files},
        {"Hard": 0, "Name": "core", "Soft": 0},
        {"Hard": largest, "Name": "fsize", "Soft": largest},
    ]


def _tmpfs(spec: SandboxSpec) -> dict[str, str]:
    """The only places an agent can write to. Engines mount them noexec unless told; agents run what they write."""
    options = "rw,exec,nosuid,nodev"
    mounts = {"/tmp": f"{options},size={spec.limits.tmp_bytes},nr_inodes={TMP_INODES},mode=1777"}
    if spec.profile.home is not None:
        mounts[spec.profile.home] = (
            f"{options},size={spec.limits.home_bytes},nr_inodes={HOME_INODES},uid={AGENT_UID},gid={AGENT_UID},mode=0755"
        )
    return mounts
