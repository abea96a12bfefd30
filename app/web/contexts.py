"""What each template may use: one frozen dataclass per page and per fragment. Their parts are in `parts.py`.

A template sees the fields of its dataclass by name, and nothing else besides these globals and filters
(`templates.py`):

- `static('live.js')` -> "/static/live.js?v=<digest>"; `spark(fractions)` -> the places of a small line
- filters: `bytes` (1536 -> "1.5 KiB"), `duration` (seconds -> "1 m 04 s"), `clock` (unix s -> "14:03:09.120", UTC),
  `when` (unix s -> "2026-11-21 14:03:09 UTC"), `iso` (unix s -> for <time datetime>), `ms` (12.3 -> "12 ms"),
  `number` (12345 -> "12 345"), `percent` (0..1 -> "42%"), and Jinja's own `tojson`

Every text that came out of a sandbox has already been made visible: no control or bidi character is left in it. It is
still text, so it stays autoescaped. All times are unix seconds, sizes bytes, fractions 0..1 (clipped).

Rules of the markup
- Scripts carry `nonce="{{ frame.nonce }}"`, elements with hx-* carry `hx-nonce="{{ frame.nonce }}"` (hx-csp strips
  the rest). Trusted Types are on; the policies "htmx" and "crucible" may be made, so our own scripts set HTML only
  through `trustedTypes.createPolicy("crucible", …)` or `htmx.swap`.
- Every POST form has `<input type="hidden" name="csrf" value="{{ frame.csrf }}">`. A fetch may send it as
  X-CSRF-Token instead.
- Fragments (strip, card, queue, panel, alerts) are rendered once and shared by all readers of a stream: they know no
  session, hold no token and no hx-*. Their buttons belong to the page's one form, `<form id="act" method="post">` with
  the token, in base.html: `<button form="act" formaction="/runs/42/stop" name="kind" value="stop">`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup

from app.domain.attendance import Attended
from app.web.parts import (
    AgentView,
    AlertView,
    AuditEntryView,
    Check,
    Chip,
    DrillView,
    EngineView,
    EvaluationView,
    EventView,
    HoldView,
    LatencyRow,
    LimitField,
    LimitView,
    LineView,
    PhaseView,
    Problem,
    ProofProgress,
    ProofRow,
    ProofView,
    ReceiptView,
    RuntimeOption,
    RunView,
    SandboxFact,
    SettingView,
    StopPathView,
    SuiteView,
    TaskResult,
    TokenView,
    UnexplainedView,
    WatcherView,
)
from app.web.views.usage import UsageRow

# fragments (fragments/<name>.html), also sent over the stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """fragments/strip.html: the live part of the header. Frame `strip`."""

    template: ClassVar[str] = "fragments/strip.html"

    counts: Mapping[str, int]  #: queued, starting, running, frozen, stopping
    live: int  #: runs that STOP ALL would end
    slots: int
    engine: EngineView
    hold: HoldView | None
    stop_path: StopPathView
    alerts_open: int  #: counted up to 200
    alerts_worst: str  #: "" or the worst open severity
    grave: int  #: id of the newest open alert that is high or critical; 0 without any


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """fragments/card.html: one run on the wall. Frame `card`. The root element has id="run-<id>"."""

    template: ClassVar[str] = "fragments/card.html"

    run: RunView
    actor: str  #: who asked for it
    rank: int  #: lower is nearer to the top
    why: str  #: why it needs attention; "" when all is normal
    near: tuple[str, ...]  #: limits that are nearly used up: "memory at 94%"
    idle_since: float | None  #: of a running one: its last line, or its start
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
    watchers: tuple[WatcherView, ...] = ()  #: who has it open
    words: bool = True  #: False: what the agent wrote is left out


@dataclass(frozen=True, slots=True, kw_only=True)
class WallTools:
    """fragments/wall_tools.html: states and counts to choose from. Frame `tools`. Root element id="wall-tools"."""

    template: ClassVar[str] = "fragments/wall_tools.html"

    chips: tuple[Chip, ...]
    attention: Chip
    states: tuple[str, ...]  #: chosen, for the form beside it
    shown: int
    total: int
    filtered: bool
    clear: str  #: the address without filters


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """fragments/queue.html: who waits. Frame `queue` {html} of the wall's stream. Root element id="queue"."""

    template: ClassVar[str] = "fragments/queue.html"

    runs: tuple[RunView, ...]  #: next first, at most 50
    queued: int  #: all of them
    free: int  #: slots that are not taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """fragments/panel.html: the run page's status. Frame `panel`. Root element id="panel"."""

    template: ClassVar[str] = "fragments/panel.html"

    run: RunView
    receipts: tuple[ReceiptView, ...]  #: newest first
    phases: tuple[PhaseView, ...]
    steps: Mapping[int, str]  #: {0: "setup", 12: "start ended · agent"}: what begins after which line of the output
    limits: tuple[LimitView, ...]
    sandbox: tuple[SandboxFact, ...]  #: what the agent's sandbox is, empty before it was started
    instructions: str
    submission: str | None
    events: tuple[EventView, ...]  #: newest first, at most 200
    lost_bytes: int  #: printed and not stored; must be 0
    commands: tuple[str, ...]  #: other ways to stop it, to copy: "crucible stop 42"
    watchers: tuple[WatcherView, ...]  #: who has it open and in sight
    printed: int | None  #: bytes its keeper says it printed, lost ones included; None when nobody counted
    at: float | None = None  #: it shows the run as it was then; None: as it is
    attended: Attended | None = None  #: when a person has to show up, where one has to


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertList:
    """fragments/alerts.html: alerts of one run. Frame `alerts`. Root element id="alerts"."""

    template: ClassVar[str] = "fragments/alerts.html"

    run: int
    alerts: tuple[AlertView, ...]


