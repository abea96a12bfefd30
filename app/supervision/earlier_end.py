"""When a run ended that had ended before this server looked: what its record says must not be the time of a restart."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.domain.events import Recorded
from app.domain.runs import Run
from app.domain.stops import Receipt
from app.store import usage
from app.store.database import Database
from sandbox_runner.driver import Driver, Exit, Sandbox, SandboxError


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierEnd:
    """`at` is unix seconds. Without `known` nobody tells when it ended: it was last seen alive then.

    It may have lived on.
    """

    at: float
    known: bool


def proven_ends(receipts: Iterable[Receipt]) -> list[float]:
    """When stops were proven, unix seconds. What nobody saw act was proven by looking afterwards, and tells nothing."""
    return [
        receipt.received_at + receipt.dead_ms / 1000
        for receipt in receipts
        if receipt.acted_ms is not None and receipt.dead_ms is not None
    ]


async def earlier_end(
    db: Database,
    driver: Driver,
    run: Run,
    sandboxes: Sequence[Sandbox],
    *,
    proven: Sequence[float],
    told: Sequence[Recorded],
    until: float,
) -> EarlierEnd | None:
    """None: something of it may live still, so that its end is now.

    `sandboxes` is what the engine has of it, `proven` when its stops were, and `told` its record; what came at or after
    `until` (unix seconds) does not tell that it lived.
    """
    exits = [await _exit_of(driver, sandbox) for sandbox in sandboxes]
    if None in exits:
        return None
    ends = [each.at for each in exits if each is not None and each.at is not None]
    if len(ends) < len(exits):
        ends = []
    elif not exits:
        ends = [min(proven)] if proven else []
    began = run.created_at if run.started_at is None else run.started_at
    if ends:
        return EarlierEnd(at=_within(began, max(ends)), known=True)
    points = await usage.last(db, run.id, 1, until=until)
    seen = [*(each.at for each in told if each.at < until), *(point.at for point in points)]
    return EarlierEnd(at=_within(began, max(seen, default=began)), known=False)


def _within(began: float, at: float) -> float:
    """A clock that was set meanwhile ends no run before its beginning, and none in times to come."""
    return min(max(began, at), time.time())


async def _exit_of(driver: Driver, sandbox: Sandbox) -> Exit | None:
    """None while it may live."""
    try:
        return None if await driver.alive(sandbox) else await driver.wait(sandbox)
    except SandboxError:
        return None
