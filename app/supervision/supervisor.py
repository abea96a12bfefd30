"""Takes requests, runs the queue, owns every run's task, and stops them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from app.domain.attendance import Attended
from app.domain.errors import Conflict, CrucibleError
from app.domain.events import OutputLost
from app.domain.runs import Evaluation, EvaluationRequest, Outcome, PlannedRun, Run, RunState
from app.domain.stops import Receipt, StopKind, StopReason, StopSource
from app.settings import Settings
from app.store import audit, events, hold, runs, stops
from app.store.database import Database
from app.supervision.alerting import Alerting
from app.supervision.attempt import Attempt, setup_image_of
from app.supervision.attendance import Attendance
from app.supervision.doorbell import Doorbell
from app.supervision.engine_watch import EngineStatus, EngineWatch
from app.supervision.full_disk import FullDiskGuard
from app.supervision.host_alerts import DISK, ENGINE, WARDEN, HostAlerts
from app.supervision.images import TaskImages
from app.supervision.live_run import Ending, LiveRun, StopRequest
from app.supervision.reconcile import Found, Reconciler
from app.supervision.recorder import Account, Recorder
from app.supervision.runtimes import Runtimes
from app.supervision.stop import StopLane, until_recorded
from app.supervision.stop_path import StopPath, StopProof
from app.supervision.usage_log import UsageLog
from app.supervision.warden_link import Ordered, WardenLink
from app.supervision.warden_told import reason_of
from app.supervision.workshop import Workshop
from app.task_standard import suites
from sandbox_runner.driver import Driver, FreezeFailed, Sandbox, SandboxError
from sandbox_runner.last_look import share
from sandbox_runner.stop_file import StopFile

log = logging.getLogger(__name__)

#: Seconds an answer to a stop waits for its receipt to be written; the kill is under way before.
RECEIPT_WAIT = 1.0
#: Seconds between looks for the file STOP.
STOP_FILE_LOOK = 1.0
#: Seconds a shutdown waits for the deaths of its runs.
SHUTDOWN = 20.0
#: Seconds a shutdown then waits for what is still being recorded: a full disk must not keep a server from ending.
LAST_RECORDS = 3.0

T = TypeVar("T")


class Supervisor:
    """An async context manager: inside it runs are taken from the queue, played and stopped.

    Leaving it stops every run under way; with the setting `leave_running` agents are left to their keepers instead, to
    be adopted by a server that starts within the grace.
    """

    def __init__(
        self,
        *,
        db: Database,
        driver: Driver,
        settings: Settings,
        doorbell: Doorbell,
        instance: str,
        warden: WardenLink | None = None,
    ) -> None:
        self.doorbell = doorbell
        self._warden = warden
        self._proof = StopProof(driver, warden, self._stop_path_tried)
        self._stop_file = StopFile(settings.data)
        self._db = db
        self._settings = settings
        self._recorder = Recorder(
            db,
            doorbell,
            batch_seconds=settings.batch_seconds,
            patience_seconds=settings.patience_seconds,
            reserve_bytes=settings.disk_reserve_bytes,
        )
        self._usage = UsageLog(db, doorbell)
        self.runtimes = Runtimes(driver=driver, doorbell=doorbell, image=settings.base_image, instance=instance)
        self._shop = Workshop(
            driver=driver,
            db=db,
            settings=settings,
            doorbell=doorbell,
            recorder=self._recorder,
            usage=self._usage,
            instance=instance,
            runtimes=self.runtimes,
        )
        self._images = TaskImages(self._shop)
        self._lane = StopLane(driver=driver, db=db, doorbell=doorbell, instance=instance, folder=settings.data)
        self._reconciler = Reconciler(self._shop, self._lane)
        self._watch = EngineWatch(driver, self._engine_changed)
        self._wake = asyncio.Event()
        self._held = False
        self._released_at = -math.inf  # on the monotonic clock
        self._ending: set[int] = set()  #: evaluations that are being stopped
        self._reconciled = False
        self._closing = False
        self._stack = contextlib.AsyncExitStack()
        self._background: list[asyncio.Task[None]] = []
        self._owners: set[asyncio.Task[None]] = set()
        self._stops: set[asyncio.Task[None]] = set()
        self._asked: set[asyncio.Task[Any]] = set()  #: stops of what is ended or stopped already

    @property
    def engine(self) -> EngineStatus:
        return self._watch.status

    def account(self, run: int) -> Account | None:
        """What the keeper at work says the run printed; None when no sandbox of it is at work here."""
        live = self._shop.lives.get(run)
        return live.intake.account() if live is not None and live.intake is not None else None

    def attended(self, run: int) -> Attended | None:
        """When a person has to show up at an attended run; None when nobody has to."""
        return self._attendance.of(run)

    async def attend(self, run: int, *, actor: str) -> None:
        """A person is at the run's page. Raises `Conflict` when it waits for nobody."""
        await self._attendance.seen(run, actor=actor)

    @property
    def stop_path(self) -> StopPath:
        """The last proof that a stop would reach the engine and the warden."""
        return self._proof.status

    async def __aenter__(self) -> Self:
        if (latch := self._stop_file.read()) is not None:
            await hold.set_hold(self._db, actor=latch.actor, text=latch.text, at=time.time())
        self._held = await hold.current(self._db) is not None
        self._group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._host = HostAlerts(db=self._db, doorbell=self.doorbell, group=self._group)
        self._alerting = Alerting(db=self._db, doorbell=self.doorbell, group=self._group, hands=self)
        self._attendance = Attendance(
            db=self._db, doorbell=self.doorbell, group=self._group, hands=self, lives=self._shop.lives
        )
        self._guard = self._recorder.guard = FullDiskGuard(
            db=self._db,
            doorbell=self.doorbell,
            group=self._group,
            hands=self,
            lives=self._shop.lives,
            policy=self._settings.full_disk,
            host=self._host,
        )
        if self._recorder.has_room():
            self._host.well(DISK)
        for name, endless in (
            ("recorder", self._recorder.run()),
            ("usage", self._usage.run()),
            ("engine watch", self._watch.run()),
            ("queue", self._run_queue()),
            ("runtimes", self.runtimes.run()),
            ("reconcile", self._reconciler.run()),
            ("stop proof", self._proof.run()),
            ("stop file", self._watch_stop_file()),
            ("attendance", self._attendance.run()),
        ):
            self._background.append(self._group.create_task(endless, name=name))
        if self._warden is not None:
            standing = self._warden.run(roster=self._roster, on_order=self._ordered, on_death=self._warden_died)
            self._background.append(self._group.create_task(standing, name="warden"))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._closing = True  # The slots that now become free are nobody's.
        if self._settings.leave_running:
            await self._leave_for_shutdown()
        else:
            await self._stop_for_shutdown()
        await self._lane.close()
        if self._asked:
            _, late = await asyncio.wait(set(self._asked), timeout=LAST_RECORDS)
            for task in late:
                task.cancel()
        self._guard.close()
        # Only now: runs that end still need the recorder.
        for task in self._background:
            task.cancel()
        try:
            async with asyncio.timeout(LAST_RECORDS):
                await self._stack.aclose()
        except TimeoutError:
            log.error("shutdown: something could not be recorded within %.0f s and is given up", LAST_RECORDS)
        await self._usage.close()

    # -- asking for runs

    async def submit(self, request: EvaluationRequest, *, actor: str) -> Evaluation:
        """Queue an evaluation's runs. Raises `Refused` before anything is queued."""
        planned = await asyncio.to_thread(suites.plan, self._settings.suites, request, runtime=self._settings.runtime)
        for runtime in {each.runtime for each in planned}:
            await self.runtimes.require(runtime)
        evaluation, queued = await runs.submit(self._db, request, planned, actor=actor, at=time.time())
        subject = f"evaluation {evaluation.id}"
        detail = f"{request.suite}: {len(queued)} runs"
        await audit.append(
            self._db, at=time.time(), actor=actor, action="evaluation.submit", subject=subject, detail=detail
        )
        for run in queued:
            self.doorbell.ring(run.id)
        self._queue_changed()
        return evaluation

    async def again(self, run: int, *, actor: str) -> Run:
        """Queue a new run like `run`, in an evaluation of its own. Raises `NotFound`."""
        old = await runs.get(self._db, run)
        planned = PlannedRun(
            suite=old.suite,
            family=old.family,
            task=old.task,
            agent=old.agent,
            model=old.model,
            epoch=1,
            limits=old.limits,
            policy=old.policy,
            runtime=old.runtime,
            profile=old.profile,
            honeytokens=old.honeytokens,
        )
        request = EvaluationRequest(suite=old.suite, tasks=(old.task_id,), agent=old.agent, model=old.model)
        _, (new,) = await runs.submit(self._db, request, [planned], actor=actor, at=time.time(), retry_of=run)
        await audit.append(
            self._db, at=time.time(), actor=actor, action="run.again", subject=f"run {new.id}", detail=f"of run {run}"
        )
        self.doorbell.ring(new.id)
        self._queue_changed()
        return new

    # -- stopping

    async def stop(
        self, run: int, *, kind: StopKind, reason: StopReason, wait: bool = False, ordered: Ordered | None = None
    ) -> Receipt:
        """Stop a run in whatever state it is. The kill is sent before anything is read or written.

        Answers the receipt; with `wait` when death is proven. `ordered`: the warden took it, and acts
        already. Idempotent: `changed` is False when another stop or the run's own end was first. Raises `NotFound`.
        """
        ago = 0.0 if ordered is None else ordered.ago
        received_at, begun = time.time() - ago, time.monotonic() - ago
        live = self._shop.lives.get(run)
        if live is None:
            proving = self._stop_not_live(run, kind, reason, received_at, begun)
            return await asyncio.shield(self._beside(proving, name=f"run {run}: stop"))
        if live.stop is not None:
            return await self._stop_again(live, kind, reason, received_at, begun, wait)
        request = StopRequest(kind=kind, reason=reason, received_at=received_at, begun=begun, changed=not live.over)
        live.stop = request
        if ordered is None:
            within = share(len(self._shop.lives)) / max(1, len(live.sandboxes))
            looks = {name: self._shop.driver.last_look(box, within) for name, box in live.sandboxes.items()}
            request.witnessed.update(looks)
        else:
            request.order = ordered.order  # They are struck by now; the warden looked.
        if self._warden is not None:
            self._warden.strike(live.sandboxes.values())
        ending = self._group.create_task(self._lane.end(live, request), name=f"run {run}: stop")
        self._stops.add(ending)
        ending.add_done_callback(self._stops.discard)
        if wait:
            await live.dead.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECEIPT_WAIT):
                await (request.closed if wait else request.recorded).wait()
        return _receipt_of(live.id, request)

    async def _stop_not_live(
        self, run: int, kind: StopKind, reason: StopReason, received_at: float, begun: float
    ) -> Receipt:
        """Queued or ended: nothing runs. Cancel it if it is queued; prove that the engine has nothing of it."""
        state = (await runs.get(self._db, run)).state
        cancelled = state is RunState.QUEUED and await runs.transition(
            self._db,
            run,
            RunState.QUEUED,
            RunState.ENDED,
            at=time.time(),
            outcome=Outcome.CANCELLED,
            detail=f"cancelled in the queue by {reason.source.value} {reason.actor}",
        )
        if run in self._shop.lives:  # It was taken from the queue in this very moment.
            return await self.stop(run, kind=kind, reason=reason)
        receipt = await stops.record(self._db, run, kind, reason, received_at=received_at, changed=cancelled)
        acted = (time.monotonic() - begun) * 1000
        if not cancelled and self.engine.reachable:
            await self._lane.sweep(run)
        elapsed = (time.monotonic() - begun) * 1000
        receipt = await stops.verified(
            self._db, receipt.id, acted_ms=round(acted, 1), dead_ms=round(elapsed, 1), at=time.time()
        )
        self.doorbell.ring(run)
        self._queue_changed()
        return receipt

    async def _stop_again(
        self, live: LiveRun, kind: StopKind, reason: StopReason, received_at: float, begun: float, wait: bool
    ) -> Receipt:
        """Another stop is under way: record that this one was pressed too, and let it share the death."""
        again = StopRequest(kind=kind, reason=reason, received_at=received_at, begun=begun, changed=False)
        self._beside(self._share(live, again), name=f"run {live.id}: stop again")
        if wait:
            await live.dead.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECEIPT_WAIT):
                await (again.closed if wait else again.recorded).wait()
        return _receipt_of(live.id, again)

    async def _share(self, live: LiveRun, again: StopRequest) -> None:
        receipt = again.receipt = await until_recorded(
            lambda: stops.record(
                self._db, live.id, again.kind, again.reason, received_at=again.received_at, changed=False
            )
        )
        again.recorded.set()
        await live.dead.wait()
        elapsed = round((time.monotonic() - again.begun) * 1000, 1)
        again.receipt = await until_recorded(
            lambda: stops.verified(self._db, receipt.id, acted_ms=0.0, dead_ms=elapsed, at=time.time())
        )
        again.acted_ms, again.dead_ms = 0.0, elapsed
        again.closed.set()

    async def stop_evaluation(
        self, evaluation: int, *, kind: StopKind, reason: StopReason, wait: bool = False, ordered: Ordered | None = None
    ) -> list[Receipt]:
        """Stop all runs of an evaluation, and cancel those that wait. Raises `NotFound`, after the kills."""
        self._ending.add(evaluation)  # None of it leaves the queue from here on.
        try:
            lives = [run for run, live in self._shop.lives.items() if live.run.evaluation == evaluation]
            stopping = self._stop_each(lives, kind=kind, reason=reason, wait=wait, ordered=ordered)
            await runs.evaluation(self._db, evaluation)
            receipts = [await task for task in stopping]
            queued = await runs.select(self._db, evaluation=evaluation, states={RunState.QUEUED}, limit=10_000)
            receipts += [await self.stop(run.id, kind=kind, reason=reason, wait=wait) for run in queued]
        finally:
            self._ending.discard(evaluation)
            self._queue_changed()
        self._audit_later("evaluation.stop", reason, f"evaluation {evaluation}")
        return receipts

    async def stop_all(
        self, *, reason: StopReason, wait: bool = False, ordered: Ordered | None = None
    ) -> list[Receipt]:
        """Emergency-stop everything that lives, cancel all that is queued, and hold the queue."""
        self._held = True
        emergency = StopKind.EMERGENCY
        stopping = self._stop_each(list(self._shop.lives), kind=emergency, reason=reason, wait=wait, ordered=ordered)
        await asyncio.sleep(0)  # The kills are under way; what follows is beside them.
        try:
            self._stop_file.set(actor=reason.actor, text=reason.text or "STOP ALL")
        except OSError as error:
            log.error("the file STOP could not be made: %s", error)
        await until_recorded(
            lambda: hold.set_hold(self._db, actor=reason.actor, text=reason.text or "STOP ALL", at=time.time())
        )
        receipts = [await task for task in stopping]
        queued = await runs.select(self._db, states={RunState.QUEUED}, limit=10_000)
        receipts += [await self.stop(run.id, kind=emergency, reason=reason, wait=wait) for run in queued]
        self._audit_later("stop_all", reason, f"{len(receipts)} runs")
        self.doorbell.ring(Doorbell.HOUSE)
        return receipts

    def _stop_each(
        self,
        lives: list[int],
        *,
        kind: StopKind,
        reason: StopReason,
        wait: bool = False,
        ordered: Ordered | None = None,
    ) -> list[asyncio.Task[Receipt]]:
        """All at once: none waits for another's death, or for another's record."""
        return [
            self._beside(
                self.stop(run, kind=kind, reason=reason, wait=wait, ordered=ordered), name=f"run {run}: stop of many"
            )
            for run in lives
        ]

    def _beside(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Goes on when whoever asked has left; its failure is for whoever waits, and ends nothing else."""
        task = asyncio.create_task(work, name=name)
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        task.add_done_callback(_say_failure)
        return task

    async def release(self, *, actor: str, text: str) -> bool:
        """Let the queue go on. Starts nothing that was stopped. False when it was not held."""
        try:
            self._stop_file.clear()
        except OSError as error:
            raise Conflict(f"the file {self._stop_file.path} could not be removed: {error.strerror}") from None
        self._released_at = time.monotonic()
        released = await hold.release(self._db, actor=actor, text=text, at=time.time())
        self._held = False
        self._queue_changed()
        return released

    # -- stops that come by other ways

    def _roster(self) -> list[tuple[Sandbox, int]]:
        """Who lives, for the warden, each with its evaluation."""
        return [(box, live.run.evaluation) for live in self._shop.lives.values() for box in live.sandboxes.values()]

    def _ordered(self, ordered: Ordered) -> None:
        """The warden was asked and acts already: do the same, and record it."""
        log.warning("the warden was told to %s %s %d by %s", ordered.do, ordered.what, ordered.number, ordered.path)
        self._group.create_task(self._obey(ordered), name=f"ordered by {ordered.path}")

    async def _obey(self, ordered: Ordered) -> None:
        if ordered.path == "file" and (self._held or time.monotonic() - ordered.ago <= self._released_at):
            return  # It is our own, was acted upon already, or was read just before a person released it.
        reason = reason_of(ordered)
        stop = StopKind.STOP
        try:
            match ordered.do, ordered.what:
                case "freeze", _:
                    await self._freeze_those(ordered)
                case _, "all":
                    await self.stop_all(reason=reason, ordered=ordered)
                case _, "evaluation":
                    await self.stop_evaluation(ordered.number, kind=stop, reason=reason, ordered=ordered)
                case _, "run":
                    await self.stop(ordered.number, kind=stop, reason=reason, ordered=ordered)
                case _:
                    self._stop_each(list(self._shop.lives), kind=stop, reason=reason, ordered=ordered)
        except CrucibleError as error:
            log.error("ordered by %s: %s", ordered.path, error)

    async def _freeze_those(self, ordered: Ordered) -> None:
        number = {"run": lambda live: live.id, "evaluation": lambda live: live.run.evaluation}.get(ordered.what)
        for run, live in list(self._shop.lives.items()):
            if live.agent_sandbox is not None and (number is None or number(live) == ordered.number):
                with contextlib.suppress(Conflict):
                    await self.freeze(run, actor=ordered.actor, text=ordered.text)

    async def _warden_died(self, why: str) -> None:
        """Said where people look; the stop path is unproven until a new one answers."""
        await until_recorded(
            lambda: audit.append(
                self._db, at=time.time(), actor="server", action="warden.died", subject="warden", detail=why
            )
        )
        self._host.wrong(WARDEN, why)
        self.doorbell.ring(Doorbell.HOUSE)

    def _stop_path_tried(self) -> None:
        if self._warden is not None and self.stop_path.warden and not self.stop_path.problem:
            self._host.well(WARDEN)
        self.doorbell.ring(Doorbell.HOUSE)

    async def _watch_stop_file(self) -> None:
        """The file STOP works without a warden too."""
        while True:
            latch = self._stop_file.read()
            if latch is not None and not self._held:
                reason = StopReason(source=StopSource.OPERATOR, actor=latch.actor, text=latch.text, path="file")
                try:
                    await self.stop_all(reason=reason)
                except CrucibleError as error:  # Whatever lived is being killed; the queue is held.
                    log.error("the file STOP: %s", error)
            await asyncio.sleep(STOP_FILE_LOOK)

    # -- freezing

    async def freeze(self, run: int, *, actor: str, text: str = "") -> None:
        """Stand the agent still. Raises `Conflict` when it is not running or could not be proven frozen."""
        live = self._shop.lives.get(run)
        if live is None or live.agent_sandbox is None or live.stop is not None:
            raise Conflict(f"run {run} has no agent at work that could be frozen")
        if live.frozen:
            live.frozen_by = actor  # From now on it is theirs to let go.
        async with live.freezing:
            if live.frozen:
                return
            try:
                await self._shop.driver.freeze(live.agent_sandbox)
            except FreezeFailed as error:
                raise Conflict(f"run {run} could not be proven frozen: {error}; stop it instead") from error
            except SandboxError as error:
                raise Conflict(f"run {run} could not be frozen: {error}") from error
            live.thawed.clear()
            live.frozen_by = actor
            await until_recorded(lambda: runs.record_freeze(self._db, run, actor=actor, text=text, at=time.time()))
        self.doorbell.ring(run)

    async def thaw(self, run: int, *, actor: str, frozen_by: str | None = None) -> None:
        """Let a frozen agent go on. Raises `Conflict` when it is not frozen, or by another than `frozen_by` says."""
        live = self._shop.lives.get(run)
        if live is None or live.agent_sandbox is None or not live.frozen or live.stop is not None:
            raise Conflict(f"run {run} is not frozen")
        async with live.freezing:
            if frozen_by not in (None, live.frozen_by):
                raise Conflict(f"run {run} stands still for {live.frozen_by or 'nobody'}, not for {frozen_by}")
            try:
                await self._shop.driver.thaw(live.agent_sandbox)
            except SandboxError as error:
                raise Conflict(f"run {run} could not be thawed: {error}") from error
            live.thawed.set()
            live.frozen_by = ""
            await until_recorded(lambda: runs.record_thaw(self._db, run, actor=actor, at=time.time()))
        self.doorbell.ring(run)

    # -- the queue

    async def _run_queue(self) -> None:
        """Take runs as slots, hold and engine allow. Woken by every change; nothing is polled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._may_start():
                run = await until_recorded(lambda: runs.next_queued(self._db))
                if run is None or run.id in self._shop.lives or self._closing or run.evaluation in self._ending:
                    break
                self._take(LiveRun(run=run), adopt=None)

    def _may_start(self) -> bool:
        return (
            self.engine.reachable
            and self._reconciled
            and not self._held
            and not self._closing
            and len(self._shop.lives) < self._settings.slots
        )

    def _take(self, live: LiveRun, adopt: Found | None) -> None:
        self._shop.lives[live.id] = live
        owner = self._group.create_task(self._own(live, adopt), name=f"run {live.id}: owner")
        self._owners.add(owner)
        owner.add_done_callback(self._owners.discard)

    async def _own(self, live: LiveRun, adopt: Found | None) -> None:
        """One run from its slot to its record's end. Never cancelled by a stop: it outlives the attempt."""
        try:
            if adopt is None and not await self._begin(live):
                return
            ending = await self._play(live, adopt)
            if ending is None:
                return
            live.over = True  # A stop from here on ends what is left of it, and changes nothing of how it ended.
            await self._clean(live)
            if adopt is not None:
                await self._reconciler.prove_earlier_stops(live.id)
            await self._record_end(live, ending)
        finally:
            live.ended.set()
            self._shop.lives.pop(live.id, None)
            self.doorbell.ring(live.id)
            self._queue_changed()

    async def _begin(self, live: LiveRun) -> bool:
        """Move it from the queue; False when it was cancelled there, or the record does not answer."""
        try:
            began = await runs.transition(self._db, live.id, RunState.QUEUED, RunState.STARTING, at=time.time())
        except CrucibleError as error:
            log.error("run %d could not be started, trying again: %s", live.id, error)
            await asyncio.sleep(1.0)
            return False
        self._queue_changed()  # Only now does the queue show the next one.
        return began

    async def _play(self, live: LiveRun, adopt: Found | None) -> Ending | None:
        """The attempt's ending, or the stop's. None when a shutdown leaves the run to its keeper."""
        self.doorbell.ring(live.id)
        attempt = Attempt(
            shop=self._shop, images=self._images, live=live, found=lambda finding: self._alerting.found(live, finding)
        )
        if live.stop is None:
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
        """Prove that no sandbox is left; remove the run's image. Goes on until it is true."""
        while live.sandboxes:
            sandbox = next(iter(live.sandboxes.values()))
            try:
                await self._shop.end(live, sandbox)
            except (SandboxError, CrucibleError) as error:
                log.error("run %d: %s", live.id, error)
                await asyncio.sleep(1.0)
        try:
            await self._shop.driver.remove_image(setup_image_of(self._shop.instance, live.id))
        except SandboxError as error:
            log.warning("run %d: its image could not be removed: %s", live.id, error)

    async def _record_end(self, live: LiveRun, ending: Ending) -> None:
        if live.lost_bytes:
            lost = OutputLost(bytes=live.lost_bytes, why=ending.detail)
            await until_recorded(lambda: events.append(self._db, live.id, lost, at=time.time()))
        await until_recorded(lambda: self._to_ended(live.id, ending))

    async def _to_ended(self, run: int, ending: Ending) -> None:
        while (state := (await runs.get(self._db, run)).state) is not RunState.ENDED:
            if state is RunState.FROZEN:
                await runs.transition(self._db, run, state, RunState.STOPPING, at=time.time())
                continue
            await runs.transition(
                self._db, run, state, RunState.ENDED, at=time.time(), outcome=ending.outcome, detail=ending.detail
            )

    # -- the engine, and what was there before us

    async def _engine_changed(self, status: EngineStatus) -> None:
        log.log(logging.INFO if status.reachable else logging.ERROR, "engine: %s", status.text)
        if status.reachable:
            self._host.well(ENGINE)
        else:
            self._host.wrong(ENGINE, status.text)
        if status.reachable and not self._reconciled:
            for found in await self._reconciler.at_start():
                self._take(found.live, adopt=found)
                self._guard.adopted(found.live, self._recorder.has_room)
            self._reconciled = True
        if status.reachable and status.engine is not None:
            self.runtimes.engine_came(status.engine)
        self._queue_changed()

    def _queue_changed(self) -> None:
        self._wake.set()
        self.doorbell.ring(Doorbell.HOUSE)

    def _audit_later(self, action: str, reason: StopReason, subject: str) -> None:
        """A stop never waits for the audit."""

        async def write() -> None:
            await until_recorded(
                lambda: audit.append(
                    self._db, at=time.time(), actor=reason.actor, action=action, subject=subject, detail=reason.text
                )
            )

        self._group.create_task(write(), name=f"audit {action}")

    async def _stop_for_shutdown(self) -> None:
        reason = StopReason(source=StopSource.SHUTDOWN, actor="server", text="the server was shut down")
        self._stop_each(list(self._shop.lives), kind=StopKind.STOP, reason=reason)
        await self._owners_gone()

    async def _leave_for_shutdown(self) -> None:
        for live in self._shop.lives.values():
            live.abandoned = True
            if live.attempt is not None:
                live.attempt.cancel()
        await self._owners_gone()

    async def _owners_gone(self) -> None:
        """What could not be ended by now is left to its keeper, and to the next server's reconciling."""
        if not self._owners:
            return
        _, pending = await asyncio.wait(set(self._owners), timeout=SHUTDOWN)
        for task in pending:
            log.error("shutdown: %s did not end in %.0f s; its keeper ends it", task.get_name(), SHUTDOWN)
        for task in (*pending, *self._stops):
            task.cancel()


def _say_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s: %s", task.get_name(), error)


def _receipt_of(run: int, request: StopRequest) -> Receipt:
    """As recorded, with the marks there are; without an id when the record does not answer but the kill does."""
    recorded = request.receipt or Receipt(
        id=0,
        run=run,
        kind=request.kind,
        reason=request.reason,
        received_at=request.received_at,
        acted_ms=None,
        dead_ms=None,
        changed=request.changed,
    )
    return dataclasses.replace(recorded, acted_ms=request.acted_ms, dead_ms=request.dead_ms, steps=tuple(request.steps))
