"""Decoded output to the store, in batches; acknowledged and rung only when stored.

One task writes for all runs. A line after a pause is stored at once; while a commit is under way more gathers. After it
there is a rest, the longer the more it cost and never longer than `batch_seconds`: little output is stored nearly at
once, much of it in few commits. It is cut short when a run has printed so much that its keeper would have to wait. What
cannot be stored is not acknowledged: the keeper's window fills and the agent waits, so nothing is lost; a run whose
output cannot be stored for `patience_seconds` is failed, or left to a guard when there is no room for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app.domain.errors import CrucibleError, FullDisk
from app.store import output, runs
from app.store.database import Database
from app.store.output import RelayPosition, StoredLine
from app.supervision.doorbell import Doorbell
from sandbox_runner.driver import OutputChunk, Relay, Relayed, Stream, end_of
from sandbox_runner.lines import Line, LineDecoder

log = logging.getLogger(__name__)

#: Seconds after its oldest byte at which a line without a newline is stored as it is, whatever comes meanwhile and on
#: whichever stream: nothing that was printed is kept from people and rules for longer. Who prints piece by piece, or
#: redraws a progress bar, makes some three lines a second.
UNFINISHED_SECONDS = 0.3

#: A rest is so many times as long as the commit before it took. Less, and the pictures that pages draw of it cost more
#: than the wait that is saved: 8 was slower than this on two busy cores.
REST = 12.0
#: Bytes of one run that are not left to wait for others: a quarter of what its keeper may send ahead.
PRESSING = 128 * 1024
#: Lines of one run that wait before nothing more is taken: a window of bare newlines would be 100 MB of them.
MOST_WAITING = 20_000

LinesSeen = Callable[[Sequence[StoredLine]], None]


class Guard(Protocol):
    """Told of runs whose output finds no room. Must not block."""

    def full(self, run: int, error: FullDisk) -> None: ...

    def room(self, run: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a run's keeper says it printed, to hold against what is stored. A compromised keeper can only say less."""

    printed: int  #: bytes of output that should be stored: all there was, what was cut at a limit left out
    cut: int  #: bytes this sandbox printed beyond a limit, as far as no `OutputLost` tells of them yet
    printed_at: float  #: the keeper's time (unix seconds) of the newest output that arrived; 0: none yet
    failing_since: float | None  #: monotonic; since when it cannot be stored
    connected: bool  #: False: the keeper was heard, should be, and is not


