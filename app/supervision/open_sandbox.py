"""A sandbox in use: jobs run one after another over its relay, reconnecting while the sandbox lives."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import signal
import time
from collections import deque
from collections.abc import AsyncGenerator, Collection, Iterator
from dataclasses import dataclass, field
from typing import Self

from app.domain.errors import Broken, CrucibleError
from app.domain.events import OutputCounted, OutputLost, RelayReconnected
from app.store import events, runs
from app.store.database import Database
from app.supervision.live_run import LiveRun
from app.supervision.recorder import Account, Intake, LinesSeen, Recorder
from sandbox_runner.driver import (
    Driver,
    EngineUnreachable,
    JobEnded,
    JobStarted,
    OutputChunk,
    Relay,
    Relayed,
    RelayLost,
    Sandbox,
    SandboxError,
    SandboxGone,
    Stream,
)
from sandbox_runner.spec import Job

log = logging.getLogger(__name__)

#: Lines that are numbered before everybody else has a turn: some milliseconds.
MOST_LINES_AT_ONCE = 1024

#: Pieces of output, however small, that are taken before everybody else has a turn.
MOST_PIECES_AT_ONCE = 128

#: Bytes of a root operation's output that are stored; the rest is counted as lost.
OPERATION_OUTPUT = 1024 * 1024
FEED_PIECE = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutcome:
    """How a job ended, with what it wrote on its result pipe (cut at the asked size)."""

    code: int
    reason: str
    result: bytes
    result_cut: bool


class SandboxEnded(Exception):
    """The sandbox is not there any more, though nobody here ended it."""


class OutputLimitReached(Exception):
    """The job printed more than it may."""


@dataclass(slots=True, kw_only=True)
class OpenSandbox:
    """Made by `open_sandbox`; an async context manager. Leaving it stores what was taken, and ends nothing."""

    sandbox: Sandbox
    live: LiveRun
    driver: Driver
    recorder: Recorder
    db: Database
    intake: Intake
    grace_seconds: float
    engine_away: bool = False  #: the engine did not answer for a while, with the relay gone
    _relay: Relay | None = None
    _ended: set[int] = field(default_factory=set)  #: jobs whose end was taken
    _pieces: deque[Relayed] = field(default_factory=deque)  #: of what came last, those not yet listened to
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._stack.aclose()
        account = self.intake.account()
        try:
            await self.recorder.close(self.intake, hurried=kind is not None, goes_on=self.live.abandoned)
        except (CrucibleError, asyncio.CancelledError):
            self.live.lost_bytes += self.intake.bytes_waiting
            raise
        finally:
            self.live.intake = None
        if not self.live.abandoned:
            with contextlib.suppress(CrucibleError):  # The run's end says what could not be recorded.
                await self._count(account)

    async def _count(self, account: Account) -> None:
        """Hold what the keeper printed against what is stored, for the record; what it did not relay is lost."""
        await self._note_loss(account.cut, "printed beyond a limit")
        if account.printed == self.intake.before:
            return
        unrelayed = max(0, self.intake.produced - self.intake.offset)
        await self._note_loss(unrelayed, "printed just before its sandbox ended, and not relayed any more")
        stored = (await runs.get(self.db, self.live.id)).bytes
        counted = OutputCounted(printed=account.printed - unrelayed, stored=stored)
        await events.append(self.db, self.live.id, counted, at=time.time())

    async def run(
        self,
        job: Job,
        *,
        feed: bytes | None = None,
        result_limit: int = 1024 * 1024,
        output_limit: int = OPERATION_OUTPUT,
        cut_is_error: bool = False,
        within: float | None = None,
    ) -> JobOutcome:
        """Run one job to its end. A job the keeper already knows (after an adoption) is not started again.

        Raises `Broken` when it takes longer than `within`, `OutputLimitReached` when `cut_is_error` and it prints more
        than `output_limit`, `SandboxEnded` when the sandbox is gone.
        """
        relay = self._require()
        if self._over(job.id):
            return JobOutcome(code=relay.state.jobs[job.id] or 0, reason="", result=b"", result_cut=False)
        try:
            async with asyncio.timeout(within), asyncio.TaskGroup() as group:
                if job.id not in relay.state.jobs:
                    await relay.run(job)
                feeding = (
                    group.create_task(self._feed(job.id, feed), name=f"run {self.live.id}: feed {job.name}")
                    if feed is not None
                    else None
                )
                outcome = await self._listen(job, result_limit, output_limit, cut_is_error)
                if feeding is not None:
                    feeding.cancel()  # A job that ended reads no more.
            return outcome
        except TimeoutError:
            raise Broken(f"{job.name} took longer than {within:.0f} s") from None
        except BaseExceptionGroup as group_error:
            raise _first(group_error) from group_error

    @property
    def jobs(self) -> Collection[int]:
        """Those the keeper knew when it was connected to."""
        return self._require().state.jobs

    async def cut(self, job: Job, *, output_limit: int, within: float) -> None:
        """End a job that may do no more. What it had printed is stored up to `output_limit`; the rest is counted.

        Raises `Broken` when it does not end `within` so many seconds, `SandboxEnded` when the sandbox is gone.
        """
        if job.id in self._ended or self._over(job.id):
            return
        try:
            async with asyncio.timeout(within):
                await self._require().signal(job.id, signal.SIGKILL)
                await self._listen(job, 0, output_limit, cut_is_error=False)
        except TimeoutError:
            raise Broken(f"{job.name} did not end within {within:.0f} s of its limit") from None
        except SandboxError as error:
            raise Broken(f"{job.name} could not be ended at its limit: {error}") from error

    def _over(self, job: int) -> bool:
        """Whether the job ended before this relay was opened and its end was already taken."""
        state = self._require().state
        if state.jobs.get(job) is None:
            return False
        return state.produced <= self.intake.stored or max(state.jobs) > job

    def _require(self) -> Relay:
        if self._relay is None:
            raise RelayLost("the relay is not open")
        return self._relay

    async def _feed(self, job: int, data: bytes) -> None:
        relay = self._require()
        for start in range(0, len(data), FEED_PIECE):
            await relay.feed(job, data[start : start + FEED_PIECE])
        await relay.feed(job, b"")

    async def _listen(self, job: Job, result_limit: int, output_limit: int, cut_is_error: bool) -> JobOutcome:
        result = bytearray()
        cut = False
        lost = 0
        begun_with = self.intake.bytes_taken
        async with contextlib.aclosing(self._relayed()) as all_relayed:
            async for relayed in all_relayed:
                room = output_limit - (self.intake.bytes_taken - begun_with)
                match relayed:
                    case OutputChunk(stream=Stream.RESULT):
                        space = result_limit - len(result)
                        cut = cut or len(relayed.data) > space
                        result += relayed.data[:space]
                        self._take(relayed, keep=False)
                    case OutputChunk():
                        keep = len(relayed.data) <= room
                        lost += 0 if keep else len(relayed.data)
                        self._take(relayed, keep=keep)
                        if not keep and cut_is_error:
                            await self._note_loss(lost, "output limit")
                            raise OutputLimitReached
                    case JobStarted():
                        self._take(relayed, keep=False)
                    case JobEnded(job=ended):
                        self._ended.add(ended)
                        self.intake.flush()
                        self._take(relayed, keep=False)
                        if ended == job.id:
                            await self._note_loss(lost, f"{job.name} printed more than {output_limit} bytes")
                            await self._stored()
                            return JobOutcome(
                                code=relayed.code, reason=relayed.reason, result=bytes(result), result_cut=cut
                            )
        raise AssertionError("an endless iteration ended")

    def _take(self, relayed: Relayed, *, keep: bool) -> None:
        self.intake.take(relayed, keep=keep)
        self.recorder.wake()

    async def _stored(self) -> None:
        """Until its last line is stored, or cannot be: what is recorded of a job's end names that line."""
        if self.intake.waiting and self.intake.failure is None:
            await self.intake.settled.wait()

    async def _note_loss(self, lost: int, why: str) -> None:
        if lost:
            await events.append(self.db, self.live.id, OutputLost(bytes=lost, why=why), at=time.time())
            self.intake.noted += lost

    async def _relayed(self) -> AsyncGenerator[Relayed, None]:
        """What the keeper relays, each byte once, over as many connections as it takes."""
        came = 0
        while True:
            try:
                relay = aiter(self._require())
                while True:
                    while self._pieces:
                        yield self._pieces.popleft()
                        came += 1
                        # Here, and nowhere where what came could be dropped.
                        await self.intake.room.wait()
                        if self._pieces or came % MOST_PIECES_AT_ONCE == 0:
                            await asyncio.sleep(0)  # Lines are costly, and a stop may be waiting for its turn.
                    self._pieces.extend(in_turns(await anext(relay)))
            except RelayLost as lost:
                log.info("run %d: relay lost: %s", self.live.id, lost)
            await self._reconnect()

    async def _connect(self) -> None:
        await self.live.thawed.wait()  # A frozen keeper cannot answer.
        relay = await self._stack.enter_async_context(self.driver.relay(self.sandbox, acknowledged=self.intake.stored))
        self._relay = relay
        self.intake.connected(relay)

    async def _reconnect(self) -> None:
        """Until the keeper answers again, or its sandbox is known to have ended."""
        self.intake.relay = None
        self._relay = None
        await self._stack.aclose()
        await self._settle()
        until = time.monotonic() + self.grace_seconds + 10.0
        while True:
            if await self._is_over():
                raise SandboxEnded
            try:
                await self._connect()
            except SandboxGone:
                raise SandboxEnded from None
            except SandboxError as error:
                self.engine_away = self.engine_away or isinstance(error, EngineUnreachable)
                if time.monotonic() > until:
                    raise SandboxEnded from error
                await asyncio.sleep(0.5)
            else:
                note = RelayReconnected(resumed_at=self.intake.stored)
                await events.append(self.db, self.live.id, note, at=time.time())
                return

    async def _settle(self) -> None:
        """Wait until all that was taken is stored: the next connection resumes exactly there."""
        while self.intake.waiting:
            if self.intake.failure is not None:
                raise self.intake.failure
            self.intake.settled.clear()
            self.recorder.wake()
            await self.intake.settled.wait()

    async def _is_over(self) -> bool:
        try:
            return not await self.driver.alive(self.sandbox)
        except EngineUnreachable:
            self.engine_away = True
            return False
        except SandboxError:
            return True


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error that ended a group of ours; the others are its consequences."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def open_sandbox(
    sandbox: Sandbox,
    *,
    live: LiveRun,
    driver: Driver,
    recorder: Recorder,
    db: Database,
    grace_seconds: float,
    on_lines: LinesSeen | None = None,
) -> OpenSandbox:
    """Prepare to work in a started sandbox, going on where the store stands."""
    intake = live.intake = await recorder.open(live.id, sandbox.id, on_lines=on_lines)
    return OpenSandbox(
        sandbox=sandbox,
        live=live,
        driver=driver,
        recorder=recorder,
        db=db,
        intake=intake,
        grace_seconds=grace_seconds,
    )


def in_turns(relayed: Relayed) -> Iterator[Relayed]:
    """As it is, or in pieces when it holds so many lines that numbering them would hold up the event loop."""
    if not isinstance(relayed, OutputChunk) or relayed.data.count(b"\n") <= MOST_LINES_AT_ONCE:
        yield relayed
        return
    for start in range(0, len(relayed.data), MOST_LINES_AT_ONCE):
        piece = relayed.data[start : start + MOST_LINES_AT_ONCE]
        yield dataclasses.replace(relayed, offset=relayed.offset + start, data=piece)
