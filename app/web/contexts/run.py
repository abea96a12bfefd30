"""A run's page, two of them beside each other, and what both are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from app.web.contexts.fragments import AlertList, Panel
from app.web.contexts.frame import Frame
from app.web.parts import LineView, Problem, ReceiptView, RunView, WatcherView
from app.web.views.usage import UsageRow


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
    line: int = 0  #: the one that was asked for, there or not; 0: none


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
    alerted: (
        int  #: id of the newest alert there is now, whatever moment is shown: only later ones are new; 0 without any
    )
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
