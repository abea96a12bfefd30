"""Facts about a run, in the past tense, each with its own class. Recorded once, never changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQueued:
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEntered:
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxStarted:
    role: str
    sandbox: str
    image: str
    profile: str
    runtime: str
    isolation: str = ""  #: T.H.N
    policy_sha256: str = ""
    image_id: str = ""
    witnessed: bool = False  #: this host looked at process and network itself


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRefused:
    """The engine made another sandbox than it was asked for. Nothing ran in it, or nothing goes on in it."""

    role: str
    differences: str  #: each field with what it is and what it should be; some of it may be written by others


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxCrashed:
    """The sandbox itself fell over; what ran in it did not end by itself."""

    role: str
    runtime: str
    code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRemoved:
    role: str
    sandbox: str
    dead_ms: float
    gone_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationEnded:
    """A job ended: install, setup, start, agent, collect, score, teardown."""

    name: str
    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesCollected:
    files: int
    bytes: int
    left_out: int  #: links, devices, too many or too large


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    status: str
    value: float | None
    where: str  #: "collected": in a fresh sandbox from what was collected


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRaised:
    alert: int
    rule: str
    category: str
    severity: str
    line: int | None
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReached:
    limit: str
    allowed: float
    used: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfMemory:
    kills: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessesRefused:
    """The limit on processes refused to start more of them."""

    refused: int  #: since the sandbox's start


@dataclass(frozen=True, slots=True, kw_only=True)
class HoneytokensPlanted:
    """What was laid out for the agent to find: place (a path, or `env NAME`) to value."""

    tokens: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoneytokenTouched:
    """The agent opened a file that no task needs, as the host's kernel saw it."""

    place: str
    count: int  #: opens since the event before


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkAttempted:
    """Something in the sandbox tried to reach a network; nothing left it. Counted by the host's kernel."""

    count: int  #: tries since the event before
    total: int  #: since the sandbox's start
    to: str = ""  #: addresses, where they are known (gVisor)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramsStarted:
    """Programs the agent started, as gVisor's kernel saw them."""

    programs: list[str]  #: each with its arguments, the first twenty
    count: int  #: all since the event before


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested:
    receipt: int
    kind: str
    source: str
    actor: str
    text: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopVerified:
    receipt: int
    acted_ms: float | None  #: None: the server that acted was killed before it could say
    dead_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StopFailed:
    receipt: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFroze:
    actor: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunThawed:
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAdopted:
    """A restarted server took over a run that went on without it."""

    sandbox: str
    resumed_at: int  #: sequenced byte offset


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBegunAnew:
    """A restarted server begins a run again from its start: nothing of its agent had run, and nothing is left of it."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayReconnected:
    resumed_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputLost:
    """Bytes that were printed and could not be stored. Shown as a gap."""

    bytes: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputCounted:
    """A sandbox was left: what its keeper says the run had printed up to then, and what of it is stored.

    Both count from the beginning of the run; what is lost has its own `OutputLost` and is in neither.
    """

    printed: int
    stored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Something worth telling that has no class of its own."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    outcome: str
    detail: str


Event = (
    RunQueued
    | StateChanged
    | PhaseEntered
    | SandboxStarted
    | SandboxRefused
    | SandboxCrashed
    | SandboxRemoved
    | OperationEnded
    | FilesCollected
    | Scored
    | AlertRaised
    | LimitReached
    | OutOfMemory
    | ProcessesRefused
    | HoneytokensPlanted
    | HoneytokenTouched
    | NetworkAttempted
    | ProgramsStarted
    | StopRequested
    | StopVerified
    | StopFailed
    | RunFroze
    | RunThawed
    | RunAdopted
    | RunBegunAnew
    | RelayReconnected
    | OutputLost
    | OutputCounted
    | Noted
    | RunEnded
)

KINDS: Mapping[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event with its place: `seq` is dense per run, from 1; `line` is the last line stored before it."""

    seq: int
    run: int
    at: float
    line: int
    event: Event


def event_to_json(event: Event) -> dict[str, object]:
    return {"event": type(event).__name__, **dataclasses.asdict(event)}


def event_from_json(data: Mapping[str, object]) -> Event:
    """The event that `event_to_json` wrote. Raises `KeyError` for an unknown kind."""
    values: dict[str, Any] = dict(data)
    kind = KINDS[str(values.pop("event"))]
    return kind(**values)
