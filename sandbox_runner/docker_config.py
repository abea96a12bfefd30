"""From a spec to what the engine is asked to make: pure, and the one place where a sandbox's walls are listed.

Nothing is left to the engine's defaults that would matter: they differ between versions and can be configured away.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

from sandbox_runner.driver import StartFailed
from sandbox_runner.spec import MIB, Network, Role, SandboxLimits, SandboxSpec

#: Read once; an engine takes the text itself, so no file of this host is named in a container's configuration.
SECCOMP = files("sandbox_runner").joinpath("seccomp/strict.json").read_text(encoding="utf-8")

KEEPER = ("python3", "-ISE", "/opt/crucible/keeper.py")
SHM_BYTES = 16 * MIB
TMP_INODES = 4096
HOME_INODES = 16384
AGENT_UID = 1000

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


def container_name(spec: SandboxSpec, suffix: str) -> str:
    """A name for people; what is ours is found by label."""
    run = re.sub(r"[^a-zA-Z0-9_.-]", "-", spec.run)[:80]
    return f"crucible-{run}-{spec.role.value}-{suffix}"


def is_gvisor(runtime: str | None) -> bool:
    """Whether the engine's runtime of this name is gVisor, which is called runsc wherever it is installed."""
    return runtime is not None and runtime.startswith("runsc")


def container_config(spec: SandboxSpec) -> dict[str, Any]:
    """The body of the engine's create call. Raises `StartFailed` for a spec that no sandbox may have."""
    if spec.network is not Network.NONE and spec.role is not Role.BUILD:
        raise StartFailed(f"only an image build may be given a network, not {spec.role.value}")
    alone = spec.network is Network.NONE
    return {
        "Image": spec.image,
        "Entrypoint": list(KEEPER),
        "Cmd": ["--grace", str(spec.grace_seconds)],
        "User": "0:0",
        "WorkingDir": "/",
        "Hostname": "sandbox",
        "NetworkDisabled": alone,
        "OpenStdin": True,
        # The keeper notices a lost connection by itself and gives a restarted server its grace.
        "StdinOnce": False,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": spec.labels,
        "HostConfig": _host_config(spec, alone=alone),
    }


def _host_config(spec: SandboxSpec, *, alone: bool) -> dict[str, Any]:
    config: dict[str, Any] = {
        "NetworkMode": "none" if alone else "bridge",
        # Otherwise the host's resolver stands in resolv.conf, network or not.
        "Dns": ["127.0.0.1"] if alone else [],
        "ReadonlyRootfs": spec.profile.read_only_root,
        "Tmpfs": _tmpfs(spec),
        "CapDrop": ["ALL"],
        "CapAdd": list(spec.profile.capabilities),
        "Privileged": False,
        "SecurityOpt": ["no-new-privileges", f"seccomp={SECCOMP}"],
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "PidMode": "",
        "UTSMode": "",
        "ShmSize": SHM_BYTES,
        "MaskedPaths": list(MASKED_PATHS),
        "ReadonlyPaths": list(READONLY_PATHS),
        # Output goes through the keeper; a log here would fill the host's disk.
        "LogConfig": {"Type": "none", "Config": {}},
        "OomScoreAdj": 500,
        "Init": False,
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        **_limits(spec.limits, spec.runtime),
    }
    if spec.runtime is not None:
        config["Runtime"] = spec.runtime
    return config


def _limits(limits: SandboxLimits, runtime: str | None) -> dict[str, Any]:
    return {
        # gVisor's own threads count too, several for each process inside; at the limit it would fall over.
        "PidsLimit": 64 + 8 * limits.pids if is_gvisor(runtime) else limits.pids,
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,  # the sum of both: no swap
        "NanoCpus": int(limits.cpus * 1e9),
        "Ulimits": [
            {"Name": "nofile", "Soft": limits.open_files, "Hard": limits.open_files},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
    }


def _tmpfs(spec: SandboxSpec) -> dict[str, str]:
    """The only places an agent can write to. Engines mount them noexec unless told; agents run what they write."""
    options = "rw,exec,nosuid,nodev"
    mounts = {"/tmp": f"{options},size={spec.limits.tmp_bytes},nr_inodes={TMP_INODES},mode=1777"}
    if spec.profile.home is not None:
        mounts[spec.profile.home] = (
            f"{options},size={spec.limits.home_bytes},nr_inodes={HOME_INODES},uid={AGENT_UID},gid={AGENT_UID},mode=0755"
        )
    return mounts
