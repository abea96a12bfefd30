"""Parts of pages and fragments, ready to print: what the contexts are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineView:
    """Whether the container engine answers."""

    reachable: bool
    text: str  #: what is wrong and what to do, or the version
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StopPathView:
    """The last proof that a stop would reach the engine and the warden."""

    proven_at: float  #: unix seconds, 0: never
    ms: float
    age: float  #: seconds since it, when this was drawn
    proven: bool  #: not older than ten seconds
    warden: bool
    problem: str  #: why the newest proof failed
    port: int  #: where the warden hears pages; 0: nowhere


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldView:
    """The queue's latch after STOP ALL, and what that ended so far."""

    actor: str
    text: str
    at: float
    dead: int = 0  #: runs proven dead
    cancelled: int = 0  #: runs that were taken from the queue
    seconds: float = 0.0  #: from the press to the last of these proofs
    unverified: int = 0  #: runs that are not proven dead yet
    named: tuple[int, ...] = ()  #: the first of these


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreView:
    status: str  #: scored, manual, not_a_number, failed, not_scored
    word: str  #: what to print: "0.75", "needs a person", "not a number", "scoring failed", "not scored"
    value: float | None
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run, ready to print. In cards, tables, the run page."""

    id: int
    evaluation: int
    suite: str
    task_id: str  #: "family/task"
    agent: str
    model: str  #: "" when there is none
    epoch: int
    state: str  #: queued, starting, running, frozen, stopping, ended
    phase: str  #: "", build, setup, agent, scoring, teardown
    outcome: str  #: "" while it lives; else succeeded, failed, limit_exceeded, stopped, emergency_stopped, cancelled, …
    word: str  #: "Running · agent", "Stopped", "Limit exceeded"
    tone: str  #: calm, wait, good, warn, bad, stop: for the colour and the shape
    detail: str  #: why it ended so; "" while it lives
    live: bool
    policy: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    elapsed: float  #: seconds since the start, up to the end or now
    wall_seconds: float  #: its wall limit
    fraction: float  #: of the wall limit
    lines: int
    bytes: int
    score: ScoreView | None
    retry_of: int | None
    can_stop: bool
    can_freeze: bool
    can_thaw: bool
    can_again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptView:
    """A stop and its three marks."""

    id: int
    run: int
    kind: str  #: stop, emergency
    source: str  #: operator, rule, limit, shutdown
    actor: str
    text: str  #: the reason, "" until someone gave one
    path: str  #: web, api, cli, rule, limit, signal
    received_at: float
    acted_ms: float | None
    dead_ms: float | None
    changed: bool  #: False: it had ended or was being stopped already
    failure: str  #: why death is not proven yet
    verified: bool
    steps: tuple[tuple[str, float], ...] = ()  #: (what was done, milliseconds since received)
    evidence: str = ""  #: SHA-256 of what was sealed, "" while nothing is


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRow:
    """How fast the stops were that came by one way; milliseconds from received to verified dead."""

    path: str
    count: int
    median: float
    p95: float
    worst: float
    bins: tuple[tuple[str, int, float], ...]  #: (up to, how many, part of the fullest)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillView:
    """A drill and what came of it."""

    run: int
    at: float
    word: str  #: stopped, under way, nobody stopped it
    by: str
    path: str
    press: str  #: from its beginning to the press
    dead_ms: float | None  #: from the press to the proven end
    passed: bool
    live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnexplainedView:
    """A press of which nobody has said why."""

    receipt: int
    run: int  #: the first that it ended
    runs: int  #: all that it ended
    task_id: str
    actor: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherView:
    """Someone who has a run open and in sight now."""

    name: str
    sessions: int  #: signed-in browsers


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A choice that is a link: what it would show, and whether it is chosen."""

    label: str
    count: int
    href: str
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    id: int
    run: int | None  #: None: of the host
    task_id: str  #: of the run; "" inside the run's own page
    at: float
    rule: str
    category: str  #: self_replication, manipulation, system_access, deception, resource_abuse, host
    category_word: str  #: "Self-replication"
    severity: str  #: low, medium, high, critical
    title: str
    response: str
    line: int | None
    last_line: int | None
    quote: str
    status: str  #: open, acknowledged, resolved
    count: int
    action: str  #: notified, froze, stopped
    by: str
    href: str  #: "/runs/42#L17", or "/runs/42" without a line


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A piece of a line. `look` is "", "lost", or class names from the list in ansi.py ("fg-1 bold", "esc", "more")."""

    text: str
    look: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineView:
    """A line of output, safe to show. On the wire: [number, at, stream, [[text, look], …], complete, level]."""

    number: int
    at: float
    stream: int  #: 1 stdout, 2 stderr
    segments: tuple[Segment, ...]
    complete: bool  #: False: the next line of the stream goes on from here
    level: str  #: "error", "warning", "info", "debug", or "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseView:
    name: str
    at: float
    seconds: float | None  #: None while it lasts
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxFact:
    """One line about the agent's sandbox."""

    label: str
    value: str
    title: str = ""  #: what it means, said when pointed at
    copy: str = ""  #: the whole of it, to be copied


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOption:
    """A kernel that can be asked for."""

    value: str
    text: str
    problem: str = ""  #: why it cannot be had here


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitView:
    name: str  #: field of RunLimits
    label: str  #: "Wall time"
    allowed: str  #: "10 m 00 s", "" for no limit
    used: str  #: "1 m 04 s", "" when it is not measured
    fraction: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    seq: int
    at: float
    line: int
    kind: str  #: class name: "PhaseEntered"
    text: str  #: one sentence
    tone: str  #: calm, good, warn, bad, stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something a person wrote that cannot be taken: what, where, what to do."""

    what: str
    where: str = ""
    todo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTaskView:
    id: str  #: "family/task"
    agent: str
    limits: str  #: "wall 20 s, memory 256 MiB", "" for the defaults
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteView:
    name: str
    title: str
    description: str
    tasks: tuple[SuiteTaskView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    name: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitField:
    """An input named `limits.<name>`; empty means the suite's own."""

    name: str
    label: str
    default: str  #: as a person writes it: "10m", "512m", "1"
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationView:
    id: int
    suite: str
    agent: str  #: "" : each task's own
    model: str
    epochs: int
    actor: str
    created_at: float
    runs: int
    ended: int
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """A row of the results: one task over its epochs."""

    task_id: str
    agent: str
    runs: tuple[RunView, ...]
    scored: int
    mean: float | None  #: over scored runs only; None without any


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofLineView:
    """One attack on one runtime. `shape` and `tone` say the verdict without and with colour."""

    title: str
    should: str
    happened: str
    verdict: str
    shape: str
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRuntime:
    name: str
    found: str  #: "30 held"
    open: bool  #: something in it asks to be read
    lines: tuple[ProofLineView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRow:
    """A proof in the list of them."""

    id: int
    at: float
    actor: str
    engine: str
    took: str
    found: str
    good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofView:
    row: ProofRow
    runtimes: tuple[ProofRuntime, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofProgress:
    """A proof under way."""

    done: int
    total: int
    next: str  #: what is played now
    actor: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A fact of system health."""

    label: str
    value: str
    good: bool | None  #: None: neither good nor bad
    raw: str = ""  #: what a program said of it, to unfold


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingView:
    variable: str  #: "CRUCIBLE_SLOTS"
    value: str
    changed: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntryView:
    id: int
    at: float
    actor: str
    action: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    id: int
    name: str
    created_at: float
    expires_at: float | None
    last_used_at: float | None
