"""What exists by label against what the records say: adopt what can go on, begin anew what had hardly begun, end the
rest."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace

from app.domain.errors import CrucibleError, NotFound
from app.domain.events import RunAdopted, RunBegunAnew, RunFroze
from app.domain.runs import LIVE_STATES, Outcome, Phase, Run, RunState
from app.domain.stops import Receipt
from app.store import events, output, runs, stops
from app.supervision.attempt import Attempt, prefix_of_images, run_of_image, setup_image_of
from app.supervision.data_folder import started_anew
from app.supervision.earlier_end import EarlierEnd, earlier_end, proven_ends
from app.supervision.live_run import Ending, LiveRun, stopped
from app.supervision.stop import StopLane, until_recorded
from app.supervision.warden_told import carried_out
from app.supervision.workshop import Workshop
from sandbox_runner import warden_journal
from sandbox_runner.driver import (
    ASKED,
    STRUCK,
    EngineUnreachable,
    NotAttested,
    Sandbox,
    SandboxError,
    SandboxGone,
)
from sandbox_runner.spec import Role
from sandbox_runner.warden_journal import Entry

log = logging.getLogger(__name__)

#: Seconds between looks for containers nobody owns, and the age that spares one that is just being made.
TURN, YOUNG = 30.0, 30.0
#: Times a run is begun, all in all: a task that has servers die is not to go on doing so.
MOST_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A run that was live when the last server ended.

    With `agent` its agent still works. With `anew` (why) it can be begun again, since nothing of its agent had run.
    Else it is over; `over` is also the end of what cannot be begun after all. `earlier`: when it had ended by itself or
    by others; None: this server ends it now.
    """

    live: LiveRun
    agent: Sandbox | None = None
    anew: str = ""
    over: Ending | None = None
    earlier: EarlierEnd | None = None

    def go_on(self, attempt: Attempt) -> Coroutine[None, None, Ending]:
        if self.agent is not None:
            return attempt.from_the_agent(self.agent)
        return attempt.from_the_start() if self.anew else _over(self.over)


