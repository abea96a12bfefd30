"""The stop lane: kill first, record beside it, prove.

Nothing here waits for the database, a template, a teardown or another run before the kill is sent. The driver's kill
path has a client and threads of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.domain.errors import Conflict, CrucibleError, NotFound
from app.domain.runs import RunState
from app.domain.stops import Receipt
from app.store import runs, stops
from app.store.database import Database
from app.supervision.doorbell import Doorbell
from app.supervision.live_run import LiveRun, StopRequest
from sandbox_runner.driver import Driver, Sandbox, SandboxError
from sandbox_runner.kill import kill_until_verified

log = logging.getLogger(__name__)

#: Seconds after which a stop that is not proven says so loudly.
ALARM = 5.0

T = TypeVar("T")


class StopLane:
    """Ends runs and proves it."""

    def __init__(self, *, driver: Driver, db: Database, doorbell: Doorbell, instance: str) -> None:
        self._driver = driver
        self._db = db
        self._doorbell = doorbell
        self._instance = instance

    async def end(self, live: LiveRun, request: StopRequest) -> None:
        """Kill everything of the run, prove it, record it. Sets `live.dead` when proven."""
        async with asyncio.TaskGroup() as group:
            alarm = group.create_task(self._alarm(live, request), name=f"run {live.id}: stop alarm")
            group.create_task(self._record_request(live, request), name=f"run {live.id}: stop record")
            await self._kill(live, request)
            alarm.cancel()
            live.dead.set()
        await self._record_death(live, request)
        request.closed.set()

    async def _kill(self, live: LiveRun, request: StopRequest) -> None:
        def sent() -> None:
            if request.acted_ms is None:
                request.acted_ms = _ms_since(request.begun)

        async with asyncio.TaskGroup() as group:
            for sandbox in list(live.sandboxes.values()):
                group.create_task(self._end_sandbox(live, sandbox, sent), name=f"run {live.id}: kill {sandbox.role}")
            if live.attempt is not None:
                live.attempt.cancel()
        sent()
        # A start that was under way is taken back by the driver; after this nothing more can start.
        await live.no_start.wait()
        await self.sweep(live.id)
        live.sandboxes.clear()
        request.dead_ms = _ms_since(request.begun)

    async def _end_sandbox(self, live: LiveRun, sandbox: Sandbox, sent: Callable[[], None]) -> None:
        while True:
            try:
                await kill_until_verified(self._driver, sandbox, on_sent=sent)
            except SandboxError as error:
                log.error("run %d: %s", live.id, error)
            else:
                live.sandboxes.pop(sandbox.id, None)
                return

    async def sweep(self, run: int) -> int:
        """End whatever the engine still has of a run, until it has nothing. Answers how many there were."""
        ended = 0
        while True:
            try:
                owned = [each for each in await self._driver.list_owned(self._instance) if each.run == str(run)]
                if not owned:
                    return ended
                for sandbox in owned:
                    await kill_until_verified(self._driver, sandbox)
                    ended += 1
            except SandboxError as error:
                log.warning("run %d: not proven yet: %s", run, error)
                await asyncio.sleep(0.5)

    async def end_stray(self, sandbox: Sandbox) -> None:
        """End a container no run has. Raises `SandboxError` when it could not be proven."""
        await kill_until_verified(self._driver, sandbox)

    async def _alarm(self, live: LiveRun, request: StopRequest) -> None:
        await asyncio.sleep(ALARM)
        log.error("run %d: not proven dead %.0f s after its stop; still trying", live.id, ALARM)
        await request.recorded.wait()
        receipt = request.receipt
        assert receipt is not None
        why = f"not proven dead after {ALARM:.0f} s; still trying"
        await until_recorded(lambda: stops.failed(self._db, receipt.id, why, at=time.time()))
        self._doorbell.ring(live.id)

    async def _record_request(self, live: LiveRun, request: StopRequest) -> None:
        request.receipt = await until_recorded(
            lambda: stops.record(
                self._db, live.id, request.kind, request.reason, received_at=request.received_at, changed=True
            )
        )
        request.recorded.set()
        await until_recorded(lambda: self._to_stopping(live))
        self._doorbell.ring(live.id)

    async def _to_stopping(self, live: LiveRun) -> None:
        state = (await runs.get(self._db, live.id)).state
        if state in {RunState.STARTING, RunState.RUNNING, RunState.FROZEN}:
            await runs.transition(self._db, live.id, state, RunState.STOPPING, at=time.time())

    async def _record_death(self, live: LiveRun, request: StopRequest) -> None:
        receipt = request.receipt
        assert receipt is not None
        request.receipt = await until_recorded(lambda: self._verified(receipt, request))
        self._doorbell.ring(live.id)

    async def _verified(self, receipt: Receipt, request: StopRequest) -> Receipt:
        assert request.acted_ms is not None
        assert request.dead_ms is not None
        return await stops.verified(
            self._db, receipt.id, acted_ms=request.acted_ms, dead_ms=request.dead_ms, at=time.time()
        )


async def until_recorded(write: Callable[[], Awaitable[T]]) -> T:
    """Try a write until it succeeds: what was done to a run must reach its record.

    Raises `NotFound` and `Conflict` at once: trying again would change nothing.
    """
    pause = 0.05
    while True:
        try:
            return await write()
        except (NotFound, Conflict):
            raise
        except CrucibleError as error:
            log.warning("could not record, trying again: %s", error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)


def _ms_since(begun: float) -> float:
    return round((time.monotonic() - begun) * 1000, 1)
