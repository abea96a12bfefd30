"""Stops as they are asked for: of a run, of an evaluation, of everything. Each is answered with its receipt.

The kill itself is the stop lane's (`stop.py`), and is sent before anything is read or written.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from app.domain.runs import Outcome, RunState
from app.domain.stops import Receipt, StopKind, StopReason
from app.store import audit, runs, stops
from app.supervision.doorbell import Doorbell
from app.supervision.live_run import LiveRun, StopRequest
from app.supervision.queue import Queue
from app.supervision.stop import StopLane, until_recorded
from app.supervision.warden_link import Ordered, WardenLink
from app.supervision.workshop import Workshop
from sandbox_runner.last_look import share

log = logging.getLogger(__name__)

#: Seconds an answer to a stop waits for its receipt to be written; the kill is under way before.
RECEIPT_WAIT = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Press:
    """One press, whatever it ends: the receipts of all its runs are received in its moment."""

    received_at: float  #: unix seconds
    begun: float  #: the same moment, monotonic

    @classmethod
    def now(cls, ordered: Ordered | None = None) -> Press:
        """`ordered`: the warden received it, some seconds ago."""
        ago = 0.0 if ordered is None else ordered.ago
        return cls(time.time() - ago, time.monotonic() - ago)


class Stopping:
    """None waits for another's death, or for another's record; whoever asked may leave."""

    def __init__(
        self,
        *,
        shop: Workshop,
        lane: StopLane,
        queue: Queue,
        warden: WardenLink | None,
        group: asyncio.TaskGroup,
    ) -> None:
        self._shop = shop
        self._lane = lane
        self._queue = queue
        self._warden = warden
        self._group = group
        self._ending: set[asyncio.Task[None]] = set()  #: kills until their receipts are closed
        self._asked: set[asyncio.Task[Any]] = set()  #: what is answered beside the kills

    async def stop(
        self,
        run: int,
        *,
        kind: StopKind,
        reason: StopReason,
        wait: bool = False,
        ordered: Ordered | None = None,
        press: Press | None = None,
    ) -> Receipt:
        """Stop a run in whatever state it is. The kill is sent before anything is read or written.

        Answers the receipt; with `wait` when death is proven. `ordered`: the warden took it, and acts
        already. `press`: it ends more than this run. Idempotent: `changed` is False when another stop or the run's
        own end was first. Raises `NotFound`.
        """
        press = press or Press.now(ordered)
        live = self._under_way.get(run)
        if live is None:
            stopping = self._stop_not_live(run, kind, reason, press, wait)
            return await asyncio.shield(self._beside(stopping, name=f"run {run}: stop"))
        if live.stop is not None:
            return await self._stop_again(live, kind, reason, press, wait)
        request = _request(kind, reason, press, changed=not live.over)
        live.stop = request
        request.look_within = share(len(self._under_way))
        if ordered is None:
            within = request.look_within / max(1, len(live.sandboxes))
            looks = {name: self._shop.driver.last_look(box, within) for name, box in live.sandboxes.items()}
            request.witnessed.update(looks)
        else:
            request.order = ordered.order  # They are struck by now; the warden looked.
        if self._warden is not None:
            self._warden.strike(live.sandboxes.values())
        ending = self._group.create_task(self._lane.end(live, request), name=f"run {run}: stop")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return await _answer(live, request, wait)

    async def stop_evaluation(
        self, evaluation: int, *, kind: StopKind, reason: StopReason, wait: bool = False, ordered: Ordered | None = None
    ) -> list[Receipt]:
        """Stop all runs of an evaluation, and cancel those that wait. Raises `NotFound`, after the kills."""
        press = Press.now(ordered)
        self._queue.ending.add(evaluation)  # None of it leaves the queue from here on.
        try:
            lives = [run for run, live in self._under_way.items() if live.run.evaluation == evaluation]
            stopping = self.stop_each(lives, kind=kind, reason=reason, wait=wait, ordered=ordered, press=press)
            await runs.evaluation(self._shop.db, evaluation)
            receipts = [await task for task in stopping]
            queued = await runs.select(self._shop.db, evaluation=evaluation, states={RunState.QUEUED}, limit=10_000)
            receipts += [await self.stop(run.id, kind=kind, reason=reason, wait=wait, press=press) for run in queued]
        finally:
            self._queue.ending.discard(evaluation)
            self._queue.changed()
        self._audit_later("evaluation.stop", reason, f"evaluation {evaluation}")
        return receipts

    async def stop_all(
        self, *, reason: StopReason, wait: bool = False, ordered: Ordered | None = None
    ) -> list[Receipt]:
        """Emergency-stop everything that lives, cancel all that is queued, and hold the queue."""
        press, emergency = Press.now(ordered), StopKind.EMERGENCY
        self._queue.hold_now(reason, at=press.received_at)
        lives = list(self._under_way)
        stopping = self.stop_each(lives, kind=emergency, reason=reason, wait=wait, ordered=ordered, press=press)
        await asyncio.sleep(0)  # The kills are under way; what follows is beside them.
        await self._queue.record_hold(reason, at=press.received_at)
        receipts = [await task for task in stopping]
        queued = await runs.select(self._shop.db, states={RunState.QUEUED}, limit=10_000)
        receipts += [await self.stop(run.id, kind=emergency, reason=reason, wait=wait, press=press) for run in queued]
        self._audit_later("stop_all", reason, f"{len(receipts)} runs")
        self._shop.doorbell.ring(Doorbell.HOUSE)
        return receipts

    def stop_under_way(self, *, kind: StopKind, reason: StopReason, ordered: Ordered | None = None) -> None:
        """All that lives; the queue is left as it is, and nobody waits."""
        self.stop_each(list(self._under_way), kind=kind, reason=reason, ordered=ordered)

    def stop_found(self, lives: Sequence[int], *, reason: StopReason) -> None:
        """What an earlier server left to one that starts under a hold: as STOP ALL does, and nobody waits."""
        if lives:
            self.stop_each(lives, kind=StopKind.EMERGENCY, reason=reason)
            self._audit_later("stop_all", reason, f"{len(lives)} runs, found under the hold")

    def stop_each(
        self,
        lives: Sequence[int],
        *,
        kind: StopKind,
        reason: StopReason,
        wait: bool = False,
        ordered: Ordered | None = None,
        press: Press | None = None,
    ) -> list[asyncio.Task[Receipt]]:
        """All at once, each in a task of its own."""
        press = press or Press.now(ordered)
        return [
            self._beside(
                self.stop(run, kind=kind, reason=reason, wait=wait, ordered=ordered, press=press),
                name=f"run {run}: stop of many",
            )
            for run in lives
        ]

    def give_up(self) -> None:
        """A shutdown waits no longer: what is not proven dead is left to its keeper."""
        for task in self._ending:
            task.cancel()

    async def ended(self, within: float) -> None:
        """Wait for the kills of what has no owner; after `within` seconds it is left to its keeper and its receipt."""
        if self._ending:
            await asyncio.wait(set(self._ending), timeout=within)
        self.give_up()

    async def answered(self, within: float) -> None:
        """Wait for what is answered beside the kills; after `within` seconds it is given up."""
        if self._asked:
            _, late = await asyncio.wait(set(self._asked), timeout=within)
            for task in late:
                task.cancel()

    @property
    def _under_way(self) -> Mapping[int, LiveRun]:
        """Every run that may have a sandbox: those with an owner, and those that an earlier server left."""
        return {**self._shop.ownerless, **self._shop.lives}

    async def _stop_not_live(self, run: int, kind: StopKind, reason: StopReason, press: Press, wait: bool) -> Receipt:
        """Queued or ended, as far as is known: cancel it, or prove that the engine has nothing of it."""
        db = self._shop.db
        cancelled = (await runs.get(db, run)).state is RunState.QUEUED and await runs.transition(
            db,
            run,
            RunState.QUEUED,
            RunState.ENDED,
            at=time.time(),
            outcome=Outcome.CANCELLED,
            detail=f"cancelled in the queue by {reason.source.value} {reason.actor}",
        )
        recorded = await runs.get(db, run)
        if run in self._shop.lives:  # It was taken from the queue in this very moment.
            return await self.stop(run, kind=kind, reason=reason, wait=wait, press=press)
        if recorded.state is not RunState.ENDED:  # It lives, and its owner has left it to its keeper.
            self._shop.ownerless.setdefault(run, LiveRun(run=recorded, known=False))
            return await self.stop(run, kind=kind, reason=reason, wait=wait, press=press)
        receipt = await stops.record(db, run, kind, reason, received_at=press.received_at, changed=cancelled)
        if cancelled:
            return await self._closed(receipt, press.begun)
        proving = self._beside(self._prove_gone(receipt, press.begun), name=f"run {run}: proof")
        await asyncio.wait({proving}, timeout=None if wait else RECEIPT_WAIT)
        return proving.result() if proving.done() else receipt

    async def _prove_gone(self, receipt: Receipt, begun: float) -> Receipt:
        """Nothing is said of an ended run before the engine was asked, however long it is away."""
        await self._lane.sweep(receipt.run)
        return await self._closed(receipt, begun)

    async def _closed(self, receipt: Receipt, begun: float) -> Receipt:
        """With its marks, both of now: nothing had to be struck."""
        dead = round((time.monotonic() - begun) * 1000, 1)
        closed = await until_recorded(
            lambda: stops.verified(self._shop.db, receipt.id, acted_ms=dead, dead_ms=dead, at=time.time())
        )
        self._shop.doorbell.ring(receipt.run)
        self._queue.changed()
        return closed

    async def _stop_again(self, live: LiveRun, kind: StopKind, reason: StopReason, press: Press, wait: bool) -> Receipt:
        """Another stop is under way: record that this one was pressed too, and let it share the death."""
        again = _request(kind, reason, press, changed=False)
        self._beside(self._share(live, again), name=f"run {live.id}: stop again")
        return await _answer(live, again, wait)

    async def _share(self, live: LiveRun, again: StopRequest) -> None:
        db = self._shop.db
        receipt = again.receipt = await until_recorded(
            lambda: stops.record(db, live.id, again.kind, again.reason, received_at=again.received_at, changed=False)
        )
        again.recorded.set()
        await live.dead.wait()
        elapsed = round((time.monotonic() - again.begun) * 1000, 1)
        again.receipt = await until_recorded(
            lambda: stops.verified(db, receipt.id, acted_ms=0.0, dead_ms=elapsed, at=time.time())
        )
        again.acted_ms, again.dead_ms = 0.0, elapsed
        again.closed.set()

    def _beside(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Goes on when whoever asked has left; its failure is for whoever waits, and ends nothing else."""
        task = asyncio.create_task(work, name=name)
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        task.add_done_callback(_say_failure)
        return task

    def _audit_later(self, action: str, reason: StopReason, subject: str) -> None:
        """A stop never waits for the audit."""

        async def write() -> None:
            await until_recorded(
                lambda: audit.append(
                    self._shop.db,
                    at=time.time(),
                    actor=reason.actor,
                    action=action,
                    subject=subject,
                    detail=reason.text,
                )
            )

        self._group.create_task(write(), name=f"audit {action}")


def _say_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s: %s", task.get_name(), error)


def _request(kind: StopKind, reason: StopReason, press: Press, *, changed: bool) -> StopRequest:
    return StopRequest(kind=kind, reason=reason, received_at=press.received_at, begun=press.begun, changed=changed)


async def _answer(live: LiveRun, request: StopRequest, wait: bool) -> Receipt:
    """The receipt as it is soon; with `wait` when death is proven."""
    if wait:
        await live.dead.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RECEIPT_WAIT):
            await (request.closed if wait else request.recorded).wait()
    return _receipt_of(live.id, request)


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