class Reconciler:
    """`remember` before anything else; `at_start` once the engine answers; `run` for ever after."""

    def __init__(self, shop: Workshop, lane: StopLane) -> None:
        self._shop = shop
        self._lane = lane
        self._started_anew = False  #: the machine was, since the last server
        self._journal: list[Entry] = []

    async def remember(self) -> None:
        """Every run the record calls live can be stopped from the first moment, whether or not the engine answers."""
        for run in await self._recorded():
            self._shop.ownerless[run.id] = LiveRun(run=run, known=False)

    async def unasked(self) -> list[int]:
        """Runs of an earlier server that no receipt and no order of a warden ends already."""
        left = self._shop.ownerless
        self._journal = await asyncio.to_thread(warden_journal.read, self._shop.settings.data)
        asked = await stops.of_runs(self._shop.db, left)
        return [run for run, live in left.items() if run not in asked and self._ended_meanwhile(live.run) is None]

    async def at_start(self) -> list[Found]:
        """Every run the record calls live, with what the engine still has of it. What nobody needs is ended here."""
        self._started_anew = self._started_anew or started_anew(self._shop.settings.data)
        self._journal = await asyncio.to_thread(warden_journal.read, self._shop.settings.data)
        owned: dict[int, list[Sandbox]] = {}
        for sandbox in await self._shop.driver.list_owned(self._shop.instance):
            owned.setdefault(int(sandbox.run) if sandbox.run.isdigit() else 0, []).append(sandbox)
        recorded = await self._recorded()
        found = [await self._found(run, owned.pop(run.id, [])) for run in recorded]
        for strays in owned.values():
            for sandbox in strays:
                log.warning("ending a container nobody owns: run %s, %s", sandbox.run, sandbox.role)
                await self._lane.end_stray(sandbox)
        for run in {receipt.run for receipt in await stops.unproven(self._shop.db)} - {run.id for run in recorded}:
            await self.prove_earlier_stops(run)
        return found

    async def _recorded(self) -> list[Run]:
        begun = LIVE_STATES - {RunState.QUEUED}
        return await runs.select(self._shop.db, states=begun, limit=10_000, oldest_first=True)

    def _ended_meanwhile(self, run: Run) -> Entry | None:
        """The first order since the run's start by which the warden was to end it, while no server could record it."""
        since = run.created_at if run.started_at is None else run.started_at
        return next(
            (each for each in self._journal if each.received_at >= since and each.meant(run.id, run.evaluation)), None
        )

    async def _receipt_of(self, live: LiveRun, entry: Entry) -> Receipt:
        """The receipt that nobody was there to write; with its marks where the warden proved that all is gone."""
        request = carried_out(live.id, entry)
        receipt = request.receipt = await until_recorded(
            lambda: stops.record(
                self._shop.db, live.id, request.kind, request.reason, received_at=request.received_at, changed=True
            )
        )
        if request.dead_ms is not None and not live.sandboxes:
            dead_ms = request.dead_ms
            receipt = await until_recorded(
                lambda: stops.verified(
                    self._shop.db,
                    receipt.id,
                    acted_ms=request.acted_ms,
                    dead_ms=dead_ms,
                    at=request.received_at + dead_ms / 1000,
                    steps=request.steps,
                )
            )
        self._lane.seal(live, request)
        return receipt

    async def prove_earlier_stops(self, run: int) -> None:
        """Give the receipts of a server before this one their proof. Nothing of the run may be left."""
        for receipt in await until_recorded(lambda: stops.of_run(self._shop.db, run)):
            if receipt.dead_ms is None:
                now = time.time()
                await until_recorded(lambda receipt=receipt, now=now: self._proven(receipt, now))  # type: ignore[misc]

    async def _proven(self, receipt: Receipt, now: float) -> None:
        dead_ms = round(max(0.0, now - receipt.received_at) * 1000, 1)
        await stops.verified(self._shop.db, receipt.id, acted_ms=receipt.acted_ms, dead_ms=dead_ms, at=now)

    async def _found(self, run: Run, sandboxes: list[Sandbox]) -> Found:
        found = await self._as_found(run, sandboxes)
        return found if found.agent is not None else replace(found, earlier=await self._earlier_end(found.live))

    async def _earlier_end(self, live: LiveRun) -> EarlierEnd | None:
        until, stop = time.time(), live.stop
        if stop is None:
            proven = proven_ends(await stops.of_run(self._shop.db, live.id))
        elif any(step.name in {STRUCK, ASKED} for step in stop.steps):
            return None
        else:  # Its own marks are of now; a warden may have ended the run before it was pressed here.
            until, proven = stop.received_at, self._wardens_end(live.run)
        # An engine that comes up with its machine calls that the end of what it finds.
        left = [] if self._started_anew else list(live.sandboxes.values())
        return await earlier_end(
            self._shop.db,
            self._shop.driver,
            live.run,
            left,
            proven=proven,
            told=await events.read(self._shop.db, live.id, limit=100_000),
            until=until,
        )

    def _wardens_end(self, run: Run) -> list[float]:
        """When a warden had ended it, as its journal tells."""
        entry = self._ended_meanwhile(run)
        dead_ms = None if entry is None else carried_out(run.id, entry).dead_ms
        return [] if entry is None or dead_ms is None else [entry.received_at + dead_ms / 1000]

    async def _as_found(self, run: Run, sandboxes: list[Sandbox]) -> Found:
        live = self._shop.ownerless.setdefault(run.id, LiveRun(run=run))
        live.run, live.known = run, True
        live.sandboxes.update({sandbox.id: sandbox for sandbox in sandboxes})
        told = await events.read(self._shop.db, run.id, limit=100_000)
        live.tries = 1 + sum(isinstance(each.event, RunBegunAnew) for each in told)
        asked = await stops.of_run(self._shop.db, run.id)
        if live.stop is None and not asked and (entry := self._ended_meanwhile(run)) is not None:
            asked = [await self._receipt_of(live, entry)]
        if live.stop is not None:
            return Found(live=live, over=live.stop.ending)
        if asked:  # A stop that was received is carried out, whoever was killed in between.
            first = next((receipt for receipt in asked if receipt.changed), asked[0])
            return Found(live=live, over=stopped(first.kind, first.reason))
        agent = next((each for each in sandboxes if each.role == Role.AGENT.value), None)
        at_work = run.phase is Phase.AGENT and run.state in {RunState.RUNNING, RunState.FROZEN}
        if at_work and agent is not None and await self._alive(agent):
            try:
                await self._attest(live, agent)
            except NotAttested as error:
                await self._shop.refused(live, agent.role, error)
                return Found(live=live, over=Ending(outcome=Outcome.BROKEN, detail=str(error)))
            except SandboxGone:
                return Found(live=live, over=_what_happened(run, agent, started_anew=self._started_anew))
            await self._as_it_stands(live, agent)
            if live.stop is not None:  # It came meanwhile, and strikes already.
                return Found(live=live, over=live.stop.ending)
            live.agent_sandbox = agent
            where = await output.position(self._shop.db, run.id, agent.id)
            adopted = RunAdopted(sandbox=agent.id, resumed_at=where.offset)
            await events.append(self._shop.db, run.id, adopted, at=time.time())
            return Found(live=live, agent=agent)
        over = _what_happened(run, agent, started_anew=self._started_anew)
        if agent is None and _before_its_agent(run):
            if live.tries < MOST_TRIES:
                return Found(live=live, anew=_interrupted(run, started_anew=self._started_anew), over=over)
            over = replace(over, detail=f"{over.detail}; it was begun {live.tries} times")
        return Found(live=live, over=over)

    async def _as_it_stands(self, live: LiveRun, agent: Sandbox) -> None:
        """What is frozen stays so until a person decides; the record, which may lack the last press, is made true."""
        recorded = live.run.state is RunState.FROZEN
        try:
            frozen = await self._shop.driver.frozen(agent)
            if recorded and not frozen:
                await self._shop.driver.freeze(agent)
                frozen = True
        except SandboxError as error:
            log.error("run %d: could not be frozen as it was: %s", live.id, error)
            frozen = False
        by = await self._frozen_by(live.id) if recorded else "server"
        if frozen and not recorded:
            text = "found standing still after a restart"
            await runs.record_freeze(self._shop.db, live.id, actor=by, text=text, at=time.time())
        elif recorded and not frozen:
            await runs.record_thaw(self._shop.db, live.id, actor="server", at=time.time())
        if frozen:
            live.thawed.clear()
            live.frozen_by = by

    async def _frozen_by(self, run: int) -> str:
        told = await events.read(self._shop.db, run, limit=100_000)
        return next((each.event.actor for each in reversed(told) if isinstance(each.event, RunFroze)), "")

    async def _attest(self, live: LiveRun, agent: Sandbox) -> None:
        """What is adopted must be what was started, in every field. Raises `NotAttested`."""
        facts = live.run.sandbox
        live.runtime = facts.runtime if facts is not None else live.runtime
        deadline = facts.deadline if facts is not None else None
        image = setup_image_of(self._shop.instance, live)
        spec = self._shop.spec(live, Role.AGENT, image, deadline=deadline)
        while True:
            try:
                await self._shop.driver.attest(agent, spec)
                return
            except EngineUnreachable as error:  # It went away again; until it is back nothing can be adopted or ended.
                log.warning("run %d waits to be adopted: %s", live.id, error)
                await asyncio.sleep(0.5)

    async def _alive(self, sandbox: Sandbox) -> bool:
        try:
            return await self._shop.driver.alive(sandbox)
        except SandboxError:
            return False

    async def run(self) -> None:
        """End containers of this instance whose run nobody has: a create whose answer was lost, a forgotten one."""
        while True:
            await asyncio.sleep(TURN)
            try:
                for sandbox in await self._shop.driver.list_owned(self._shop.instance):
                    known = sandbox.run.isdigit() and int(sandbox.run) in {*self._shop.lives, *self._shop.ownerless}
                    if not known and time.time() - sandbox.started_at > YOUNG:
                        log.warning("ending a container nobody owns: run %s, %s", sandbox.run, sandbox.role)
                        await self._lane.end_stray(sandbox)
                await self.remove_images_of_ended_runs()
            except (SandboxError, CrucibleError) as error:
                log.warning("could not reconcile: %s", error)

    async def remove_images_of_ended_runs(self) -> None:
        """An engine makes to its end what a stop came into the middle of; nobody uses that any more."""
        for reference in await self._shop.driver.list_images(prefix_of_images(self._shop.instance)):
            run = run_of_image(reference)
            if run is None or run in self._shop.lives:
                continue
            try:
                ended = (await runs.get(self._shop.db, run)).state is RunState.ENDED
            except NotFound:
                ended = True  # Its record was removed, and the image was left.
            if ended:
                log.warning("removing an image of an ended run: %s", reference)
                await self._shop.driver.remove_image(reference)


