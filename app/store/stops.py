"""Receipts of stops."""

from __future__ import annotations

from app.domain.stops import Receipt, StopKind, StopReason
from app.store.database import Database


async def record(
    db: Database, run: int, kind: StopKind, reason: StopReason, *, received_at: float, changed: bool
) -> Receipt:
    """A new receipt, with a StopRequested event."""
    raise NotImplementedError


async def verified(db: Database, receipt: int, *, acted_ms: float, dead_ms: float, at: float) -> Receipt:
    """Sets both marks, with a StopVerified event. The first marks stay: setting them again changes nothing."""
    raise NotImplementedError


async def failed(db: Database, receipt: int, why: str, *, at: float) -> Receipt:
    """Says why death is not proven yet, with a StopFailed event."""
    raise NotImplementedError


async def of_run(db: Database, run: int) -> list[Receipt]:
    """In order of arrival."""
    raise NotImplementedError


async def set_text(db: Database, receipt: int, text: str) -> None:
    """The reason, given after the stop."""
    raise NotImplementedError
