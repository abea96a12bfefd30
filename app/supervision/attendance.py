"""Attended runs: without a sign of a person people are warned, the agent is frozen, and then stopped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from app.domain.alerts import Category, Finding, Severity
from app.domain.attendance import Attended, Stage, stage_after, until_next
from app.domain.errors import Conflict, CrucibleError
from app.domain.events import Noted
from app.domain.stops import StopKind, StopReason, StopSource
from app.store import alerts, events
from app.store.database import Database
from app.supervision.alerting import Hands
from app.supervision.doorbell import Doorbell
from app.supervision.live_run import LiveRun
from app.supervision.stop import until_recorded

log = logging.getLogger(__name__)

RULE = "unattended"
ACTOR = f"limit {RULE}"
#: Seconds between looks at the clock.
LOOK = 1.0


class Attendance:
    """The clock of each attended run begins with its agent's work, and anew with every sign of a person.

    A server that starts gives each run the whole time again. What a person had stand still is left so.
    """

    def __init__(
        self,
        *,
        db: Database,
        doorbell: Doorbell,
        group: asyncio.TaskGroup,
        hands: Hands,
        lives: Mapping[int, LiveRun],
    ) -> None:
        self._db = db
        self._doorbell = doorbell
        self._group = group
        self._hands = hands
        self._lives = lives
        self._seen: dict[int, float] = {}  #: run -> when a person was last there, monotonic
        self._stages: dict[int, Stage] = {}

    async def seen(self, run: int, *, actor: str) -> None:
        """A person is there. Thaws nothing. Raises `Conflict` when the run is not at work or needs nobody."""
        live = self._lives.get(run)
        if live is None or not _is_attended(live):
            raise Conflict(f"run {run} is not one that waits for somebody to attend")
        self._seen[run] = time.monotonic()
        before = self._stages.pop(run, Stage.ATTENDED)
        if before is not Stage.ATTENDED:
            await events.append(self._db, run, Noted(text=f"{actor} attends this run again"), at=time.time())
        self._doorbell.ring(run)

    def of(self, run: int) -> Attended | None:
        """Where the run stands; None when it needs nobody now."""
        live = self._lives.get(run)
        if live is None or not _is_attended(live) or run not in self._seen:
            return None
        left = until_next(time.monotonic() - self._seen[run], live.run.limits.unattended_seconds)
        return Attended(stage=self._stages.get(run, Stage.ATTENDED), due_at=time.time() + left)

    async def run(self) -> None:
        while True:
            for live in list(self._lives.values()):
                if _is_attended(live):
                    self._look(live)
            for gone in self._seen.keys() - self._lives.keys():
                del self._seen[gone]
                self._stages.pop(gone, None)
            await asyncio.sleep(LOOK)

    def _look(self, live: LiveRun) -> None:
        now = time.monotonic()
        if live.id not in self._seen:
            self._seen[live.id] = now
            self._doorbell.ring(live.id)
        reached = stage_after(now - self._seen[live.id], live.run.limits.unattended_seconds)
        if reached > self._stages.get(live.id, Stage.ATTENDED):
            self._stages[live.id] = reached
            self._group.create_task(self._act(live, reached), name=f"run {live.id}: unattended")

    async def _act(self, live: LiveRun, stage: Stage) -> None:
        held = live.frozen and live.frozen_by != ACTOR
        text = f"nobody attended it for {live.run.limits.unattended_seconds} s"
        if stage is Stage.WARNED:
            await until_recorded(
                lambda: alerts.record(self._db, live.id, _finding(text), at=time.time(), action="notified")
            )
            self._doorbell.ring(Doorbell.HOUSE)
        elif stage is Stage.FROZEN and not live.frozen:
            try:
                await self._hands.freeze(live.id, actor=ACTOR, text=text, takes_over=False)
            except CrucibleError as error:
                log.warning("run %d: unattended, and could not be frozen: %s", live.id, error)
        elif stage is Stage.STOPPED and not held:
            reason = StopReason(source=StopSource.LIMIT, actor=RULE, text=text, path="limit")
            await self._hands.stop(live.id, kind=StopKind.STOP, reason=reason)
        self._doorbell.ring(live.id)


def _is_attended(live: LiveRun) -> bool:
    return bool(live.run.limits.unattended_seconds) and live.agent_sandbox is not None and live.stop is None


def _finding(text: str) -> Finding:
    return Finding(
        rule=RULE,
        category=Category.SYSTEM_ACCESS,
        severity=Severity.MEDIUM,
        title="Nobody attends this run",
        response=f"It goes on only while a person looks at it; {text}. Open its page and press I am here, or it is "
        "frozen, and then stopped.",
        line=None,
    )
