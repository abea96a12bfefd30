"""What each template may use: one frozen dataclass per page and per fragment.

A template sees the fields of its dataclass by name, and nothing else besides these globals and filters (`templates.py`):

- `static('live.js')` -> "/static/live.js?v=<digest>"
- filters: `bytes` (1536 -> "1.5 KiB"), `duration` (seconds -> "1 m 04 s"), `clock` (unix s -> "14:03:09.120", UTC),
  `when` (unix s -> "2026-11-21 14:03:09 UTC"), `iso` (unix s -> for <time datetime>), `ms` (12.3 -> "12 ms"),
  `number` (12345 -> "12 345"), `percent` (0..1 -> "42%"), and Jinja's own `tojson`

Every text that came out of a sandbox has already been made visible: no control or bidi character is left in it. It is
still text, so it stays autoescaped. All times are unix seconds, sizes bytes, fractions 0..1 (clipped).

Rules of the markup
- Scripts carry `nonce="{{ frame.nonce }}"`, elements with hx-* carry `hx-nonce="{{ frame.nonce }}"` (hx-csp strips the rest).
- Every POST form has `<input type="hidden" name="csrf" value="{{ frame.csrf }}">`. A fetch may send it as X-CSRF-Token.
- Fragments (strip, card, panel, alerts) are rendered once and shared by all readers of a stream: they know no session, hold no
  token and no hx-*. Their buttons belong to the page's one form: `<form id="act" method="post">` with the token, in base.html;
  `<button form="act" formaction="/runs/42/stop" name="kind" value="stop">`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# --- parts -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineView:
    """Whether the container engine answers."""

    reachable: bool
    text: str  #: what is wrong and what to do, or the version
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldView:
    """The queue's latch after STOP ALL."""

    actor: str
    text: str
    at: float


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
    outcome: str  #: "" while it lives; succeeded, failed, limit_exceeded, stopped, emergency_stopped, cancelled, broken, lost
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    id: int
    run: int
    task_id: str  #: of the run; "" inside the run's own page
    at: float
    rule: str
    category: str  #: self_replication, manipulation, system_access, deception, resource_abuse
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
    """A piece of a line. `look` is "" or class names from the fixed list in ansi.py ("fg-1 bold", "esc", "more")."""

    text: str
    look: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineView:
    """A line of output, safe to show. On the wire: [number, at, stream, [[text, look], …], complete]."""

    number: int
    at: float
    stream: int  #: 1 stdout, 2 stderr
    segments: tuple[Segment, ...]
    complete: bool  #: False: the next line of the stream goes on from here


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseView:
    name: str
    at: float
    seconds: float | None  #: None while it lasts
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitView:
    name: str  #: field of RunLimits: wall_seconds, cpu_seconds, memory_bytes, cpus, pids, disk_bytes, output_bytes
    label: str  #: "Wall time"
    allowed: str  #: "10 m 00 s"
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


# --- fragments (fragments/<name>.html), also sent over the stream ---------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """fragments/strip.html: the live part of the header. Frame `strip`."""

    counts: Mapping[str, int]  #: queued, starting, running, frozen, stopping
    live: int  #: runs that STOP ALL would end
    slots: int
    engine: EngineView
    hold: HoldView | None
    alerts_open: int
    alerts_worst: str  #: "" or the worst open severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """fragments/card.html: one run on the wall. Frame `card`. The root element has id="run-<id>" and data-rank."""

    run: RunView
    rank: int  #: lower is nearer to the top
    cpu: tuple[float, ...]  #: up to 60 points, as a fraction of the run's CPUs
    memory: tuple[float, ...]  #: up to 60 points, as a fraction of the memory limit
    cpu_now: float | None  #: cores
    memory_now: int | None
    memory_limit: int
    cpus: float
    last_line: str
    last_line_at: float | None
    alerts: tuple[AlertView, ...]  #: open ones, worst first, at most 3
    alerts_open: int
    worst: str  #: "" or the worst open severity
    receipt: ReceiptView | None  #: the latest stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """fragments/panel.html: the run page's status. Frame `panel`. Root element id="panel"."""

    run: RunView
    receipts: tuple[ReceiptView, ...]  #: newest first
    phases: tuple[PhaseView, ...]
    limits: tuple[LimitView, ...]
    instructions: str
    submission: str | None
    events: tuple[EventView, ...]  #: newest first, at most 200
    lost_bytes: int  #: printed and not stored; must be 0
    commands: tuple[str, ...]  #: other ways to stop it, to copy: "crucible stop 42"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertList:
    """fragments/alerts.html: alerts of one run. Frame `alerts`. Root element id="alerts"."""

    run: int
    alerts: tuple[AlertView, ...]


# --- the frame of every page (base.html) ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """`frame` on every page."""

    title: str
    section: str  #: wall, evaluations, alerts, new, health, audit, account, "" : the current navigation entry
    user: str  #: "" for a stranger: then no navigation, no strip
    csrf: str
    nonce: str
    version: str
    now: float
    path: str  #: this page, for forms that come back to it (field `next`)
    strip: Strip | None
    commands: tuple[str, ...]  #: ways to stop everything without this page
    notice: str = ""  #: said once after a redirect: "Stop received."