@dataclass(slots=True, kw_only=True, eq=False)
class Intake:
    """One sandbox's output on its way to the store."""

    run: int
    sandbox: str
    next_number: int
    decoder: LineDecoder
    offset: int  #: taken up to here
    stored: int  #: stored up to here
    clock: Callable[[], float]  #: monotonic
    handed: int = 0  #: being stored up to here
    on_lines: LinesSeen | None = None
    relay: Relay | None = None
    bytes_taken: int = 0
    before: int = 0  #: bytes of the run's output that were printed before this intake and are stored
    aside: int = 0  #: relayed since it was opened and no output: results, notices
    cut: int = 0  #: printed and not to be stored: beyond its limit
    noted: int = 0  #: of these, what the run's record says already
    produced: int = 0  #: what the keeper said last; from `relay` while there is one
    opened_at: int = 0  #: the offset it began with
    heard: bool = False  #: it had a relay, and should have one
    printed_at: float = 0.0  #: the keeper's time of the newest taken output
    lines: list[StoredLine] = field(default_factory=list)
    #: When the oldest byte came that waits for its newline. What a former server left waits from the connection on.
    since: dict[Stream, float] = field(default_factory=dict)
    failing_since: float | None = None
    held: bool = False  #: a guard was told that there is no room for it
    hurried: bool = False  #: it is being left for good: what cannot be stored in time is lost
    failure: CrucibleError | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)  #: all stored, or failed
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)  #: clear while so much waits that no more may be taken

    def __post_init__(self) -> None:
        self.handed = self.stored
        self.room.set()

    def take(self, relayed: Relayed, *, keep: bool) -> None:
        """`keep` False: the bytes count as taken and are not stored (results, or output beyond its limit)."""
        if keep and isinstance(relayed, OutputChunk) and relayed.stream is not Stream.RESULT:
            self.bytes_taken += len(relayed.data)
            lines = self.decoder.feed(relayed.stream, relayed.at, relayed.data)
            self._number(lines)
            self._wait(relayed.stream, anew=bool(lines))
            self.printed_at = relayed.at
        elif isinstance(relayed, OutputChunk) and relayed.stream is not Stream.RESULT:
            self.cut += len(relayed.data)
        else:
            self.aside += end_of(relayed) - self.offset
        self.offset = end_of(relayed)
        self.settled.clear()
        if len(self.lines) > MOST_WAITING:
            self.room.clear()

    def connected(self, relay: Relay) -> None:
        """Output comes from `relay` from now on."""
        self.relay, self.heard = relay, True
        for stream in self.decoder.pending():
            self._wait(stream, anew=False)

    def flush(self) -> None:
        """Unfinished lines become lines."""
        self._number(self.decoder.flush())
        self.since.clear()

    def flush_overdue(self) -> None:
        """So do those that wait for too long."""
        now = self.clock()
        for stream in [stream for stream, since in self.since.items() if now >= since + UNFINISHED_SECONDS]:
            self._number(self.decoder.flush(stream))
            del self.since[stream]

    def _wait(self, stream: Stream, *, anew: bool) -> None:
        """What is unfinished of `stream` waits since now if it has not waited yet, or is all `anew`."""
        if not self.decoder.waits(stream):
            self.since.pop(stream, None)
        elif anew or stream not in self.since:
            self.since[stream] = self.clock()

    def _number(self, lines: Sequence[Line]) -> None:
        for number, line in enumerate(lines, self.next_number):
            self.lines.append(
                StoredLine(number=number, at=line.at, stream=int(line.stream), data=line.data, complete=line.complete)
            )
        self.next_number += len(lines)

    @property
    def pressing(self) -> bool:
        return self.offset - self.handed >= PRESSING or not self.room.is_set()

    @property
    def waiting(self) -> bool:
        return bool(self.lines) or self.offset > self.stored

    @property
    def bytes_waiting(self) -> int:
        """Bytes that were taken and are not stored."""
        held = sum(len(line.data) + line.complete for line in self.lines)
        return held + sum(len(data) for _, data in self.decoder.pending().values())

    def account(self) -> Account:
        """What the keeper says was printed, whether it has arrived here or not."""
        if self.relay is not None:
            self.produced = self.relay.produced
        made = max(self.produced, self.offset) - self.opened_at
        return Account(
            printed=self.before + made - self.aside - self.cut,
            cut=self.cut - self.noted,
            printed_at=self.printed_at,
            failing_since=self.failing_since,
            connected=self.relay is not None or not self.heard,
        )

    def position(self) -> RelayPosition:
        pending = {int(stream): unfinished for stream, unfinished in self.decoder.pending().items()}
        return RelayPosition(sandbox=self.sandbox, offset=self.offset, pending=pending)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    intake: Intake
    lines: list[StoredLine]
    position: RelayPosition