# the frame of every page (base.html)


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
    stop_door: str = ""  #: origin of the warden's door, for a STOP that gets no answer; "": there is none
    stop_token: str = ""  #: this session's leave to use it


# pages (pages/<name>.html)


@dataclass(frozen=True, slots=True, kw_only=True)
class WallForm:
    """What is chosen, and what there is to choose from. Inputs: q, suite, agent, model, mine, sort."""

    q: str
    suite: str
    agent: str
    model: str
    mine: bool
    attention: bool
    sort: str
    suites: tuple[str, ...]
    agents: tuple[str, ...]
    models: tuple[str, ...]
    sorts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WallPage:
    """pages/wall.html, GET /"""

    template: ClassVar[str] = "pages/wall.html"

    frame: Frame
    cards: tuple[Markup, ...]  #: fragments of `Card`, those that are wanted, in order
    dense: bool  #: many: small cards
    tools: WallTools
    form: WallForm
    words: bool  #: whether what agents write is shown
    queue: Queue
    wall: str  #: the query, as the stream is asked for it
    stream: str  #: "/stream?wall=…"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchForm:
    """What is looked for in the output. Inputs: q, regex, case, inverse, only, stream (many), level (many)."""

    q: str = ""
    regex: bool = False
    case: bool = False
    inverse: bool = False
    only: bool = False  #: the lines that are not wanted are left out
    streams: frozenset[str] = frozenset()  #: "1", "2"; none: both
    levels: frozenset[str] = frozenset()  #: "error", …, "none"; none: all
    problem: Problem | None = None  #: why it could not be looked for

    @property
    def active(self) -> bool:
        return bool(self.q or self.streams or self.levels)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPane:
    """parts/log.html: the output of one run. JavaScript asks /runs/<id>/lines for more than is in it."""

    template: ClassVar[str] = "parts/log.html"

    pane: str  #: before each id in it: "" for the one pane of a page, "left-" and "right-" for one of two
    href: str  #: the page its lines have on their own: "" for this page
    run: RunView
    lines: tuple[LineView, ...]  #: the newest 500, or the window asked for
    older: str | None  #: link to the window before
    newer: str | None  #: link to the window after, None at the end
    first: int  #: `lines` are those of `first` to `last` that are wanted
    last: int
    total: int  #: the newest line when the page was made: its stream goes on after it
    at_end: bool  #: whether `lines` ends with the newest line
    search: SearchForm
    levels: tuple[str, ...]  #: all there are, worst first
    steps: Mapping[int, str] = field(default_factory=dict)  #: as in `Panel`
    until: int | None = None  #: the last line there was at the moment that is looked at; None: now


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeBar:
    """parts/time.html: what moment of the run the page shows. Field `at`: unix seconds, or as people write times."""

    template: ClassVar[str] = "parts/time.html"

    run: RunView  #: as it is now
    began: float
    now: float  #: or its end
    at: float | None  #: the moment that is shown; None: now
    written: str  #: what is in the field
    problem: Problem | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """parts/charts.html: CPU, memory, processes and what else is measured of a run."""

    template: ClassVar[str] = "parts/charts.html"

    pane: str  #: as in `OutputPane`
    nonce: str
    run: int
    points: tuple[UsageRow, ...]  #: over all of the run, each with the highest of its stretch
    seconds: int  #: that the longest of them stands for
    recent: tuple[UsageRow, ...]  #: the last minute, a second each
    cpus: float
    memory_limit: int
    pids: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """pages/run.html, GET /runs/{id}. `?line=N` shows the window around line N, `?at=` all as it was at a moment;
    both without JavaScript as well."""

    template: ClassVar[str] = "pages/run.html"

    frame: Frame
    panel: Panel
    alerts: AlertList
    output: OutputPane
    time: TimeBar
    cursor: str  #: "<event seq>.<line>.<usage seq>" that this page already shows
    stream: str  #: "/stream?run=42&after=<cursor>"
    charts: Charts
    stop_again: bool  #: a stop was asked for with an expired session: ask the person to press it again


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two runs beside each other."""

    run: RunView
    receipts: tuple[ReceiptView, ...]  #: newest first
    watchers: tuple[WatcherView, ...]
    alerts: int
    agent_at: float | None  #: when its agent began, unix seconds
    output: OutputPane
    charts: Charts
    cursor: str  #: as in `RunPage`


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparePage:
    """pages/compare.html, GET /compare?run=1&run=2: two runs beside each other. With fewer it asks which."""

    template: ClassVar[str] = "pages/compare.html"

    frame: Frame
    sides: tuple[Side, ...]  #: two, or none: then one chooses
    chosen: tuple[int, ...]
    runs: tuple[RunView, ...]  #: to choose from; those of the same task first
    problem: Problem | None
    stream: str  #: "" while one chooses


@dataclass(frozen=True, slots=True, kw_only=True)
class NewForm:
    """What was written, to fill the form again. Inputs: suite, task (many), agent, model, epochs, policy, limits.*"""

    suite: str
    tasks: tuple[str, ...] = ()
    agent: str = ""
    model: str = ""
    epochs: str = "1"
    policy: str = ""  #: "" means each task's own
    runtime: str = ""  #: the same
    limits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPage:
    """pages/new.html, GET /new; POST /evaluations shows it again (400) with `problem`."""

    template: ClassVar[str] = "pages/new.html"

    frame: Frame
    suites: tuple[SuiteView, ...]
    agents: tuple[AgentView, ...]
    policies: tuple[str, ...]
    runtimes: tuple[RuntimeOption, ...]
    limits: tuple[LimitField, ...]
    form: NewForm
    problem: Problem | None
    command: str  #: the same on the command line


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationsPage:
    """pages/evaluations.html, GET /evaluations"""

    template: ClassVar[str] = "pages/evaluations.html"

    frame: Frame
    evaluations: tuple[EvaluationView, ...]
    older: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPage:
    """pages/evaluation.html, GET /evaluations/{id}: results."""

    template: ClassVar[str] = "pages/evaluation.html"

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

    template: ClassVar[str] = "pages/alerts.html"

    frame: Frame
    alerts: tuple[AlertView, ...]
    all: bool
    older: str | None
    unexplained: tuple[UnexplainedView, ...]  #: stops without a reason, newest first


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPage:
    """pages/health.html, GET /health (?proof=ID shows an older one); POST /health/prove begins a proof"""

    template: ClassVar[str] = "pages/health.html"

    frame: Frame
    checks: tuple[Check, ...]
    settings: tuple[SettingView, ...]
    stops: tuple[tuple[str, str], ...]  #: (command, what it does): every way to stop
    proof: ProofView | None  #: the asked one, else the newest
    proofs: tuple[ProofRow, ...]  #: newest first
    under_way: ProofProgress | None
    failure: str  #: why the last proof did not come to its end
    latencies: tuple[LatencyRow, ...]  #: of the newest stops, by the way they came in
    drills: tuple[DrillView, ...]  #: newest first
    last_drill: str  #: how long ago one was passed
    warnings: tuple[tuple[str, str], ...]  #: (text, source) for versions older than the fix of a known escape


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """pages/audit.html, GET /audit"""

    template: ClassVar[str] = "pages/audit.html"

    frame: Frame
    entries: tuple[AuditEntryView, ...]
    older: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPage:
    """pages/account.html, GET /account; POST /account/tokens (name, days) shows it with `new_token`, once;
    POST /account/password (current, password, again); POST /account/tokens/{id}/revoke"""

    template: ClassVar[str] = "pages/account.html"

    frame: Frame
    tokens: tuple[TokenView, ...]
    new_token: str  #: "" except right after it was made
    problem: Problem | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPage:
    """pages/sign_in.html, GET|POST /sign-in (name, password, next, csrf not needed)."""

    template: ClassVar[str] = "pages/sign_in.html"

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

    template: ClassVar[str] = "pages/welcome.html"

    frame: Frame
    valid: bool  #: False: used or expired; say how to make a new one (`crucible sign-in-link`)
    action: str  #: where the form posts
    user: str
    problem: Problem | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPage:
    """pages/confirm.html: STOP ALL pressed without JavaScript asks once (POST /stop-all without confirm=yes)."""

    template: ClassVar[str] = "pages/confirm.html"

    frame: Frame
    live: int
    queued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPage:
    """pages/error.html, any error."""

    template: ClassVar[str] = "pages/error.html"

    frame: Frame
    status: int  #: 400, 403, 404, 409, 500, 503 …
    word: str  #: "Not found"
    problem: Problem
