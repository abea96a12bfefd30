"""Who waits, and when the next one begins: as slots, the hold and the engine allow."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from app.domain.errors import Conflict
from app.domain.stops import StopReason, StopSource
from app.store import hold, runs
from app.store.database import Database
from app.supervision.doorbell import Doorbell
from app.supervision.engine_watch import EngineWatch
from app.supervision.live_run import LiveRun
from app.supervision.stop import until_recorded
from sandbox_runner.stop_file import Latch, StopFile

log = logging.getLogger(__name__)


class Queue:
    """Woken by every change; nothing is polled. Nothing is taken before `open`, nor after `close`."""

    def __init__(
        self,
        *,
        db: Database,
        doorbell: Doorbell,
        watch: EngineWatch,
        lives: Mapping[int, LiveRun],
        hold: asyncio.Event,
        slots: int,
        latch: StopFile,
    ) -> None:
        self._db = db
        self._doorbell = doorbell
        self._watch = watch
        self._lives = lives
        self._hold = hold
        self._slots = slots
        self._latch = latch
        self._wake = asyncio.Event()
        self._closed = False
        self.opened = False
        self._presses: list[tuple[StopReason, float]] = []  #: of STOP ALL, since the last release
        self.released_at = -math.inf  #: on the monotonic clock
        self.ending: set[int] = set()  #: evaluations that are being stopped: none of them leaves the queue

    async def remember(self) -> StopReason | None:
        """The hold of an earlier server, or the one that the file STOP asks for: who wants nothing to run, and why."""
        recorded = await hold.current(self._db)
        if (latch := self._latch.read()) is not None and (recorded is None or not _same(recorded, latch)):
            recorded = await self._pressed_meanwhile(latch)
        if recorded is None:
            return None
        log.warning(
            "the queue is held by %s: %s; nothing starts before `crucible release --reason TEXT`",
            recorded.actor,
            recorded.text,
        )
        self._hold.set()
        if latch is None:
            return StopReason(source=StopSource.OPERATOR, actor=recorded.actor, text=recorded.text)
        return _reason_of(latch)

    async def _pressed_meanwhile(self, latch: Latch) -> hold.Hold | None:
        """While no server could record it: with the time of the press, and when that became known."""
        now = time.time()
        pressed = min(latch.at, now) if latch.at > 0 else now
        note = f"recorded when the server started, {datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC"
        await hold.set_hold(self._db, actor=latch.actor, text=latch.text, at=pressed, note=note)
        return await hold.current(self._db)

    @property
    def held(self) -> bool:
        return self._hold.is_set()

    def hold_now(self, reason: StopReason, *, at: float) -> None:
        """At once, and in memory only: nothing is begun from here on. See `record_hold`, also for `at`."""
        self._hold.set()
        self._presses.append((reason, at))

    def open(self) -> None:
        """What an earlier server left is known by now."""
        self.opened = True

    def close(self) -> None:
        """The slots that now become free are nobody's."""
        self._closed = True

    def changed(self) -> None:
        self._wake.set()
        self._doorbell.ring(Doorbell.HOUSE)

    async def run(self, take: Callable[[LiveRun], None]) -> None:
        """For ever: `take` puts a run among the lives."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._may_start():
                run = await until_recorded(lambda: runs.next_queued(self._db))
                if run is None or run.id in self._lives or not self._may_start() or run.evaluation in self.ending:
                    break  # Asking took a while: a hold or a shutdown may have come meanwhile.
                take(LiveRun(run=run))

    def _may_start(self) -> bool:
        return (
            self._watch.status.reachable
            and self.opened
            and not self.held
            and not self._closed
            and len(self._lives) < self._slots
        )

    async def record_hold(self, reason: StopReason, *, at: float) -> None:
        """Keep the hold over a restart: by the file STOP and in the record. `hold_now` comes before, at once.

        `at`: when it was pressed, unix seconds; the receipts of that press are not older.
        """
        text = reason.text or "STOP ALL"
        try:
            self._latch.set(actor=reason.actor, text=text)
        except OSError as error:
            log.error("the file STOP could not be made: %s", error)
        await until_recorded(lambda: hold.set_hold(self._db, actor=reason.actor, text=text, at=at))

    async def release(self, *, actor: str, text: str) -> bool:
        """Let the queue go on. Starts nothing that was stopped. False when it was not held.

        Raises `Conflict` when it was held anew meanwhile: the later press wins, and nothing has begun in between.
        """
        self._presses.clear()
        try:
            self._latch.clear()
        except OSError as error:
            raise Conflict(f"the file {self._latch.path} could not be removed: {error.strerror}") from None
        self.released_at = time.monotonic()
        released = await hold.release(self._db, actor=actor, text=text, at=time.time())
        if (held_anew := self._held_anew()) is not None:
            anew, at = held_anew
            await self.record_hold(anew, at=at)  # Whichever of the two was recorded first.
            raise Conflict(f"the queue stays held: STOP ALL came from {anew.actor} while it was being released")
        self._hold.clear()
        self.changed()
        return released

    def _held_anew(self) -> tuple[StopReason, float] | None:
        """By a press since the release began, or by somebody's file; and when, unix seconds."""
        if self._presses:
            return self._presses[-1]
        return None if (latch := self._latch.read()) is None else (_reason_of(latch), time.time())


def _same(recorded: hold.Hold, latch: Latch) -> bool:
    """Whether this press was recorded by the server that took it: a restart is not another one."""
    return (recorded.actor, recorded.text) == (latch.actor, latch.text)


def _reason_of(latch: Latch) -> StopReason:
    return StopReason(source=StopSource.OPERATOR, actor=latch.actor, text=latch.text, path="file")
