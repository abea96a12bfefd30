"""Each run under way has an owner: one task, from its slot to the end of its record."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime

from app.domain.errors import CrucibleError
from app.domain.events import Noted, OutputLost, RunBegunAnew
from app.domain.runs import Outcome, RunState
from app.store import events, runs
from app.supervision.alerting import Alerting
from app.supervision.attempt import Attempt, setup_images_of
from app.supervision.earlier_end import EarlierEnd
from app.supervision.images import TaskImages
from app.supervision.live_run import Ending, LiveRun
from app.supervision.queue import Queue
from app.supervision.reconcile import Found, Reconciler
from app.supervision.stop import until_recorded
from app.supervision.workshop import Workshop
from sandbox_runner.driver import SandboxError

log = logging.getLogger(__name__)

#: Seconds a shutdown waits for the deaths of its runs.
SHUTDOWN = 20.0


class Owners:
    """An owner is never cancelled by a stop: it outlives the attempt, so that the record always gets its end."""

    def __init__(
        self,
        *,
        shop: Workshop,
        queue: Queue,
        reconciler: Reconciler,
        alerting: Alerting,
        group: asyncio.TaskGroup,
    ) -> None:
        self._shop = shop
        self._queue = queue
        self._reconciler = reconciler
        self._alerting = alerting
        self._group = group
        self._images = TaskImages(shop)
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, live: LiveRun, adopt: Found | None = None) -> None:
        """Put the run among the lives and begin it, or go on with what was found of it."""
        self._shop.ownerless.pop(live.id, None)
        self._shop.lives[live.id] = live
        owner = self._group.create_task(self._own(live, adopt), name=f"run {live.id}: owner")
        self._tasks.add(owner)
        owner.add_done_callback(self._tasks.discard)

    def abandon(self) -> None:
        """A shutdown leaves the runs to their keepers."""
        for live in self._shop.lives.values():
            live.abandoned = True
            if live.attempt is not None:
                live.attempt.cancel()

    @property
    def at_work(self) -> bool:
        return bool(self._tasks)

    async def gone(self) -> None:
        """What could not be ended by now is left to its keeper, and to the next server's reconciling."""
        _, pending = await asyncio.wait(set(self._tasks), timeout=SHUTDOWN)
        for task in pending:
            log.error("shutdown: %s did not end in %.0f s; its keeper ends it", task.get_name(), SHUTDOWN)
            task.cancel()

    async def _own(self, live: LiveRun, adopt: Found | None) -> None:
        try:
            if adopt is None and not await self._begin(live):
                return
            if adopt is not None and adopt.anew:
                adopt = await self._made_ready(live, adopt)
            ending = await self._play(live, adopt)
            if ending is None:
                return
            live.over = True  # A stop from here on ends what is left of it, and changes nothing of how it ended.
            await self._clean(live)
            if adopt is not None:
                await self._reconciler.prove_earlier_stops(live.id)
            earlier = None if adopt is None or adopt.agent is not None or adopt.anew else adopt.earlier
            await self._record_end(live, ending, earlier)
        finally:
            live.ended.set()
            self._shop.lives.pop(live.id, None)
            self._shop.doorbell.ring(live.id)
            self._queue.changed()

    async def _begin(self, live: LiveRun) -> bool:
        """Move it from the queue; False when it was cancelled there, is held there, or the record does not answer."""
        if self._queue.held and live.stop is None:
            return False
        while True:
            try:
                began = await runs.transition(
                    self._shop.db, live.id, RunState.QUEUED, RunState.STARTING, at=time.time()
                )
                break
            except CrucibleError as error:
                log.error("run %d could not be started, trying again: %s", live.id, error)
                await asyncio.sleep(1.0)
                if live.stop is None:  # Else its end is to be recorded, and here.
                    return False
        self._queue.changed()  # Only now does the queue show the next one.
        return began

    async def _made_ready(self, live: LiveRun, found: Found) -> Found:
        """To be begun anew: never beside what is left of the try before, and not while the queue is held."""
        await self._clean(live)
        if live.stop is not None or live.abandoned:
            return found
        if self._queue.held:
            return replace(found, anew="")
        begun = RunBegunAnew(why=found.anew)
        await until_recorded(lambda: events.append(self._shop.db, live.id, begun, at=time.time()))
        live.tries += 1
        return found

    async def _play(self, live: LiveRun, adopt: Found | None) -> Ending | None:
        """The attempt's ending, or the stop's. None when a shutdown leaves the run to its keeper."""
        self._shop.doorbell.ring(live.id)
        attempt = Attempt(
            shop=self._shop, images=self._images, live=live, found=lambda finding: self._alerting.found(live, finding)
        )
        if live.stop is None and not live.abandoned:
            story = attempt.from_the_start() if adopt is None else adopt.go_on(attempt)
            live.attempt = asyncio.create_task(story, name=f"run {live.id}: attempt")
            await asyncio.wait({live.attempt})
        if live.stop is not None:
            # The receipt's marks are recorded before the run's end: whoever reads "ended" reads the proof too.
            await live.stop.closed.wait()
            return live.stop.ending
        if live.abandoned:
            return None
        assert live.attempt is not None
        try:
            return live.attempt.result()
        except asyncio.CancelledError:
            return Ending(outcome=Outcome.BROKEN, detail="its attempt was cancelled")
        except Exception as error:
            log.exception("run %d: its attempt failed", live.id)
            return Ending(outcome=Outcome.BROKEN, detail=f"{type(error).__name__}: {error}")

    async def _clean(self, live: LiveRun) -> None:
        """Prove that no sandbox is left; remove the run's images. Goes on until it is true."""
        while live.sandboxes:
            sandbox = next(iter(live.sandboxes.values()))
            try:
                await self._shop.end(live, sandbox)
            except (SandboxError, CrucibleError) as error:
                log.error("run %d: %s", live.id, error)
                await asyncio.sleep(1.0)
        for image in setup_images_of(self._shop.instance, live):
            try:
                await self._shop.driver.remove_image(image)
            except SandboxError as error:
                log.warning("run %d: its image %s could not be removed: %s", live.id, image, error)

    async def _record_end(self, live: LiveRun, ending: Ending, earlier: EarlierEnd | None) -> None:
        """With the time it had ended at before this server looked, or now.

        Where nobody saw it end it is now too: its agent may have lived on after it was last seen, and no record may say
        that an agent had ended which had not.
        """
        if earlier is not None and not earlier.known:
            seen = datetime.fromtimestamp(earlier.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            unknown = Noted(text=f"when it ended nobody saw: it was last seen alive at {seen}, and found gone now")
            await until_recorded(lambda: events.append(self._shop.db, live.id, unknown, at=time.time()))
        if live.lost_bytes:
            lost = OutputLost(bytes=live.lost_bytes, why=ending.detail)
            await until_recorded(lambda: events.append(self._shop.db, live.id, lost, at=time.time()))
        at = earlier.at if earlier is not None and earlier.known else time.time()
        await until_recorded(lambda: self._to_ended(live.id, ending, at))

    async def _to_ended(self, run: int, ending: Ending, at: float) -> None:
        db = self._shop.db
        while (state := (await runs.get(db, run)).state) is not RunState.ENDED:
            if state is RunState.FROZEN:
                await runs.transition(db, run, state, RunState.STOPPING, at=at)
                continue
            await runs.transition(db, run, state, RunState.ENDED, at=at, outcome=ending.outcome, detail=ending.detail)
