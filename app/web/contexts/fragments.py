"""What is rendered once and shared by all readers of a stream: no session, no token, no hx-*."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from app.domain.attendance import Attended
from app.web.parts import (
    AlertView,
    Chip,
    EngineView,
    EventView,
    HoldView,
    LimitView,
    PhaseView,
    ReceiptView,
    RunView,
    SandboxFact,
    StopPathView,
    WatcherView,
)


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
    commands: tuple[str, ...]  #: ways to stop everything that do not go this way
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
    quiet: bool  #: whether that is at least `quiet_seconds` ago: nobody needs to hear of less
    quiet_seconds: int
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
    commands: tuple[str, ...]  #: other ways to stop it, to copy; none where they are not shown
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
