"""One run from start to the end of its work, read top to bottom. Stops come as cancellation; the owner cleans up.

build (once per family) → setup (root, committed) → agent (strict) → collect → scoring (root, fresh) → teardown
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain import honeytokens
from app.domain.alerts import Finding
from app.domain.errors import Broken, CrucibleError
from app.domain.events import (
    Event,
    FilesCollected,
    HoneytokensPlanted,
    LimitReached,
    Noted,
    OperationEnded,
    OutOfMemory,
    PhaseEntered,
    RunFroze,
    RunThawed,
    SandboxCrashed,
)
from app.domain.honeytokens import Honeytoken
from app.domain.runs import Outcome, Phase, RunState
from app.domain.scores import Score, ScoreStatus
from app.safety.watch import Watch
from app.store import events, runs
from app.store.output import StoredLine
from app.store.usage import UsagePoint
from app.supervision.causes import causes, full_home, refusals
from app.supervision.images import TaskImages
from app.supervision.live_run import Ending, LiveRun
from app.supervision.open_sandbox import JobOutcome, OpenSandbox, OutputLimitReached, SandboxEnded
from app.supervision.sightings import Sightings, see
from app.supervision.usage_watch import WallClock, watch_usage
from app.supervision.workshop import Workshop
from app.task_standard import operations
from app.task_standard.agents import Agent, agent_archive, load_agent
from app.task_standard.collected import Collected, CollectLimits
from app.task_standard.family import Family, find_family
from sandbox_runner.driver import Exit, Sandbox, SandboxError, SandboxGone
from sandbox_runner.spec import Job, Role

#: How a sandbox ended that nobody here ended: struck (the exit code says so), or gone before anybody could look.
KILLED, BY_OTHERS = 137, "its sandbox was ended by somebody else, for example by kill-all"
#: Job ids in the agent's sandbox are fixed, so that a restarted server knows what it finds. Those
#: from COLLECT on collect.
POPULATE, AGENT, COLLECT = 1, 2, 3

Found = Callable[[Finding], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run's work. `found` is told what the rules find; it must not block."""

    shop: Workshop
    images: TaskImages
    live: LiveRun
    found: Found

    async def from_the_start(self) -> Ending:
        """All of it. Whatever fails on our side ends the run `broken` with the reason."""
        try:
            family, agent = self._load()
            self.live.runtime = await self.shop.runtimes.resolve(self.live.run.runtime)
            image = await self.images.ensure(self.live.id, family)
            await self._became_running()
            setup_image = setup_image_of(self.shop.instance, self.live)
            await self._set_up(family, agent, image, setup_image)
            await self._phase(Phase.AGENT)
            watch = Watch(honeytokens=await self._honeytokens())
            async with self.shop.sandbox(self.live, Role.AGENT, setup_image, on_lines=self._on_lines(watch)) as box:
                ending, collected = await self._agent_phase(box, family, agent, watch)
            await self._score(family, setup_image, collected)
        except (CrucibleError, SandboxError, SandboxEnded) as error:
            return Ending(outcome=Outcome.BROKEN, detail=_sentence(error))
        return ending

    async def from_the_agent(self, sandbox: Sandbox) -> Ending:
        """After a restart: go on with an agent that went on without us."""
        try:
            family, agent = self._load()
            watch = Watch(honeytokens=await self._honeytokens())
            async with self.shop.opened(self.live, sandbox, on_lines=self._on_lines(watch)) as box:
                ending, collected = await self._agent_phase(box, family, agent, watch)
            await self.shop.end(self.live, sandbox)
            await self._score(family, setup_image_of(self.shop.instance, self.live), collected)
        except (CrucibleError, SandboxError, SandboxEnded) as error:
            return Ending(outcome=Outcome.BROKEN, detail=_sentence(error))
        return ending

    def _load(self) -> tuple[Family, Agent]:
        run, folders = self.live.run, self.shop.settings.suite_folders
        return find_family(folders, run.family), load_agent(folders, run.agent)

    async def _became_running(self) -> None:
        if self.live.run.state is RunState.RUNNING:
            return  # A server before this one had it running, and was gone before its agent began.
        moved = await runs.transition(self.shop.db, self.live.id, RunState.STARTING, RunState.RUNNING, at=time.time())
        if not moved:
            raise asyncio.CancelledError  # A stop was first; its lane says how the run ended.

    # -- setup

    async def _set_up(self, family: Family, agent: Agent, image: str, setup_image: str) -> None:
        """Make the image the agent starts from. Raises `Refused` when the task cannot be run here."""
        await self._phase(Phase.SETUP)
        task = self.live.run.task
        async with self.shop.sandbox(self.live, Role.SETUP, image) as box:
            outcome = await self._run(box, operations.setup_job(1, family, task))
            setup = operations.parse_setup(outcome.result, outcome.code)
            for note in operations.require_supported(family, task, setup):
                await events.append(self.shop.db, self.live.id, Noted(text=note), at=time.time())
            await runs.set_instructions(self.shop.db, self.live.id, setup.instructions)
            scaffolding = operations.unpack_job(2, destination=operations.SCAFFOLDING, uid=0, gid=0)
            await self._run_well(box, scaffolding, feed=agent_archive(agent))
            outcome = await self._run(box, operations.start_job(3, family, task))
            operations.parse_done("start", outcome.result, outcome.code)
            finish = operations.finish_setup_job(4, keep_owners=setup.keep_owners)
            await self._run_well(box, finish, feed=setup.instructions.encode())
            await self._lay_honeytokens(box)
            await self.shop.disk.save(box.sandbox, setup_image)

    async def _lay_honeytokens(self, box: OpenSandbox) -> None:
        if not (self.live.run.honeytokens and self.shop.settings.honeytokens):
            return
        tokens = honeytokens.fresh(secrets.token_bytes(128))
        outcome = await self._run(box, operations.plant_job(5), feed=operations.plant_input(tokens))
        laid_out = operations.parse_planted(outcome.result, tokens)
        planted = HoneytokensPlanted(tokens={token.place: token.value for token in laid_out})
        await events.append(self.shop.db, self.live.id, planted, at=time.time())

    async def _honeytokens(self) -> tuple[Honeytoken, ...]:
        """What was laid out for this run, as its record says; by its last setup, if there were several."""
        planted = [event for event in await self._events() if isinstance(event, HoneytokensPlanted)]
        return honeytokens.from_record(planted[-1].tokens) if planted else ()

    async def _run(self, box: OpenSandbox, job: Job, *, feed: bytes | None = None) -> JobOutcome:
        """An operation; its end is recorded, and judged by whoever reads its answer."""
        outcome = await box.run(job, feed=feed, within=self.shop.settings.operation_seconds)
        await self._ended(job, outcome)
        return outcome

    async def _run_well(self, box: OpenSandbox, job: Job, *, feed: bytes | None = None) -> None:
        """An operation that must end with 0."""
        outcome = await self._run(box, job, feed=feed)
        if outcome.code != 0:
            raise Broken(f"{job.name} ended with exit code {outcome.code} {outcome.reason}".strip())

    # -- agent

    async def _agent_phase(
        self, box: OpenSandbox, family: Family, agent: Agent, watch: Watch
    ) -> tuple[Ending, Collected | None]:
        """The agent's work, to its end or a limit, and what it leaves."""
        self.live.agent_sandbox = box.sandbox
        try:
            ending = await self._watched(box, agent, watch)
            if ending.outcome is not Outcome.LIMIT_EXCEEDED:
                return ending, await self._collect(box, watch)
            manifest = family.manifest_of(self.live.run.task)
            if manifest is None or not manifest.score_on_usage_limits:
                return ending, None
            return ending, await self._collect_at_limit(box, agent, watch)
        except SandboxEnded:
            return await self._ended_by_itself(box), None
        finally:
            self.live.agent_sandbox = None

    async def _watched(self, box: OpenSandbox, agent: Agent, watch: Watch) -> Ending:
        """Run the agent's job beside the watch over its use; whichever ends first decides."""
        reached: asyncio.Future[LimitReached] = asyncio.get_running_loop().create_future()
        sightings = await see(self.shop, self.live, watch, self.found)
        watching = asyncio.create_task(
            watch_usage(
                self.shop,
                self.live,
                box.sandbox,
                clock=WallClock(await self._worked()),
                on_point=lambda point: self._on_point(watch, point),
                on_limit=reached.set_result,
                on_reading=sightings.reading,
            ),
            name=f"run {self.live.id}: usage",
        )
        working = asyncio.create_task(self._work(box, agent, sightings), name=f"run {self.live.id}: agent")
        failing = asyncio.create_task(box.intake.failed.wait(), name=f"run {self.live.id}: storing")
        try:
            deciding: set[asyncio.Future[Any]] = {working, reached, failing}
            await asyncio.wait(deciding, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            if box.intake.failure is not None:
                raise box.intake.failure
            limit = reached.result()
            await events.append(self.shop.db, self.live.id, limit, at=time.time())
            used = f"{limit.limit}: used {limit.used:g} of {limit.allowed:g}"
            return Ending(
                outcome=Outcome.LIMIT_EXCEEDED, detail=full_home(limit) if limit.limit == "disk_bytes" else used
            )
        finally:
            for task in (working, watching, failing):
                task.cancel()
            await asyncio.gather(working, watching, failing, return_exceptions=True)
            await sightings.close(box.sandbox)

    async def _worked(self) -> float:
        """Seconds the agent worked before now: an adopted run has its clock go on, frozen times left out."""
        worked, since = 0.0, None
        for recorded in await events.read(self.shop.db, self.live.id, limit=100_000):
            match recorded.event:
                case PhaseEntered(phase=Phase.AGENT) | RunThawed():
                    since = recorded.at
                case RunFroze() if since is not None:
                    worked, since = worked + recorded.at - since, None
        return max(0.0, worked + (time.time() - since if since is not None else 0.0))

    async def _work(self, box: OpenSandbox, agent: Agent, sightings: Sightings) -> Ending:
        limit = self.live.run.limits.output_bytes
        await self._run_well(box, operations.populate_job(POPULATE))
        tokens = await self._honeytokens()
        await sightings.watch_gvisor(box.sandbox, tokens)
        sightings.watch_honeytokens(box.sandbox, tokens)
        job = operations.agent_job(AGENT, agent, env=self._agent_environment(tokens))
        stored = (await runs.get(self.shop.db, self.live.id)).bytes
        try:
            outcome = await box.run(job, output_limit=max(0, limit - stored), cut_is_error=True)
        except OutputLimitReached:
            reached = LimitReached(limit="output_bytes", allowed=limit, used=limit)
            await events.append(self.shop.db, self.live.id, reached, at=time.time())
            return Ending(outcome=Outcome.LIMIT_EXCEEDED, detail=f"output_bytes: printed more than {limit}")
        await self._ended(job, outcome)
        if outcome.code == 0:
            return Ending(outcome=Outcome.SUCCEEDED, detail="the agent ended by itself")
        told = await self._events()
        for event in await refusals(self.shop.driver, box.sandbox, self.live.run.limits, told):
            await events.append(self.shop.db, self.live.id, event, at=time.time())
            told.append(event)
        if any(isinstance(event, OutOfMemory) for event in told):
            return Ending(outcome=Outcome.LIMIT_EXCEEDED, detail=f"memory_bytes: exit code {outcome.code}")
        ended = f"the agent ended with exit code {outcome.code} {outcome.reason}".strip()
        return Ending(outcome=Outcome.FAILED, detail="; ".join((ended, *causes(told))))

    def _agent_environment(self, tokens: Sequence[Honeytoken]) -> dict[str, str]:
        run = self.live.run
        laid_out = {token.variable: token.value for token in tokens if token.variable is not None}
        return {
            **laid_out,
            "CRUCIBLE_RUN": str(run.id),
            "CRUCIBLE_TASK": run.task_id,
            "CRUCIBLE_MODEL": run.model or "",
        }

    async def _events(self) -> list[Event]:
        """All that the record of this run says so far."""
        return [recorded.event for recorded in await events.read(self.shop.db, self.live.id, limit=100_000)]

    async def _ended_by_itself(self, box: OpenSandbox) -> Ending:
        """The sandbox is gone and nobody here ended it: say what the engine knows."""
        away = "the container engine had gone away, and when it came back " if box.engine_away else ""
        try:
            ended = await self.shop.driver.wait(box.sandbox)
        except SandboxGone:
            return Ending(outcome=Outcome.LOST, detail=f"{away}its sandbox was gone" if away else BY_OTHERS)
        except SandboxError as error:
            return Ending(outcome=Outcome.LOST, detail=f"the sandbox disappeared: {_sentence(error)}")
        if ended.sandbox_crashed:
            return await self._crashed(box, ended)
        if ended.out_of_memory:
            return Ending(outcome=Outcome.LIMIT_EXCEEDED, detail="memory_bytes: the kernel ended the whole sandbox")
        if ended.code == KILLED and not away:  # seen before it was removed
            return Ending(outcome=Outcome.LOST, detail=BY_OTHERS)
        how = "the sandbox had ended" if away else "the sandbox ended without us"
        return Ending(outcome=Outcome.LOST, detail=f"{away}{how}, exit code {ended.code}")

    async def _crashed(self, box: OpenSandbox, ended: Exit) -> Ending:
        """Not the agent's end, and so no failure of its: the kernel below it fell over."""
        runtime = self.live.runtime
        crash = SandboxCrashed(role=box.sandbox.role, runtime=runtime, code=ended.code)
        await events.append(self.shop.db, self.live.id, crash, at=time.time())
        return Ending(
            outcome=Outcome.BROKEN,
            detail=f"sandbox crashed: {runtime}'s own kernel ended with code {ended.code}, not the agent; "
            "too many processes or too little memory do that",
        )

    async def _collect(self, box: OpenSandbox, watch: Watch) -> Collected:
        limits = CollectLimits(bytes=self.shop.settings.collect_bytes)
        tokens = await self._honeytokens()
        number = await self._number_to_collect(box)
        job = operations.collect_job(number, limits.bytes, limits.files, untouched=tokens)
        outcome = await box.run(job, result_limit=limits.bytes * 2, within=self.shop.settings.operation_seconds)
        await self._ended(job, outcome)
        collected = await asyncio.to_thread(operations.parse_collected, outcome.result, limits)
        counted = FilesCollected(files=collected.files, bytes=collected.bytes, left_out=collected.left_out)
        await events.append(self.shop.db, self.live.id, counted, at=time.time())
        await runs.set_submission(self.shop.db, self.live.id, collected.submission)
        for finding in await asyncio.to_thread(watch.leaked, collected.archive, "the files it left"):
            self.found(finding)
        return collected

    async def _number_to_collect(self, box: OpenSandbox) -> int:
        """Not one that is taken: a server that was killed while it collected took what it had heard with it."""
        last = max(box.jobs, default=0)
        if last < COLLECT:
            return COLLECT
        within = self.shop.settings.operation_seconds
        await box.cut(operations.collect_job(last, 0, 0), output_limit=0, within=within)
        return last + 1

    async def _collect_at_limit(self, box: OpenSandbox, agent: Agent, watch: Watch) -> Collected | None:
        """What a limit left unfinished, where the task wants it scored. None of the agent's works any more by then."""
        left = max(0, self.live.run.limits.output_bytes - box.intake.before - box.intake.bytes_taken)
        try:
            job = operations.agent_job(AGENT, agent, env={})
            await box.cut(job, output_limit=left, within=self.shop.settings.operation_seconds)
            return await self._collect(box, watch)
        except (Broken, SandboxEnded) as error:
            said = f"what the agent left at its limit could not be collected: {_sentence(error)}"
            await events.append(self.shop.db, self.live.id, Noted(text=said), at=time.time())
            return None

    # -- scoring

    async def _score(self, family: Family, setup_image: str, collected: Collected | None) -> None:
        """Score in a fresh sandbox what was collected, and tear down. A failed scoring is a fact, not a broken run."""
        if collected is None:
            nothing = Score(
                status=ScoreStatus.NOT_SCORED,
                explanation="a limit ended the run, and its task scores only what ends by itself",
            )
            await runs.set_score(self.shop.db, self.live.id, nothing, where="", at=time.time())
            return
        await self._phase(Phase.SCORING)
        task = self.live.run.task
        try:
            async with self.shop.sandbox(self.live, Role.SCORING, setup_image) as box:
                unpack = operations.unpack_job(1, destination="/home/agent", uid=1000, gid=1000)
                await self._run_well(box, unpack, feed=collected.archive)
                feed = operations.score_input(collected.submission)
                outcome = await self._run(box, operations.score_job(2, family, task), feed=feed)
                score = operations.parse_score(outcome.result, outcome.code)
                await runs.set_score(self.shop.db, self.live.id, score, where="collected", at=time.time())
                await self._phase(Phase.TEARDOWN)
                await self._run(box, operations.teardown_job(3, family, task))
        except (Broken, SandboxError, SandboxEnded) as error:
            run = await runs.get(self.shop.db, self.live.id)
            if run.score is None:
                failed = Score(status=ScoreStatus.FAILED, explanation=_sentence(error))
                await runs.set_score(self.shop.db, self.live.id, failed, where="collected", at=time.time())

    # -- small

    async def _phase(self, phase: Phase) -> None:
        await runs.enter_phase(self.shop.db, self.live.id, phase, at=time.time())
        self.shop.doorbell.ring(self.live.id)

    async def _ended(self, job: Job, outcome: JobOutcome) -> None:
        ended = OperationEnded(name=job.name, code=outcome.code, reason=outcome.reason)
        await events.append(self.shop.db, self.live.id, ended, at=time.time())
        self.shop.doorbell.ring(self.live.id)

    def _on_lines(self, watch: Watch) -> Callable[[Sequence[StoredLine]], None]:
        def look(lines: Sequence[StoredLine]) -> None:
            for finding in watch.lines(lines):
                self.found(finding)

        return look

    def _on_point(self, watch: Watch, point: UsagePoint) -> None:
        for finding in watch.usage(point, self.live.run.limits):
            self.found(finding)


def setup_image_of(instance: str, live: LiveRun) -> str:
    """The image a run's agent and scoring sandboxes start from; removed with the run. Other servers have runs 1 too."""
    return setup_images_of(instance, live)[-1]


def setup_images_of(instance: str, live: LiveRun) -> list[str]:
    """One for each try: an engine may end a commit long after the server that asked for it."""
    first = f"{prefix_of_images(instance)}{live.id}"
    return [first, *(f"{first}-{number}" for number in range(2, live.tries + 1))]


def prefix_of_images(instance: str) -> str:
    """How the names of all setup images of this server begin."""
    return f"crucible-run/{instance}:"


def run_of_image(reference: str) -> int | None:
    """Whose setup image it is, by its name."""
    number = reference.rpartition(":")[2].partition("-")[0]
    return int(number) if number.isdigit() else None


def _sentence(error: Exception) -> str:
    if isinstance(error, SandboxEnded):
        return "a sandbox of its own ended before its work was done"
    return str(error) or type(error).__name__
