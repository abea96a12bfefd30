"""What happens to a run whose output finds no room: it stands still until there is some, or is stopped.

Its agent waits anyway as soon as what its keeper may send ahead is used up; it must not act unrecorded until then, nor
use up its time. Room is kept on the disk for what is written here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Protocol

from app.domain.alerts import Category, Finding, Severity
from app.domain.errors import CrucibleError, FullDisk
from app.domain.stops import StopKind, StopReason, StopSource
from app.settings import FREEZE
from app.store import alerts
from app.store.database import Database
from app.supervision.alerting import Hands
from app.supervision.doorbell import Doorbell
from app.supervision.host_alerts import DISK, HostAlerts
from app.supervision.live_run import LiveRun
from app.supervision.stop import until_recorded

log = logging.getLogger(__name__)

RULE = "full-disk"
ACTOR = f"rule {RULE}"
#: Seconds between two looks whether there is room, for runs that stood still when the server started.
LOOK_AGAIN = 1.0


class ThawingHands(Hands, Protocol):
    """The supervisor, seen from here."""

    async def thaw(self, run: int, *, actor: str, frozen_by: str | None = None) -> None: ...


class FullDiskGuard:
    """`policy` is the setting `full_disk`. One task per run and change; a stop waits for none of them."""

    def __init__(
        self,
        *,
        db: Database,
        doorbell: Doorbell,
        group: asyncio.TaskGroup,
        hands: ThawingHands,
        lives: Mapping[int, LiveRun],
        policy: str,
        host: HostAlerts,
    ) -> None:
        self._db = db
        self._doorbell = doorbell
        self._group = group
        self._hands = hands
        self._lives = lives
        self._policy = policy
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()

    def full(self, run: int, error: FullDisk) -> None:
        """Output of `run` has found no room for as long as patience lasts."""
        self._host.wrong(DISK, str(error))
        if (live := self._lives.get(run)) is not None:
            self._begin(self._hold(live, error), f"run {run}: full disk")

    def room(self, run: int) -> None:
        """All that waited is stored again."""
        self._host.well(DISK)
        if (live := self._lives.get(run)) is not None:
            self._begin(self._let_go(live), f"run {run}: room again")

    def adopted(self, live: LiveRun, has_room: Callable[[], bool]) -> None:
        """A run that a server before this one had stand still for want of room."""
        if live.frozen_by == ACTOR:
            self._begin(self._let_go(live, has_room), f"run {live.id}: full disk before")

    def close(self) -> None:
        """End what waits for room: a server must be able to go without."""
        for task in self._tasks:
            task.cancel()

    def _begin(self, work: Coroutine[None, None, None], name: str) -> None:
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hold(self, live: LiveRun, error: FullDisk) -> None:
        log.error("run %d: its output cannot be stored: %s", live.id, error)
        finding = Finding(
            rule=RULE,
            category=Category.RESOURCE_ABUSE,
            severity=Severity.HIGH,
            title="The disk is full: what this run prints cannot be stored",
            response="Free space on the disk of the data folder. What was stored stays readable; nothing is lost yet.",
            line=None,
            quote=str(error)[:300],
        )
        action = await self._act(live, finding)
        await until_recorded(lambda: alerts.record(self._db, live.id, finding, at=time.time(), action=action))
        self._doorbell.ring(live.id)
        self._doorbell.ring(Doorbell.HOUSE)

    async def _act(self, live: LiveRun, finding: Finding) -> str:
        if live.stop is not None or live.frozen:
            return "notified"
        try:
            if self._policy != FREEZE:
                reason = StopReason(source=StopSource.RULE, actor=RULE, text=finding.title, path="rule")
                await self._hands.stop(live.id, kind=StopKind.STOP, reason=reason)
                return "stopped"
            await self._hands.freeze(live.id, actor=ACTOR, text=finding.title, takes_over=False)
        except CrucibleError as error:  # No agent at work: what is waits for room by itself.
            log.info("run %d: not frozen for want of room: %s", live.id, error)
            return "notified"
        return "froze"

    async def _let_go(self, live: LiveRun, has_room: Callable[[], bool] = lambda: True) -> None:
        while not has_room():
            await asyncio.sleep(LOOK_AGAIN)
            if live.ended.is_set():
                return
        if live.frozen_by != ACTOR:
            return  # Somebody else has it stand still, or it never did.
        try:
            await self._hands.thaw(live.id, actor=ACTOR, frozen_by=ACTOR)
        except CrucibleError as error:
            log.info("run %d: there is room again, and it was not thawed: %s", live.id, error)
