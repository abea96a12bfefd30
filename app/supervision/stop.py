"""The stop lane: kill first, record beside it, prove.

Nothing here waits for the database, a template, a teardown or another run before the kill is sent, and nothing that
fails beside the kill ends it. The driver's kill path has a client and threads of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

from app.domain.alerts import Category, Finding, Severity
from app.domain.errors import Conflict, CrucibleError, NotFound
from app.domain.runs import RunState
from app.domain.stops import Receipt
from app.store import alerts, evidence, runs, stops
from app.store.database import Database
from app.supervision.doorbell import Doorbell
from app.supervision.evidence import gathered
from app.supervision.live_run import NOTHING, LiveRun, StopRequest
from app.supervision.warden_told import take_marks
from sandbox_runner import warden_journal
from sandbox_runner.driver import Driver, Sandbox, SandboxError
from sandbox_runner.kill import EMPTY, kill_until_verified

log = logging.getLogger(__name__)

#: Seconds after which a stop that is not proven is a containment failure, told to everybody.
ALARM = 10.0
#: Seconds a shutdown waits for what is written beside the kills.
CLOSE_WITHIN = 10.0
#: Seconds the evidence waits for the end of the run's record.
SEAL_WITHIN = 10.0
#: Seconds until the kill of a sandbox that failed in a way nobody foresaw is begun anew.
ANEW = 0.5

T = TypeVar("T")


class StopLane:
    """Ends runs and proves it."""

    def __init__(
        self,
        *,
        driver: Driver,
        db: Database,
        doorbell: Doorbell,
        instance: str,
        folder: Path,
        second: Callable[[Iterable[Sandbox]], None] | None = None,
        alarm_seconds: float = ALARM,
    ) -> None:
        """`folder`: where the warden's journal is. `second` has sandboxes struck by the warden too."""
        self._driver = driver
        self._db = db
        self._doorbell = doorbell
        self._instance = instance
        self._folder = folder
        self._second = second
        self.alarm_seconds = alarm_seconds
        self._beside: set[asyncio.Task[None]] = set()

    async def end(self, live: LiveRun, request: StopRequest) -> None:
        """Kill everything of the run, prove it, record it. Sets `live.dead` when proven."""
        alarm = self._start(self._alarm(live, request), f"run {live.id}: stop alarm")
        recording = self._start(self._record_request(live, request), f"run {live.id}: stop record")
        try:
            struck = await self._kill(live, request)
        finally:
            alarm.cancel()
        live.dead.set()
        if request.order and struck is not None:
            await self._wardens_marks(live, request, struck)
        await asyncio.wait({recording})
        await self._record_death(live, request)
        request.closed.set()
        self.seal(live, request)

    def seal(self, live: LiveRun, request: StopRequest) -> None:
        """The evidence of a stop that was carried out by others, when the run's record has its end."""
        self._start(self._seal(live, request), f"run {live.id}: evidence")

    async def close(self) -> None:
        """Wait for what is still being written beside the kills; not for ever."""
        if self._beside:
            _, pending = await asyncio.wait(self._beside, timeout=CLOSE_WITHIN)
            for task in pending:
                log.error("shutdown: %s was not written", task.get_name())
                task.cancel()

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Beside the kill: what goes wrong in it is said, and reaches nothing else."""
        task = asyncio.create_task(work, name=name)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        task.add_done_callback(_say_failure)
        return task

    async def _kill(self, live: LiveRun, request: StopRequest) -> set[str] | None:
        """Answers the sandboxes there were; None when one was being started, and was taken back."""
        whole = live.no_start.is_set()
        if not live.known:
            await self._find(live, request)
        struck = set(live.sandboxes)
        ending = [
            asyncio.create_task(self._end_sandbox(live, sandbox, request), name=f"run {live.id}: kill {sandbox.role}")
            for sandbox in list(live.sandboxes.values())
        ]
        if live.attempt is not None:
            live.attempt.cancel()
        if ending:
            await asyncio.wait(ending)
        else:
            request.note(NOTHING)
        # A start that was under way is taken back by the driver; after this nothing more can start.
        await live.no_start.wait()
        struck |= await self.sweep(live.id)
        request.note("engine lists nothing of the run")
        live.sandboxes.clear()
        if request.acted_ms is None:  # It had ended by itself before any strike.
            request.note(NOTHING)
        request.dead_ms = _ms_since(request.begun)
        return struck if whole else None

    async def _wardens_marks(self, live: LiveRun, request: StopRequest, struck: set[str]) -> None:
        """It was asked first, and may have been done while this server hung."""
        try:
            entry = await asyncio.to_thread(warden_journal.entry_of, self._folder, request.order)
        except Exception:
            log.exception("run %d: the warden's journal could not be read; the marks are our own", live.id)
            return
        if entry is not None:
            take_marks(live.id, request, entry, struck)

    async def _find(self, live: LiveRun, request: StopRequest) -> None:
        """What the engine has of a run of an earlier server; asked until it answers."""
        while not live.known:
            try:
                owned = await self._owned(live.id)
            except Exception as error:
                # Whatever it is: a kill is never given up.
                log.warning("run %d: the engine could not be asked what there is of it: %s", live.id, error)
                await asyncio.sleep(ANEW)
                continue
            live.known = True
            live.sandboxes.update({sandbox.id: sandbox for sandbox in owned})
        within = request.look_within / max(1, len(live.sandboxes))
        request.witnessed.update({name: self._driver.last_look(box, within) for name, box in live.sandboxes.items()})
        if self._second is not None:
            self._second(live.sandboxes.values())

    async def _owned(self, run: int) -> list[Sandbox]:
        return [each for each in await self._driver.list_owned(self._instance) if each.run == str(run)]

    async def _end_sandbox(self, live: LiveRun, sandbox: Sandbox, request: StopRequest) -> None:
        def told(step: str) -> None:
            request.note(step)
            if step == EMPTY:
                request.emptied.add(sandbox.id)

        while True:
            try:
                await kill_until_verified(self._driver, sandbox, told=told)
            except SandboxError as error:
                log.error("run %d: %s", live.id, error)
            except Exception:
                # Whatever it is: a kill is never given up.
                log.exception("run %d: killing %s failed in an unforeseen way", live.id, sandbox.id[:12])
                await asyncio.sleep(ANEW)
            else:
                live.sandboxes.pop(sandbox.id, None)
                return

    async def sweep(self, run: int) -> set[str]:
        """End whatever the engine still has of a run, until it has nothing. Answers what there was."""
        ended: set[str] = set()
        while True:
            try:
                owned = await self._owned(run)
                if not owned:
                    return ended
                for sandbox in owned:
                    await kill_until_verified(self._driver, sandbox)
                    ended.add(sandbox.id)
            except SandboxError as error:
                log.warning("run %d: not proven yet: %s", run, error)
                await asyncio.sleep(0.5)

    async def end_stray(self, sandbox: Sandbox) -> None:
        """End a container no run has. Raises `SandboxError` when it could not be proven."""
        await kill_until_verified(self._driver, sandbox)

    async def _alarm(self, live: LiveRun, request: StopRequest) -> None:
        """Containment failure: said in the record, as a critical alert, with what a person can do by hand.

        Where the kernel has no process any more and only the engine is slow, that is said instead.
        """
        await asyncio.sleep(self.alarm_seconds)
        left = [sandbox.id[:12] for sandbox in live.sandboxes.values()]
        by_hand = f"docker rm -f {' '.join(left)}" if left else "python -m sandbox_runner kill-all"
        empty = bool(left) and live.sandboxes.keys() <= request.emptied
        said = (
            "STOP NOT COMPLETE: the kernel has no process of it any more, but the engine has not removed the container "
            f"after {self.alarm_seconds:.0f} s. Crucible goes on asking."
            if empty
            else f"STOP FAILED: not proven dead after {self.alarm_seconds:.0f} s. Crucible strikes again every 2 s."
        )
        why = f"{said} By hand, on the machine: {by_hand}"
        log.critical("run %d: %s", live.id, why)
        finding = Finding(
            rule="stop-not-complete" if empty else "containment-failure",
            category=Category.SYSTEM_ACCESS,
            severity=Severity.HIGH if empty else Severity.CRITICAL,
            title="A stop is not complete: nothing is alive, but the engine has not removed the container"
            if empty
            else "A stop could not be proven: the sandbox may still be alive",
            response=why,
            line=None,
        )
        await until_recorded(
            lambda: alerts.record(self._db, live.id, finding, at=time.time(), action="struck again every 2 s")
        )
        self._doorbell.ring(live.id)
        self._doorbell.ring(Doorbell.HOUSE)
        await request.recorded.wait()
        if (receipt := request.receipt) is not None:
            await until_recorded(lambda: stops.failed(self._db, receipt.id, why, at=time.time()))
            self._doorbell.ring(live.id)

    async def _record_request(self, live: LiveRun, request: StopRequest) -> None:
        try:
            request.receipt = await until_recorded(
                lambda: stops.record(
                    self._db,
                    live.id,
                    request.kind,
                    request.reason,
                    received_at=request.received_at,
                    changed=request.changed,
                )
            )
        finally:
            request.recorded.set()
        await until_recorded(lambda: self._to_stopping(live))
        self._doorbell.ring(live.id)

    async def _seal(self, live: LiveRun, request: StopRequest) -> None:
        """After the kill and the last line of output, or what there is of it by then."""
        receipt = request.receipt
        if receipt is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEAL_WITHIN):
                await live.ended.wait()
        if request.order:
            looks = await asyncio.to_thread(warden_journal.seen_by, self._folder, request.order, live.id)
            request.witnessed.update(looks)
        data = await until_recorded(lambda: gathered(self._db, self._driver, live, request))
        await until_recorded(
            lambda: evidence.seal(self._db, receipt=receipt.id, run=live.id, data=data, at=time.time())
        )
        self._doorbell.ring(live.id)

    async def _to_stopping(self, live: LiveRun) -> None:
        state = (await runs.get(self._db, live.id)).state
        if state in {RunState.STARTING, RunState.RUNNING, RunState.FROZEN}:
            await runs.transition(self._db, live.id, state, RunState.STOPPING, at=time.time())

    async def _record_death(self, live: LiveRun, request: StopRequest) -> None:
        receipt = request.receipt
        if receipt is None:
            log.error("run %d: was stopped, and its receipt could not be written", live.id)
            return
        request.receipt = await until_recorded(lambda: self._verified(receipt, request))
        self._doorbell.ring(live.id)

    async def _verified(self, receipt: Receipt, request: StopRequest) -> Receipt:
        assert request.acted_ms is not None
        assert request.dead_ms is not None
        return await stops.verified(
            self._db,
            receipt.id,
            acted_ms=request.acted_ms,
            dead_ms=request.dead_ms,
            at=time.time(),
            steps=request.steps,
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


def _say_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s failed", task.get_name(), exc_info=error)


def _ms_since(begun: float) -> float:
    return round((time.monotonic() - begun) * 1000, 1)
