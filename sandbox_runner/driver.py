"""The port to a container engine: what the supervisor may ask, and what it may believe.

Errors::

    SandboxError
    ├── EngineUnreachable   the engine does not answer; try again later
    ├── StartFailed         the sandbox could not be made; nothing of it is left
    ├── ImageMissing        the image is not there (a StartFailed)
    ├── NotAttested         the engine made something else than it was asked for (a StartFailed)
    ├── EngineDiskFull      the engine found no room on its own disk; nothing of what was asked for is left
    ├── SandboxGone         the sandbox no longer exists
    ├── RelayLost           the connection to the keeper broke; the sandbox may go on, connect again
    ├── RelayRefused        the other end does not speak the keeper's protocol, or lied within it
    └── FreezeFailed        the sandbox could not be proven frozen
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from sandbox_runner.last_look import BUDGET, LastLook
from sandbox_runner.spec import Job, SandboxSpec

if TYPE_CHECKING:
    from sandbox_runner.attestation import Attestation, Difference


class SandboxError(Exception):
    """Base of all that this package raises."""


class EngineUnreachable(SandboxError):
    """The container engine does not answer."""


class StartFailed(SandboxError):
    """The sandbox could not be made or started; nothing of it is left."""


class ImageMissing(StartFailed):
    """The image is not on this engine."""


class NotAttested(StartFailed):
    """The sandbox is not what its policy says, in these fields. When it was being started, nothing of it is left."""

    def __init__(self, differences: tuple[Difference, ...]) -> None:
        self.differences = differences
        super().__init__(f"the sandbox is not what was asked for: {'; '.join(map(str, differences))}")


class EngineDiskFull(SandboxError):
    """The engine found no room on the disk of its images and layers; nothing of what was asked for is left."""


class SandboxGone(SandboxError):
    """The sandbox no longer exists."""


class RelayLost(SandboxError):
    """The connection to the keeper broke. Only `Driver.wait` says whether the sandbox ended."""


class RelayRefused(SandboxError):
    """What came over the relay is not the keeper's protocol."""


class FreezeFailed(SandboxError):
    """The sandbox could not be proven frozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Who answers behind the driver."""

    name: str  #: "docker" or "fake"
    version: str
    runtimes: tuple[str, ...]
    programs: Mapping[str, str] = field(default_factory=dict)  #: runtime -> its program on the engine's host


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """Handle of one container. Holds no connection: it can be written down and used after a restart."""

    id: str  #: the engine's id
    run: str
    instance: str
    role: str
    pid: int | None = None  #: process 1 as the host sees it; None when the host cannot see it
    started_at: float = 0.0  #: unix seconds
    #: from its start; None for one that was found by its labels
    attestation: Attestation | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How process 1 ended. `code` is 128 + signal when a signal ended it."""

    code: int
    out_of_memory: bool  #: the kernel killed something in the sandbox for memory; not always the cause of the end
    sandbox_crashed: bool = False  #: the runtime's own kernel fell over; what ran in it did not end by itself
    at: float | None = None  #: unix seconds when it ended; None where the engine does not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One reading of what the sandbox uses."""

    at: float  #: unix seconds
    cpu_seconds: float  #: since the start, user and system
    memory_bytes: int  #: charged and not reclaimable at once (working set)
    pids: int
    memory_peak_bytes: int | None = None
    out_of_memory_kills: int = 0
    pids_refused: int = 0  #: forks the pids limit refused
    #: Since the start, to a real disk: what is written to a tmpfs is memory. None: the host does not tell.
    disk_written_bytes: int | None = None
    #: Since the start: packets that found no route. None: the host does not tell.
    network_attempts: int | None = None
    #: Now, in the agent's home, which lies in memory; half a second old at most. None: the host does not tell.
    disk_used_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRoom:
    """What is left on the engine's disk, where its images and the layers lie that root writes to."""

    bytes: int
    files: int | None  #: how many more; None: the file system counts none


class Stream(enum.IntEnum):
    """Which of a job's pipes a chunk came from."""

    STDOUT = 1
    STDERR = 2
    RESULT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputChunk:
    """Bytes a job wrote. `offset` counts every sequenced byte of this sandbox from 0, without holes."""

    offset: int
    job: int
    stream: Stream
    data: bytes
    at: float  #: unix seconds when the keeper read it, as the keeper says


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStarted:
    offset: int
    size: int  #: sequenced bytes this notice takes
    job: int
    pid: int  #: inside the sandbox
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded:
    """A job's first process ended and all its pipes are drained: nothing more comes from it."""

    offset: int
    size: int
    job: int
    code: int  #: exit code, 128 + signal, or 127 when it could not be started
    reason: str  #: "" or why it could not be started
    at: float


Relayed = OutputChunk | JobStarted | JobEnded


