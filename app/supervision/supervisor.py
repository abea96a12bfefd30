"""Takes requests, runs the queue, owns every run's task, and stops them: the parts of that, wired."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Self

from app.domain.attendance import Attended
from app.domain.runs import Evaluation, EvaluationRequest, PlannedRun, Run
from app.domain.stops import StopKind, StopReason, StopSource
from app.settings import Settings
from app.store import audit, runs
from app.store.database import Database
from app.supervision.alerting import Alerting
from app.supervision.attendance import Attendance
from app.supervision.doorbell import Doorbell
from app.supervision.engine_disk import EngineDisk
from app.supervision.engine_watch import EngineStatus, EngineWatch
from app.supervision.freezing import Freezing
from app.supervision.full_disk import FullDiskGuard
from app.supervision.host_alerts import DISK, ENGINE, WARDEN, HostAlerts
from app.supervision.orders import Orders
from app.supervision.owners import Owners
from app.supervision.queue import Queue
from app.supervision.reconcile import Reconciler
from app.supervision.recorder import Account, Recorder
from app.supervision.runtimes import Runtimes
from app.supervision.stop import StopLane, until_recorded
from app.supervision.stop_path import StopPath, StopProof
from app.supervision.stopping import Stopping
from app.supervision.usage_log import UsageLog
from app.supervision.warden_link import WardenLink
from app.supervision.workshop import Workshop
from app.task_standard import suites
from sandbox_runner.driver import Driver
from sandbox_runner.stop_file import StopFile

log = logging.getLogger(__name__)

#: Seconds a shutdown waits for what is still being recorded: a full disk must not keep a server from ending.
LAST_RECORDS = 3.0


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
        self._db = db
        self._settings = settings
        self._warden = warden
        self._stack = contextlib.AsyncExitStack()
        self._group = group = asyncio.TaskGroup()
        self._background: list[asyncio.Task[None]] = []

        self._host = HostAlerts(db=db, doorbell=doorbell, group=group)
        self._recorder = Recorder(
            db,
            doorbell,
            batch_seconds=settings.batch_seconds,
            patience_seconds=settings.patience_seconds,
            reserve_bytes=settings.disk_reserve_bytes,
        )
        self._usage = UsageLog(db, doorbell)
        self.runtimes = Runtimes(driver=driver, doorbell=doorbell, image=settings.base_image, instance=instance)
        self._disk = EngineDisk(driver, host=self._host, reserve_bytes=settings.engine_reserve_bytes)
        self._shop = shop = Workshop(
            driver=driver,
            db=db,
            settings=settings,
            doorbell=doorbell,
            recorder=self._recorder,
            usage=self._usage,
            instance=instance,
            runtimes=self.runtimes,
            disk=self._disk,
        )
        self._watch = EngineWatch(driver, self._engine_changed)
        latch = StopFile(settings.data)
        self._queue = queue = Queue(
            db=db,
            doorbell=doorbell,
            watch=self._watch,
            lives=shop.lives,
            hold=shop.held,
            slots=settings.slots,
            latch=latch,
        )
        self._lane = StopLane(
            driver=driver,
            db=db,
            doorbell=doorbell,
            instance=instance,
            folder=settings.data,
            second=None if warden is None else warden.strike,
        )
        self._reconciler = Reconciler(shop, self._lane)

        self._stopping = stopping = Stopping(shop=shop, lane=self._lane, queue=queue, warden=warden, group=group)
        freezing = Freezing(shop)
        self.stop, self.stop_evaluation, self.stop_all = stopping.stop, stopping.stop_evaluation, stopping.stop_all
        self.freeze, self.thaw, self.release = freezing.freeze, freezing.thaw, queue.release
        self._orders = Orders(
            lives=shop.lives, queue=queue, stopping=stopping, freezing=freezing, latch=latch, group=group
        )
        self._proof = StopProof(driver, warden, self._stop_path_tried)

        alerting = Alerting(db=db, doorbell=doorbell, group=group, hands=self)
        self._attendance = Attendance(db=db, doorbell=doorbell, group=group, hands=self, lives=shop.lives)
        self._guard = self._recorder.guard = FullDiskGuard(
            db=db,
            doorbell=doorbell,
            group=group,
            hands=self,
            lives=shop.lives,
            policy=settings.full_disk,
            host=self._host,
        )
        self._owners = Owners(shop=shop, queue=queue, reconciler=self._reconciler, alerting=alerting, group=group)

    async def __aenter__(self) -> Self:
        held = await self._queue.remember()
        await self._reconciler.remember()
        await self._stack.enter_async_context(self._group)
        if held is not None:
            self._stopping.stop_found(await self._reconciler.unasked(), reason=held)
        if self._recorder.has_room():
            self._host.well(DISK)
        for name, endless in (
            ("recorder", self._recorder.run()),
            ("usage", self._usage.run()),
            ("engine watch", self._watch.run()),
            ("queue", self._queue.run(self._owners.take)),
            ("engine disk", self._disk.run()),
            ("runtimes", self.runtimes.run()),
            ("reconcile", self._reconciler.run()),
            ("stop proof", self._proof.run()),
            ("stop file", self._orders.watch_file()),
            ("attendance", self._attendance.run()),
        ):
            self._background.append(self._group.create_task(endless, name=name))
        if self._warden is not None:
            orders = self._orders
            standing = self._warden.run(roster=orders.roster, on_order=orders.taken, on_death=self._warden_died)
            self._background.append(self._group.create_task(standing, name="warden"))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._queue.close()
        if self._settings.leave_running:
            self._owners.abandon()
        else:
            reason = StopReason(source=StopSource.SHUTDOWN, actor="server", text="the server was shut down")
            self._stopping.stop_each(list(self._shop.lives), kind=StopKind.STOP, reason=reason)
        if self._owners.at_work:
            await self._owners.gone()
            self._stopping.give_up()
        await self._stopping.ended(within=LAST_RECORDS)
        await self._lane.close()
        await self._stopping.answered(within=LAST_RECORDS)
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
        planned = await asyncio.to_thread(
            suites.plan, self._settings.suite_folders, request, runtime=self._settings.runtime
        )
        for runtime in {each.runtime for each in planned}:
            await self.runtimes.require(runtime)
        evaluation, queued = await runs.submit(self._db, request, planned, actor=actor, at=time.time())
        subject = f"evaluation {evaluation.id}"
        detail = f"{request.suite}: {len(queued)} run{'' if len(queued) == 1 else 's'}"
        await audit.append(
            self._db, at=time.time(), actor=actor, action="evaluation.submit", subject=subject, detail=detail
        )
        for run in queued:
            self.doorbell.ring(run.id)
        self._queue.changed()
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
        self._queue.changed()
        return new

    # -- asking how things are

    @property
    def engine(self) -> EngineStatus:
        return self._watch.status

    @property
    def stop_path(self) -> StopPath:
        """The last proof that a stop would reach the engine and the warden."""
        return self._proof.status

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

    # -- what comes and goes beside the runs: the engine, the warden

    async def _engine_changed(self, status: EngineStatus) -> None:
        log.log(logging.INFO if status.reachable else logging.ERROR, "engine: %s", status.text)
        if status.reachable:
            self._host.well(ENGINE)
        else:
            self._host.wrong(ENGINE, status.text)
        if status.reachable and not self._queue.opened:
            for found in await self._reconciler.at_start():
                self._owners.take(found.live, adopt=found)
                self._guard.adopted(found.live, self._recorder.has_room)
            self._queue.open()
        if status.reachable and status.engine is not None:
            self.runtimes.engine_came(status.engine)
        self._queue.changed()

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
