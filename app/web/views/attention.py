"""How much a run needs a person, and why: where it stands on the wall. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.alerts import Alert, Severity
from app.domain.runs import Phase, Run, RunState
from app.domain.stops import Receipt
from app.supervision.recorder import Account
from app.web.filters import bytes_text, percent_text

#: A stop whose death is not proven after so many seconds needs a look; five seconds in, an alarm is recorded.
STOPPING_SECONDS = 10.0
#: Output that waits to be stored for longer than this is behind, in seconds.
BEHIND_SECONDS = 3.0
#: Of a limit; above it the run is near it.
NEAR = 0.9
#: An agent that printed nothing for so many seconds is idle.
IDLE_SECONDS = 300.0


class Band(enum.IntEnum):
    """From the most pressing."""

    UNPROVEN = 0  #: a stop is not proven
    CRITICAL = 1
    HIGH = 2
    BEHIND = 3  #: its output is not stored, or its keeper is not heard
    FROZEN = 4
    NEAR = 5
    NOTICED = 6  #: alerts below high
    IDLE = 7
    CALM = 8
    ENDED_GRAVE = 9  #: it ended with grave alerts that nobody has acknowledged
    ENDED = 10


#: Bands in which nobody needs to look.
NORMAL = frozenset({Band.CALM, Band.ENDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    band: Band
    why: str = ""  #: in a few words; "" when all is normal

    @property
    def needed(self) -> bool:
        return self.band not in NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What is known of a run beside its record. Times are unix seconds."""

    alerts: Sequence[Alert] = ()  #: open ones
    receipts: Sequence[Receipt] = ()
    account: Account | None = None
    line_at: float | None = None  #: of the last line
    memory_bytes: int | None = None  #: now


def attention_of(run: Run, signs: Signs, *, now: float) -> Attention:
    """The first reason that holds."""
    grave = max((alert.finding.severity for alert in signs.alerts), default=None)
    if not run.live:
        if grave is not None and grave >= Severity.HIGH:
            return Attention(band=Band.ENDED_GRAVE, why=f"ended with a {grave.word} alert")
        return Attention(band=Band.ENDED)
    if unproven := _unproven(run, signs.receipts, now):
        return Attention(band=Band.UNPROVEN, why=unproven)
    if grave is not None and grave >= Severity.HIGH:
        return Attention(
            band=Band.CRITICAL if grave is Severity.CRITICAL else Band.HIGH, why=_alerts(signs.alerts, grave)
        )
    if behind := _behind(run, signs, now):
        return Attention(band=Band.BEHIND, why=behind)
    if run.state in (RunState.FROZEN, RunState.STOPPING):
        return Attention(band=Band.FROZEN, why="stands still" if run.state is RunState.FROZEN else "is being stopped")
    if near := near_limits(run, signs, now=now):
        return Attention(band=Band.NEAR, why=", ".join(near))
    if grave is not None:
        return Attention(band=Band.NOTICED, why=_alerts(signs.alerts, grave))
    if is_idle(run, signs, now=now):
        return Attention(band=Band.IDLE, why="prints nothing")
    return Attention(band=Band.CALM)


def near_limits(run: Run, signs: Signs, *, now: float) -> tuple[str, ...]:
    """The limits it has nearly used up: "memory at 94%"."""
    limits = run.limits
    used = {
        "time": (now - run.started_at) / limits.wall_seconds if run.started_at is not None else 0.0,
        "memory": (signs.memory_bytes or 0) / limits.memory_bytes,
        "output": run.bytes / limits.output_bytes,
    }
    return tuple(f"{name} at {percent_text(min(1.0, part))}" for name, part in used.items() if part >= NEAR)


def is_idle(run: Run, signs: Signs, *, now: float) -> bool:
    began = signs.line_at or run.started_at
    working = run.state is RunState.RUNNING and run.phase is Phase.AGENT
    return working and began is not None and now - began > IDLE_SECONDS


def _unproven(run: Run, receipts: Sequence[Receipt], now: float) -> str:
    if run.state is not RunState.STOPPING:
        return ""
    if any(receipt.failure and receipt.dead_ms is None for receipt in receipts):
        return "not proven dead"
    since = min((receipt.received_at for receipt in receipts), default=now)
    return "not proven dead yet" if now - since > STOPPING_SECONDS else ""


def _behind(run: Run, signs: Signs, now: float) -> str:
    account = signs.account
    if account is None or run.state is RunState.FROZEN:
        return ""
    if not account.connected:
        return "its keeper is not heard"
    waiting = account.printed - run.bytes
    if account.failing_since is not None:
        return f"{bytes_text(max(0, waiting))} cannot be stored"
    if waiting > 0 and account.printed_at and now - account.printed_at > BEHIND_SECONDS:
        return f"{bytes_text(waiting)} wait to be stored"
    return ""


def _alerts(found: Sequence[Alert], worst: Severity) -> str:
    count = sum(alert.finding.severity is worst for alert in found)
    return f"{count} {worst.word} alert{'' if count == 1 else 's'}"
