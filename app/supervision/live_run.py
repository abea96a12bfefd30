"""What the supervisor holds in memory about a run that is not ended."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from app.domain.runs import Outcome, Run
from app.domain.stops import Receipt, StopKind, StopReason, StopStep
from app.supervision.recorder import Intake
from sandbox_runner.driver import ASKED, STRUCK, Sandbox
from sandbox_runner.last_look import BUDGET, LastLook

#: A step of stops that found no sandbox.
NOTHING = "no sandbox was there"
MOST_STEPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended, for the record."""

    outcome: Outcome
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class StopRequest:
    """An accepted stop. The first one decides the outcome; later ones wait for the same death."""

    kind: StopKind
    reason: StopReason
    received_at: float  #: unix seconds
    begun: float  #: monotonic
    changed: bool = True  #: False: the run had come to its end already
    acted_ms: float | None = None
    dead_ms: float | None = None
    steps: list[StopStep] = field(default_factory=list)
    witnessed: dict[str, LastLook] = field(default_factory=dict)  #: by sandbox, before the kill
    look_within: float = BUDGET  #: seconds there are to look at its sandboxes before the kill
    emptied: set[str] = field(default_factory=set)  #: sandboxes of which the kernel has no process any more
    order: str = ""  #: where the warden was asked and struck first: the name of that in its journal
    receipt: Receipt | None = None
    recorded: asyncio.Event = field(default_factory=asyncio.Event)  #: the receipt is there
    closed: asyncio.Event = field(default_factory=asyncio.Event)  #: the receipt has its marks

    def note(self, step: str) -> None:
        """This step is done now; the first that kills is the mark "acted"."""
        ms = round((time.monotonic() - self.begun) * 1000, 1)
        if len(self.steps) == MOST_STEPS:
            self.steps.pop()  # A sandbox that is struck for hours: the beginning and the last step are told.
        self.steps.append(StopStep(name=step, ms=ms))
        if self.acted_ms is None and step in {STRUCK, ASKED, NOTHING}:
            self.acted_ms = ms

    @property
    def ending(self) -> Ending:
        return stopped(self.kind, self.reason)


def stopped(kind: StopKind, reason: StopReason) -> Ending:
    """The end of a run that was stopped so."""
    outcome = Outcome.EMERGENCY_STOPPED if kind is StopKind.EMERGENCY else Outcome.STOPPED
    said = f": {reason.text}" if reason.text else ""
    return Ending(outcome=outcome, detail=f"stopped by {reason.source.value} {reason.actor}{said}")


@dataclass(slots=True, kw_only=True)
class LiveRun:
    """One run under way. Only its owner task and the stop lane change it; all on one event loop."""

    run: Run
    runtime: str = "runc"  #: the engine's name of what its sandboxes run on
    tries: int = 1  #: this one included; more than one only where servers ended before its agent began
    known: bool = True  #: False: an earlier server had it, and the engine was not asked yet what there is of it
    attempt: asyncio.Task[Ending] | None = None
    sandboxes: dict[str, Sandbox] = field(default_factory=dict)  #: every one not yet proven gone
    agent_sandbox: Sandbox | None = None  #: the one a freeze acts on
    stop: StopRequest | None = None
    thawed: asyncio.Event = field(default_factory=asyncio.Event)  #: clear while frozen
    frozen_by: str = ""  #: the actor who had it stand still last
    no_start: asyncio.Event = field(default_factory=asyncio.Event)  #: clear while a sandbox is being started
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    intake: Intake | None = None  #: of the sandbox that is at work
    lost_bytes: int = 0  #: taken, and not to be stored any more
    abandoned: bool = False  #: a shutdown leaves it to its keeper
    over: bool = False  #: how it ended is decided, and being recorded
    dead: asyncio.Event = field(default_factory=asyncio.Event)  #: a stop's death is proven
    #: moving a run between running and frozen is one thing at a time; a stop never takes this
    freezing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.thawed.set()
        self.no_start.set()

    @property
    def id(self) -> int:
        return self.run.id

    @property
    def frozen(self) -> bool:
        return not self.thawed.is_set()