class Recorder:
    """Owns the writing task. `run` it in a task group; `open` an intake per sandbox and `close` it after."""

    def __init__(
        self,
        db: Database,
        doorbell: Doorbell,
        *,
        batch_seconds: float,
        patience_seconds: float,
        rest: float = REST,
        reserve_bytes: int = 0,
        guard: Guard | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """No output goes into the last `reserve_bytes` of the disk. Without a `guard` no room is as any trouble."""
        self._db = db
        self._doorbell = doorbell
        self._batch_seconds = batch_seconds
        self._rest = rest
        self._patience_seconds = patience_seconds
        self._reserve_bytes = reserve_bytes
        self.guard = guard
        self._clock = clock
        self._intakes: set[Intake] = set()
        self._wake = asyncio.Event()
        self._pressing = asyncio.Event()

    async def open(self, run: int, sandbox: str, *, on_lines: LinesSeen | None = None) -> Intake:
        """An intake that goes on where the store stands. One at a time per run."""
        position = await output.position(self._db, run, sandbox)
        known = await runs.get(self._db, run)
        intake = Intake(
            run=run,
            sandbox=sandbox,
            next_number=known.lines + 1,
            decoder=LineDecoder({Stream(stream): unfinished for stream, unfinished in position.pending.items()}),
            clock=self._clock,
            offset=position.offset,
            stored=position.offset,
            opened_at=position.offset,
            before=known.bytes + sum(len(data) for _, data in position.pending.values()),
            on_lines=on_lines,
        )
        self._intakes.add(intake)
        return intake

    def has_room(self) -> bool:
        return self._no_room() is None

    async def close(self, intake: Intake, *, hurried: bool = False, goes_on: bool = False) -> None:
        """Store what is left. Raises what storing raised.

        Waits for room as long as it takes, unless `hurried`. Unfinished lines become lines, unless the sandbox
        `goes_on`: its next intake has their rest.
        """
        try:
            intake.hurried = hurried
            intake.relay, intake.heard = None, False
            if not goes_on:
                intake.flush()
            if intake.waiting and intake.failure is None:
                intake.settled.clear()
                self._wake.set()
                await intake.settled.wait()
            if intake.failure is not None:
                raise intake.failure
        finally:
            self._intakes.discard(intake)

    def wake(self) -> None:
        """Something was taken."""
        self._wake.set()
        if any(intake.pressing for intake in self._intakes):
            self._pressing.set()

    async def run(self) -> None:
        """Write for ever."""
        while True:
            # Not `wait_for`: on Python 3.11 it can swallow a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._until_overdue()):
                    await self._wake.wait()
            self._wake.clear()
            self._pressing.clear()
            begun = time.monotonic()
            for intake in self._intakes:
                intake.flush_overdue()
            batches = [self._batch(intake) for intake in self._intakes if intake.waiting and intake.failure is None]
            if batches:
                stored = await self._write(batches)
                took = time.monotonic() - begun
                await self._gather(max(0.0, min(self._batch_seconds - took, self._rest * took)), stored=stored)

    async def _gather(self, seconds: float, *, stored: bool) -> None:
        """Until `seconds` are over, or one run presses; what could not be stored is not tried again at once."""
        if not stored:
            return await asyncio.sleep(max(seconds, self._batch_seconds))
        try:
            async with asyncio.timeout(seconds):
                await self._pressing.wait()
        except TimeoutError:
            pass

    def _until_overdue(self) -> float:
        """Seconds until something unfinished has waited long enough, or what was not stored is tried again."""
        oldest = min((since for intake in self._intakes for since in intake.since.values()), default=self._clock())
        return oldest + UNFINISHED_SECONDS - self._clock()

    @staticmethod
    def _batch(intake: Intake) -> _Batch:
        lines, intake.lines = intake.lines, []
        intake.handed = intake.offset
        intake.room.set()
        return _Batch(intake=intake, lines=lines, position=intake.position())

    async def _write(self, batches: Sequence[_Batch]) -> bool:
        """Whether all of it is stored."""
        if (full := self._no_room()) is not None:
            for batch in batches:
                self._not_stored(batch, full)
            return False
        try:
            await output.append_many(self._db, {batch.intake.run: (batch.lines, batch.position) for batch in batches})
        except CrucibleError as error:
            log.warning("output of %d runs could not be stored together: %s", len(batches), error)
        else:
            for batch in batches:
                self._stored(batch)
            return True
        # One run's trouble must not be another's.
        stored = True
        for batch in batches:
            try:
                await output.append(self._db, batch.intake.run, batch.lines, batch.position)
            except CrucibleError as error:
                self._not_stored(batch, error)
                stored = False
            else:
                self._stored(batch)
        return stored

    def _no_room(self) -> FullDisk | None:
        free = self._db.free_bytes()
        if free is None or free >= self._reserve_bytes:
            return None
        return FullDisk(
            f"only {free} bytes are free on the disk of the record; the last {self._reserve_bytes} are kept for alerts,"
            " stops and ends. Free space there."
        )

    def _stored(self, batch: _Batch) -> None:
        intake = batch.intake
        intake.stored = batch.position.offset
        intake.failing_since = None
        if intake.held and self.guard is not None:
            intake.held = False
            self.guard.room(intake.run)
        if intake.relay is not None:
            intake.relay.acknowledge(intake.stored)
        if not intake.waiting:
            intake.settled.set()
        if batch.lines:
            self._doorbell.ring(intake.run)
            if intake.on_lines is not None:
                intake.on_lines(batch.lines)

    def _not_stored(self, batch: _Batch, error: CrucibleError) -> None:
        intake = batch.intake
        intake.lines = batch.lines + intake.lines
        intake.handed = intake.stored
        if len(intake.lines) > MOST_WAITING:
            intake.room.clear()
        now = time.monotonic()
        if intake.failing_since is None:
            intake.failing_since = now
        if now - intake.failing_since <= self._patience_seconds:
            return
        if isinstance(error, FullDisk) and self.guard is not None and not intake.hurried:
            if not intake.held:
                intake.held = True
                self.guard.full(intake.run, error)
        else:
            intake.failure = error
            intake.room.set()
            intake.failed.set()
            intake.settled.set()
