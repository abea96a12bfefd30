"""The pages of the whole house: alerts, health, audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.web.contexts.frame import Frame
from app.web.parts import (
    AlertView,
    AuditEntryView,
    Check,
    DrillView,
    LatencyRow,
    ProofProgress,
    ProofRow,
    ProofView,
    SettingView,
    UnexplainedView,
)


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
    commands: tuple[tuple[str, str], ...]  #: (line for a terminal, what it does): ways to stop that need no page
    from_pages: tuple[tuple[str, str], ...]  #: (where, what it does): ways to stop that need the server
    proof: ProofView | None  #: the asked one, else the newest
    proofs: tuple[ProofRow, ...]  #: newest first
    under_way: ProofProgress | None
    failure: str  #: why the last proof did not come to its end
    latencies: tuple[LatencyRow, ...]  #: of the newest stops, by the way they came in
    drills: tuple[DrillView, ...]  #: newest first
    last_drill: str  #: how long ago one was passed
    warnings: tuple[tuple[str, str], ...]  #: (text, source) for versions that are too old
    versions: str  #: how many of them, and of what sort


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """pages/audit.html, GET /audit"""

    template: ClassVar[str] = "pages/audit.html"

    frame: Frame
    entries: tuple[AuditEntryView, ...]
    older: str | None
