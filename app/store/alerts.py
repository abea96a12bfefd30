"""Alerts: recorded findings and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from app.domain.alerts import Alert, AlertStatus, Finding, Severity
from app.store.database import Database


async def record(db: Database, run: int, finding: Finding, *, at: float, action: str) -> tuple[Alert, bool]:
    """A new alert with its AlertRaised event, or the open one of the same rule and run counted up (False)."""
    raise NotImplementedError


async def select(
    db: Database, *, run: int | None = None, statuses: Collection[AlertStatus] | None = None,
    least: Severity = Severity.LOW, before: int | None = None, limit: int = 200,
) -> list[Alert]:
    """Open first, then by severity, then newest first."""
    raise NotImplementedError


async def get(db: Database, alert: int) -> Alert:
    """Raises `NotFound`."""
    raise NotImplementedError


async def set_status(db: Database, alert: int, status: AlertStatus, *, actor: str, at: float) -> Alert:
    """Raises `NotFound`. Setting the same status again changes nothing."""
    raise NotImplementedError


async def open_by_run(db: Database, runs: Collection[int]) -> Mapping[int, list[Alert]]:
    """Open alerts of these runs, worst first: for cards."""
    raise NotImplementedError
