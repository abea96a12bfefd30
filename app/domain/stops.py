"""Stopping: who asked, how hard, and what was proven."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class StopKind(enum.StrEnum):
    """How a run is ended."""

    STOP = "stop"  #: end the run now
    EMERGENCY = "emergency"  #: end everything now; the queue is held until a person releases it


class StopSource(enum.StrEnum):
    """Who or what asked."""

    OPERATOR = "operator"
    RULE = "rule"
    LIMIT = "limit"
    SHUTDOWN = "shutdown"
    WARDEN = "warden"  #: the server was silent beyond the grace


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReason:
    source: StopSource
    actor: str  #: user name, rule id, limit name or "server"
    text: str = ""
    #: which way it came in: web, api, cli, rule, limit, signal, socket, file, silence, page (its second try)
    path: str = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopStep:
    """One step of a kill: `ms` is milliseconds since the stop was received."""

    name: str
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The three marks of a stop. `received_at` is unix seconds; marks are milliseconds after it, None until proven."""

    id: int
    run: int
    kind: StopKind
    reason: StopReason
    received_at: float
    acted_ms: float | None  #: the kill was sent
    dead_ms: float | None  #: no process was left and the container was gone, as read from the host
    changed: bool  #: False when the run had already ended or was already being stopped
    failure: str = ""  #: why death could not be proven, so far
    steps: tuple[StopStep, ...] = ()  #: what was done to the sandboxes, in order of time
