"""What is wrong with this machine, as alerts that no run has: raised once, and resolved when it is well again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from app.domain.alerts import Category, Finding, Severity
from app.store import alerts
from app.store.database import Database
from app.supervision.doorbell import Doorbell
from app.supervision.stop import until_recorded

WARDEN = Finding(
    rule="warden-died",
    category=Category.HOST,
    severity=Severity.HIGH,
    title="The warden died: until another one is proven, nothing stops sandboxes when this server hangs",
    response="The server starts another. If this stays open, read warden.log in the data folder; STOP works meanwhile.",
    line=None,
)
ENGINE = Finding(
    rule="engine-away",
    category=Category.HOST,
    severity=Severity.HIGH,
    title="The container engine does not answer: nothing starts, and what runs may end unwatched",
    response="Look at the engine on the machine (docker info). What still lives can be ended with crucible panic.",
    line=None,
)
DISK = Finding(
    rule="disk-full",
    category=Category.HOST,
    severity=Severity.HIGH,
    title="The disk of the record is full: what runs print cannot be stored",
    response="Free space on the disk of the data folder.",
    line=None,
)
ENGINE_DISK = Finding(
    rule="engine-disk-full",
    category=Category.HOST,
    severity=Severity.HIGH,
    title="The container engine's disk is full: no image is made, and nothing that root does is begun",
    response="Free space on the disk of the engine (docker system df shows what takes it). Agents at work go on.",
    line=None,
)


class HostAlerts:
    """In the order of what happened: one is written after the other. A full or locked record delays nobody."""

    def __init__(self, *, db: Database, doorbell: Doorbell, group: asyncio.TaskGroup) -> None:
        self._db = db
        self._doorbell = doorbell
        self._group = group
        self._one = asyncio.Lock()
        self._well: set[str] = set()  #: rules that are known to have no open alert

    def wrong(self, finding: Finding, why: str) -> None:
        """`why` is quoted. Counted up while it is open."""
        self._well.discard(finding.rule)
        told = replace(finding, quote=why[:300])
        self._group.create_task(self._record(told), name=f"alert {finding.rule}")

    def well(self, finding: Finding) -> None:
        """Cheap while it was well before. An alert of an earlier server is resolved too."""
        if finding.rule not in self._well:
            self._well.add(finding.rule)
            self._group.create_task(self._settle(finding.rule), name=f"alert {finding.rule} resolved")

    async def _record(self, finding: Finding) -> None:
        async with self._one:
            await until_recorded(
                lambda: alerts.record(self._db, None, finding, at=time.time(), action="notified"),
            )
        self._doorbell.ring(Doorbell.HOUSE)

    async def _settle(self, rule: str) -> None:
        async with self._one:
            await until_recorded(lambda: alerts.settle(self._db, rule, actor="server", at=time.time()))
        self._doorbell.ring(Doorbell.HOUSE)