# --- pages (pages/<name>.html) ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WallPage:
    """pages/wall.html, GET /"""

    frame: Frame
    cards: tuple[Card, ...]  #: by rank; live runs and those that ended in the last minutes
    queue: tuple[RunView, ...]  #: waiting, next first, at most 50
    queued: int
    stream: str  #: "/stream?wall=1&after=…"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """pages/run.html, GET /runs/{id}. `?line=N` shows the window around line N, without JavaScript as well."""

    frame: Frame
    panel: Panel
    alerts: AlertList
    lines: tuple[LineView, ...]  #: the newest 500, or the window asked for
    older: str | None  #: link to the window before; JavaScript fetches `older_data` + "?before=N&limit=500" instead
    newer: str | None  #: link to the window after, None at the end
    older_data: str  #: "/runs/42/lines": JSON {"run", "lines": [row, …], "more": bool}
    at_end: bool  #: whether `lines` ends with the newest line
    cursor: str  #: "<event seq>.<line>.<usage seq>" that this page already shows
    stream: str  #: "/stream?run=42&after=<cursor>"
    output: str  #: "/runs/42/output.txt"
    usage: tuple[tuple[int, float, float, float, int, int], ...]  #: (seq, at, cpu_mean, cpu_max, memory_bytes, pids)
    memory_limit: int
    cpus: float
    stop_again: bool  #: a stop was asked for with an expired session: ask the person to press it again


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
class NewForm:
    """What was written, to fill the form again. Field names: suite, task (many), agent, model, epochs, policy, limits.*"""

    suite: str
    tasks: tuple[str, ...] = ()
    agent: str = ""
    model: str = ""
    epochs: str = "1"
    policy: str = ""  #: "" means each task's own
    limits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPage:
    """pages/new.html, GET /new; POST /evaluations shows it again (400) with `problem`."""

    frame: Frame
    suites: tuple[SuiteView, ...]
    agents: tuple[AgentView, ...]
    policies: tuple[str, ...]
    limits: tuple[LimitField, ...]
    form: NewForm
    problem: Problem | None
    command: str  #: the same on the command line


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
class EvaluationsPage:
    """pages/evaluations.html, GET /evaluations"""

    frame: Frame
    evaluations: tuple[EvaluationView, ...]
    older: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """A row of the results: one task over its epochs."""

    task_id: str
    agent: str
    runs: tuple[RunView, ...]
    scored: int
    mean: float | None  #: over scored runs only; None without any


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPage:
    """pages/evaluation.html, GET /evaluations/{id}: results."""

    frame: Frame
    evaluation: EvaluationView
    results: tuple[TaskResult, ...]
    outcomes: Mapping[str, int]  #: outcome -> runs; stopped ones never count as a low score
    scored: int
    mean: float | None
    alerts: Mapping[int, int]  #: run id -> open alerts


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsPage:
    """pages/alerts.html, GET /alerts (?all=1 shows resolved ones too)."""

    frame: Frame
    alerts: tuple[AlertView, ...]
    all: bool
    older: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A fact of system health."""

    label: str
    value: str
    good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingView:
    variable: str  #: "CRUCIBLE_SLOTS"
    value: str
    changed: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPage:
    """pages/health.html, GET /health"""

    frame: Frame
    checks: tuple[Check, ...]
    settings: tuple[SettingView, ...]
    stops: tuple[tuple[str, str], ...]  #: (command, what it does): every way to stop


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntryView:
    id: int
    at: float
    actor: str
    action: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """pages/audit.html, GET /audit"""

    frame: Frame
    entries: tuple[AuditEntryView, ...]
    older: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    id: int
    name: str
    created_at: float
    expires_at: float | None
    last_used_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPage:
    """pages/account.html, GET /account; POST /account/tokens (name, days) shows it with `new_token`, once;
    POST /account/password (current, password, again); POST /account/tokens/{id}/revoke"""

    frame: Frame
    tokens: tuple[TokenView, ...]
    new_token: str  #: "" except right after it was made
    problem: Problem | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPage:
    """pages/sign_in.html, GET|POST /sign-in (name, password, next, csrf not needed)."""

    frame: Frame
    name: str
    next: str  #: hidden field: where to go afterwards
    problem: Problem | None
    password_set: bool  #: False: the one-time link is needed first
    stop_asked: int | None  #: a stop of this run was asked for with an expired session
    commands: tuple[str, ...]  #: stop it from the command line meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class WelcomePage:
    """pages/welcome.html, GET|POST /welcome/{secret} (password, again)."""

    frame: Frame
    valid: bool  #: False: used or expired; say how to make a new one (`crucible sign-in-link`)
    action: str  #: where the form posts
    user: str
    problem: Problem | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPage:
    """pages/confirm.html: STOP ALL pressed without JavaScript asks once (POST /stop-all without confirm=yes)."""

    frame: Frame
    live: int
    queued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPage:
    """pages/error.html, any error."""

    frame: Frame
    status: int  #: 400, 403, 404, 409, 500, 503 …
    word: str  #: "Not found"
    problem: Problem