def end_of(relayed: Relayed) -> int:
    """The offset after `relayed`: acknowledge this once it is safe."""
    return relayed.offset + (len(relayed.data) if isinstance(relayed, OutputChunk) else relayed.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperState:
    """What the keeper said when the relay was opened."""

    protocol: int
    produced: int  #: sequenced bytes made so far
    jobs: Mapping[int, int | None]  #: job id -> exit code, None while it runs


class Relay(Protocol):
    """An open connection to a sandbox's keeper. Heartbeats flow by themselves while it is open.

    Iterating yields what was relayed, in order, each byte once, from the acknowledged offset on. Only what is
    acknowledged is forgotten by the keeper; it stops reading its jobs' pipes when a window of unacknowledged bytes
    is full, so a slow reader slows the agent and nothing is lost.
    Iterating raises `RelayLost` when the connection ends, whatever the reason.
    """

    @property
    def state(self) -> KeeperState: ...

    @property
    def produced(self) -> int:
        """Sequenced bytes the keeper says were made so far, what is not relayed yet included; about a second old."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __aiter__(self) -> AsyncIterator[Relayed]: ...

    def acknowledge(self, offset: int) -> None:
        """Everything before `offset` is stored. Never goes back."""

    async def run(self, job: Job) -> None:
        """Ask the keeper to start `job`; its start and end come by iterating."""

    async def feed(self, job: int, data: bytes) -> None:
        """Write to the job's stdin; empty `data` closes it. Waits while the job does not read."""

    async def signal(self, job: int, number: int) -> None:
        """Signal the job's process group; SIGKILL reaches all that the job started. Nothing when it has ended."""


#: Steps of a kill.
CLOSED, STRUCK, THAWED, ASKED, ANSWERED = (
    "own streams closed",
    "struck by the kernel",
    "thawed",
    "engine asked",
    "engine answered",
)

#: Hears the name of each step of a kill, when it is done.
Told = Callable[[str], None]


class Driver(Protocol):
    """A container engine. Every method may raise `EngineUnreachable`; each has its own time limit inside.

    `ready`, `list_owned`, `kill`, `alive`, `remove` and `exists` use a client and threads of their own: nothing else
    can hold them up.
    """

    async def check(self) -> Engine: ...

    async def versions(self) -> Mapping[str, str]:
        """Of what makes the sandboxes: engine, containerd, runc, runsc, kernel. What is not told is left out."""

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Make one sandbox, compare it with its policy, start it; its keeper waits for jobs.

        When this raises or is cancelled, nothing is left. Raises `NotAttested` when the engine made something else,
        `EngineDiskFull` when it found no room to make it.
        """

    async def attest(self, sandbox: Sandbox, spec: SandboxSpec) -> Attestation:
        """Compare a sandbox that is there with the policy of `spec`, field by field. Raises `NotAttested`."""

    def relay(self, sandbox: Sandbox, *, acknowledged: int = 0) -> Relay:
        """A connection to the keeper, resuming at `acknowledged`. One at a time per sandbox."""

    async def wait(self, sandbox: Sandbox) -> Exit:
        """Until process 1 has ended. Raises `SandboxGone` when the sandbox was removed."""

    async def usage(self, sandbox: Sandbox, *, fresh: bool = False) -> Usage:
        """What it uses now; with `fresh` no figure in it is kept from an earlier look.

        Raises `SandboxGone` when it is not running.
        """

    async def freeze(self, sandbox: Sandbox) -> None:
        """Stop every process where it stands. Raises `FreezeFailed` unless proven."""

    async def thaw(self, sandbox: Sandbox) -> None: ...

    async def frozen(self, sandbox: Sandbox) -> bool:
        """Whether it stands still, or was told to, whoever did it. Raises `SandboxGone`."""

    async def commit(self, sandbox: Sandbox, reference: str) -> str:
        """Save the stopped or idle sandbox's root as image `reference`; answers the image id.

        Raises `EngineDiskFull`; no part of an image is left then.
        """

    async def disk_room(self) -> DiskRoom | None:
        """What is left on the engine's disk; None where this host cannot see it. Asks the engine only once."""

    async def layer_bytes(self, sandboxes: Collection[Sandbox]) -> Mapping[str, int]:
        """Bytes that a commit of each would write, by id: what it wrote to its root, holes counted as written.

        Those that are gone are left out. The engine looks at every file: it takes as long as there are many.
        """

    async def image_id(self, reference: str) -> str | None:
        """The id of a local image, or None. Never pulls."""

    async def remove_image(self, reference: str) -> None:
        """Idempotent."""

    async def list_images(self, prefix: str) -> list[str]:
        """References of local images that start with `prefix`."""

    async def list_owned(self, instance: str | None = None) -> list[Sandbox]:
        """Every container with our labels, of one instance or of all, in any state."""

    def last_look(self, sandbox: Sandbox, within: float = BUDGET) -> LastLook:
        """Who is in it, as far as the host shows it at once, `within` seconds. Never raises, never waits."""

    async def ready(self) -> None:
        """Nothing, by the very way a kill goes: raises what a kill would raise."""

    async def kill(self, sandbox: Sandbox, *, told: Told | None = None) -> None:
        """SIGKILL everything, thawing where that is needed. Idempotent; not proof.

        Our own connections to the sandbox are cut first: an engine that waits for us to read cannot kill.
        """

    async def alive(self, sandbox: Sandbox) -> bool:
        """Whether any process of it is left, read from the kernel where the host permits, else from the engine."""

    async def remove(self, sandbox: Sandbox) -> None:
        """Remove the container. Idempotent."""

    async def exists(self, sandbox: Sandbox) -> bool:
        """Whether the engine still knows the container."""

    async def close(self) -> None: ...
