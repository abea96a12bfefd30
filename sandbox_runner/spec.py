"""What a sandbox is to be: pure data, decided before any engine is asked."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

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
    """Hard limits the kernel holds. Sizes in bytes; `cpus` in cores."""

    memory_bytes: int = 512 * MIB
    cpus: float = 1.0
    pids: int = 256
    home_bytes: int = 128 * MIB  #: tmpfs at the agent's home; charged to memory
    tmp_bytes: int = 64 * MIB  #: tmpfs at /tmp; charged to memory
    open_files: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a sandbox is hardened, beyond what every sandbox has (see the docker driver)."""

    name: str
    capabilities: tuple[str, ...]  #: what process 1 holds; an agent's job never has any
    read_only_root: bool
    home: str | None  #: where a writable tmpfs is mounted for the agent; None: the root is writable


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

PROFILE_OF_ROLE: Mapping[Role, Profile] = {
    Role.BUILD: TASK_STANDARD,
    Role.SETUP: TASK_STANDARD,
    Role.AGENT: STRICT,
    Role.SCORING: TASK_STANDARD,
}

#: Labels on every container this package makes.
LABEL_INSTANCE = "crucible.instance"  #: which data folder's server owns it
LABEL_RUN = "crucible.run"  #: run id, or "build-<digest>"
LABEL_ROLE = "crucible.role"  #: a Role's value


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """One container to make."""

    image: str
    role: Role
    instance: str
    run: str
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    network: Network = Network.NONE
    runtime: str | None = None  #: engine runtime name ("runc", "runsc"); None: the engine's default
    grace_seconds: float = 20.0  #: the keeper ends everything after this long without a heartbeat

    @property
    def profile(self) -> Profile:
        return PROFILE_OF_ROLE[self.role]

    @property
    def labels(self) -> dict[str, str]:
        return {LABEL_INSTANCE: self.instance, LABEL_RUN: self.run, LABEL_ROLE: self.role.value}


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
