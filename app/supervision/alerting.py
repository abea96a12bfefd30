"""From a rule's finding to a recorded alert and what the run's policy does about it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from app.domain.alerts import Finding, Severity
from app.domain.errors import CrucibleError
from app.domain.runs import Policy
from app.domain.stops import StopKind, StopReason, StopSource
from app.store import alerts
from app.store.database import Database
from app.supervision.doorbell import Doorbell
from app.supervision.live_run import LiveRun
from app.supervision.stop import until_recorded

log = logging.getLogger(__name__)


class Hands(Protocol):
    """What an alert may do: the supervisor, seen from here."""

    async def stop(self, run: int, *, kind: StopKind, reason: StopReason, wait: bool = False) -> object: ...

    async def freeze(self, run: int, *, actor: str, text: str = "", takes_over: bool = True) -> None: ...


class Alerting:
    """One task per finding, one finding at a time per run and rule: an agent that repeats itself makes no more work."""

    def __init__(self, *, db: Database, doorbell: Doorbell, group: asyncio.TaskGroup, hands: Hands) -> None:
        self._db = db
        self._doorbell = doorbell
        self._group = group
        self._hands = hands
        self._under_way: set[tuple[int, str]] = set()

    def found(self, live: LiveRun, finding: Finding) -> None:
        key = (live.id, finding.rule)
        if key in self._under_way:
            return
        self._under_way.add(key)
        self._group.create_task(self._handle(live, finding), name=f"run {live.id}: alert {finding.rule}")

    async def _handle(self, live: LiveRun, finding: Finding) -> None:
        try:
            action = await self._act(live, finding)
            await until_recorded(lambda: alerts.record(self._db, live.id, finding, at=time.time(), action=action))
            self._doorbell.ring(live.id)
            self._doorbell.ring(Doorbell.HOUSE)
        finally:
            self._under_way.discard((live.id, finding.rule))

    async def _act(self, live: LiveRun, finding: Finding) -> str:
        """Act before recording: a database must not hold up a stop."""
        policy = live.run.policy
        if finding.severity < Severity.HIGH or policy is Policy.NOTIFY or live.stop is not None:
            return "notified"
        text = finding.title if finding.line is None else f"{finding.title} (line {finding.line})"
        try:
            if policy is Policy.STOP:
                reason = StopReason(source=StopSource.RULE, actor=finding.rule, text=text, path="rule")
                await self._hands.stop(live.id, kind=StopKind.STOP, reason=reason)
                return "stopped"
            await self._hands.freeze(live.id, actor=f"rule {finding.rule}", text=text)
        except CrucibleError as error:  # It ended by itself, perhaps, and that could not be recorded.
            log.info("run %d: rule %s could not %s it: %s", live.id, finding.rule, policy.value, error)
            return "notified"
        return "froze"
