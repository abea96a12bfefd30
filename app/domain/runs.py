"""The run: where it is, how it ended, and which steps are allowed.

State says only where a run is; outcome says how it ended; the reason of a stop is a third thing (`stops`).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.limits import RunLimits
from app.domain.sandboxes import AgentProfile, Runtime, SandboxFacts
from app.domain.scores import Score


class RunState(enum.StrEnum):
    """Where a run is."""

    QUEUED = "queued"  #: waits for a slot; there is no container
    STARTING = "starting"  #: its image or first sandbox is being made
    RUNNING = "running"  #: a sandbox of it is alive; the phase says what happens inside
    FROZEN = "frozen"  #: its sandbox stands still and can go on
    STOPPING = "stopping"  #: a stop was accepted; its processes are being ended and proven ended
    ENDED = "ended"  #: nothing of it is left; the outcome says how it ended


#: Every step a run may take. The store refuses all others, and a test walks every pair.
TRANSITIONS: frozenset[tuple[RunState, RunState]] = frozenset(
    {
        (RunState.QUEUED, RunState.STARTING),
        (RunState.QUEUED, RunState.ENDED),
        (RunState.STARTING, RunState.RUNNING),
        (RunState.STARTING, RunState.STOPPING),
        (RunState.STARTING, RunState.ENDED),
        (RunState.RUNNING, RunState.FROZEN),
        (RunState.FROZEN, RunState.RUNNING),
        (RunState.RUNNING, RunState.STOPPING),
        (RunState.FROZEN, RunState.STOPPING),
        (RunState.RUNNING, RunState.ENDED),
        (RunState.STOPPING, RunState.ENDED),
    }
)

LIVE_STATES = frozenset(set(RunState) - {RunState.ENDED})


class Outcome(enum.StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"  #: the agent ended by itself with exit code 0
    FAILED = "failed"  #: the agent ended by itself with another exit code
    LIMIT_EXCEEDED = "limit_exceeded"  #: a limit ended it; the detail names which
    STOPPED = "stopped"  #: an operator, a rule or a shutdown stopped it
    EMERGENCY_STOPPED = "emergency_stopped"  #: STOP ALL or an emergency stop ended it
    CANCELLED = "cancelled"  #: stopped in the queue; there never was a container
    BROKEN = "broken"  #: our own side failed; the detail says how
    LOST = "lost"  #: the sandbox disappeared while nobody watched


class Phase(enum.StrEnum):
    """What a run is doing while it is starting or running."""

    BUILD = "build"
    SETUP = "setup"
    AGENT = "agent"
    SCORING = "scoring"
    TEARDOWN = "teardown"


class Policy(enum.StrEnum):
    """What an alert of at least high severity does to its run."""

    NOTIFY = "notify"
    FREEZE = "freeze"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One task, once, in its own sandboxes. Times are unix seconds."""

    id: int
    evaluation: int
    suite: str
    family: str
    task: str
    agent: str
    model: str | None
    epoch: int
    state: RunState
    phase: Phase | None
    outcome: Outcome | None
    detail: str  #: why it ended so, for people; "" while it lives
    limits: RunLimits
    policy: Policy
    created_at: float
    started_at: float | None
    ended_at: float | None
    instructions: str | None
    submission: str | None
    score: Score | None
    lines: int  #: lines stored so far; the last line's number
    bytes: int  #: bytes of output stored so far
    retry_of: int | None = None
    honeytokens: bool = True  #: whether false secrets are laid out for its agent
    runtime: Runtime = Runtime.AUTO  #: as asked for
    profile: AgentProfile = AgentProfile.STRICT  #: of the agent's sandbox, as asked for
    sandbox: SandboxFacts | None = None  #: the agent's, once it was attested

    @property
    def task_id(self) -> str:
        return f"{self.family}/{self.task}"

    @property
    def live(self) -> bool:
        return self.state is not RunState.ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """A run to be queued: everything decided, nothing made."""

    suite: str
    family: str
    task: str
    agent: str
    model: str | None
    epoch: int
    limits: RunLimits
    policy: Policy
    honeytokens: bool = True
    runtime: Runtime = Runtime.AUTO
    profile: AgentProfile = AgentProfile.STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What a person asks for. Empty `tasks` means all of the suite; `agent` None means each task's own."""

    suite: str
    tasks: tuple[str, ...] = ()
    agent: str | None = None
    model: str | None = None
    epochs: int = 1
    policy: Policy | None = None
    runtime: Runtime | None = None  #: None: each task's own
    limits: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A request that was accepted: tasks × agent × model × epochs."""

    id: int
    suite: str
    agent: str | None
    model: str | None
    epochs: int
    actor: str
    created_at: float
    runs: int
    ended: int
    runtime: Runtime | None = None