def _what_happened(run: Run, agent: Sandbox | None, *, started_anew: bool) -> Ending:
    if run.state is RunState.STOPPING:
        return Ending(outcome=Outcome.STOPPED, detail="the server ended while it was being stopped")
    if run.phase is Phase.AGENT and started_anew:
        return Ending(outcome=Outcome.LOST, detail="the machine was started anew, and its sandbox ended with that")
    if run.phase is Phase.AGENT:
        kept = "its sandbox had ended" if agent is not None else "its sandbox was gone"
        return Ending(outcome=Outcome.LOST, detail=f"the server was away for longer than the grace; {kept}")
    return Ending(outcome=Outcome.BROKEN, detail=f"{_interrupted(run, started_anew=started_anew)}; run it again")


def _interrupted(run: Run, *, started_anew: bool) -> str:
    phase = run.phase.value if run.phase is not None else "start"
    what = "the machine was started anew" if started_anew else "the server ended"
    return f"{what} during its {phase}"


def _before_its_agent(run: Run) -> bool:
    """Whether nothing of its agent can have run, as the record says: that is written before the agent's sandbox is."""
    at_work = run.state in {RunState.STARTING, RunState.RUNNING}
    return at_work and run.phase in {None, Phase.BUILD, Phase.SETUP}


async def _over(ending: Ending | None) -> Ending:
    assert ending is not None
    return ending
