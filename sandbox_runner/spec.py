"""What a sandbox is to be: pure data, decided before any engine is asked."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

MIB = 1024 * 1024


class Role(enum.Enum):
    """Which of a run's sandboxes this is; the profile follows from it."""

    BUILD = "build"  #: the family's files are laid out and `install` runs, as root
    SETUP = "setup"  #: `setup` and `start` run, as root; the result is committed
    AGENT = "agent"  #: the agent works, as an ordinary user without any capability
    SCORING = "scoring"  #: `score` and `teardown` run, as root, on what was collected


class Network(enum.Enum):
    """What the sandbox may reach. Only an image build can be given more than nothing."""

    NONE = "none"  #: an own network namespace with a loopback and no route
    BRIDGE = "bridge"  #: the engine's default bridge; only for `install`, only when an operator allowed it


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """Hard limits the kernel holds. Sizes in bytes; `cpus` in cores.

    Home, /tmp and shared memory lie in memory: together they may take half of it at most, or filling them would end in
    the kernel's killing instead of "no space left".
    """

    memory_bytes: int = 512 * MIB
    cpus: float = 1.0
    pids: int = 256
    home_bytes: int = 128 * MIB  #: tmpfs at the agent's home
    tmp_bytes: int = 64 * MIB  #: tmpfs at /tmp
    shared_bytes: int = 16 * MIB  #: tmpfs at /dev/shm
    open_files: int = 1024

    @classmethod
    def fitting(cls, *, memory_bytes: int, cpus: float, pids: int, home_bytes: int) -> Self:
        """With /tmp and shared memory as `home_room` reckons with them."""
        return cls(
            memory_bytes=memory_bytes,
            cpus=cpus,
            pids=pids,
            home_bytes=home_bytes,
            tmp_bytes=_tmp_of(memory_bytes),
            shared_bytes=_shared_of(memory_bytes),
        )


def home_room(memory_bytes: int) -> int:
    """How large the agent's home may be in a sandbox with so much memory."""
    return memory_bytes // 2 - _tmp_of(memory_bytes) - _shared_of(memory_bytes)


def _tmp_of(memory_bytes: int) -> int:
    return min(64 * MIB, memory_bytes // 8)


def _shared_of(memory_bytes: int) -> int:
    return min(16 * MIB, memory_bytes // 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a sandbox is hardened, beyond what every sandbox has (`sandbox_runner.policy`)."""

    name: str
    capabilities: tuple[str, ...]  #: what process 1 holds; an agent's job never has any
    read_only_root: bool
    home: str | None  #: where a writable tmpfs is mounted for the agent; None: the root is writable
    more_calls: tuple[str, ...] = ()  #: system calls allowed beyond the list of all profiles


#: The keeper needs these to start work as another user without any right, and to end it.
KEEPER_CAPABILITIES = ("KILL", "SETGID", "SETPCAP", "SETUID")

STRICT = Profile(
    name="strict",
    capabilities=KEEPER_CAPABILITIES,
    read_only_root=True,
    home="/home/agent",
)
#: What the Task Standard's root operations need (chown, reading others' files), and no more.
TASK_STANDARD = Profile(
    name="task-standard",
    capabilities=("CHOWN", "DAC_OVERRIDE", "FOWNER", *KEEPER_CAPABILITIES),
    read_only_root=False,
    home=None,
)
#: `STRICT` for tasks whose agent works with a debugger: it may trace its own processes.
DEBUG = Profile(
    name="debug",
    capabilities=KEEPER_CAPABILITIES,
    read_only_root=True,
    home="/home/agent",
    more_calls=("ptrace",),
)

PROFILES: Mapping[str, Profile] = {each.name: each for each in (STRICT, TASK_STANDARD, DEBUG)}

PROFILE_OF_ROLE: Mapping[Role, Profile] = {
    Role.BUILD: TASK_STANDARD,
    Role.SETUP: TASK_STANDARD,
    Role.AGENT: STRICT,
    Role.SCORING: TASK_STANDARD,
}

#: Labels on every container this package makes. No image and no task can set one that begins so.
LABEL_PREFIX = "crucible."
LABEL_BASE = "crucible.base"  #: on the base image and all that is made from it
LABEL_INSTANCE = "crucible.instance"  #: which data folder's server owns it
LABEL_RUN = "crucible.run"  #: run id, or "build-<digest>"
LABEL_ROLE = "crucible.role"  #: a Role's value
LABEL_POLICY = "crucible.policy_sha256"  #: `Policy.sha256` of what it was made by
LABEL_ISOLATION = "crucible.isolation"  #: T.H.N, see `sandbox_runner.isolation`
LABEL_DEADLINE = "crucible.deadline"  #: unix second after which nothing of it should be left, unless it is frozen


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """One container to make."""

    image: str
    role: Role
    instance: str
    run: str
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    network: Network = Network.NONE
    runtime: str = "runc"  #: the engine's name of it: never its default, which can be anything
    grace_seconds: float = 20.0  #: the keeper ends everything after this long without a heartbeat
    debug: bool = False  #: an agent that may trace its own processes
    deadline: int | None = None  #: for the label; None: none is set, and none is compared

    @property
    def profile(self) -> Profile:
        return DEBUG if self.debug and self.role is Role.AGENT else PROFILE_OF_ROLE[self.role]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One program the keeper starts inside a sandbox. At most one job runs at a time.

    `argv[0]` is looked up in the job's PATH. Output on stdout and stderr is relayed; when `result` is true the
    job also gets a pipe whose number is in CRUCIBLE_RESULT_FD, relayed as the result stream. When the job's first
    process ends, everything else it started is killed.
    """

    id: int  #: 1..65535, unique in the sandbox
    name: str  #: for people and for the fake: "install", "setup", "start", "agent", "collect", "score", …
    argv: tuple[str, ...]
    uid: int = 1000
    gid: int = 1000
    groups: tuple[int, ...] = ()
    cwd: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bool = False  #: whether `Relay.feed` will be used; otherwise stdin is empty
    result: bool = False
