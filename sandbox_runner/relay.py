"""The host's end of the keeper's protocol: a `Relay` over any pair of byte streams.

All that arrives is written by an adversary as far as we know: every frame is checked for its place and its bounds, and
the first that does not fit ends the connection.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol, Self

from sandbox_runner import frames
from sandbox_runner.driver import (
    JobEnded,
    JobStarted,
    KeeperState,
    OutputChunk,
    Relayed,
    RelayLost,
    RelayRefused,
    Stream,
    end_of,
)
from sandbox_runner.frames import BadFrame, Frame, Kind
from sandbox_runner.spec import Job

#: Seconds a keeper may take to answer; a slow runtime on a loaded machine needs a few, a frozen sandbox never does.
HELLO_WITHIN = 10.0
#: Bytes thrown away while looking for the keeper's answer: what the last connection left on its way is far less.
MAX_BEFORE_NONCE = 64 * 1024 * 1024
#: Bytes of one job's stdin under way to its keeper.
FEED_AHEAD = 256 * 1024
#: Nothing that can wait is written while this much is: the sandbox is frozen, and this must not grow for days.
MAX_BACKLOG = 256 * 1024
MAX_NOTICE = 8 * 1024
#: Frames that are taken before everybody else has a turn: some milliseconds.
MOST_AT_ONCE = 256
#: What is not credited: heartbeats, by time, and the news of input that was used up, by the input.
ALIVES_FREE, ALIVES_A_SECOND = 100, 10.0
FEDS_FREE, FED_LEAST = 2000, 256
MAX_REASON = 1000


class Wire(Protocol):
    """Bytes to the keeper's stdin and from its stdout. Any of these may raise OSError when it breaks."""

    @property
    def resumed(self) -> bool:
        """Whether another wire to this keeper came before."""

    async def receive(self) -> bytes:
        """What came; nothing at the end."""

    def send(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

    def backlog(self) -> int:
        """Bytes sent that the other end did not take yet."""

    def last_words(self) -> str:
        """The end of what the keeper wrote to stderr, for people."""

    async def close(self) -> None: ...


class KeeperRelay:
    """See `driver.Relay`. `connect` makes the wire.

    Memory: at most a window of unacknowledged bytes and `frames.MAX_KEPT` frames, whatever the keeper sends.
    """

    def __init__(self, connect: Callable[[], Awaitable[Wire]], *, acknowledged: int = 0) -> None:
        self._connect = connect
        self._acknowledged = acknowledged
        self._credited = acknowledged  #: what of it the keeper was told
        self._received = acknowledged
        self._produced = acknowledged
        self._ends: deque[int] = deque()  #: where each unacknowledged frame ends
        self._queue: deque[Relayed] = deque()
        self._news = asyncio.Event()
        self._fed: dict[int, int] = {}  #: job -> bytes of its stdin the keeper has used up
        self._feeding: dict[int, int] = {}  #: job -> bytes of its stdin that were sent
        self._jobs: dict[int, int | None] = {}  #: as in KeeperState
        self._alives = self._feds = 0  #: of this connection
        self._opened = time.monotonic()
        self._feed_news = asyncio.Condition()
        self._wire: Wire | None = None
        self._state: KeeperState | None = None
        self._over: RelayLost | RelayRefused | None = None
        self._beat_every = 1.0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def state(self) -> KeeperState:
        if self._state is None:
            raise RelayLost("the relay is not open")
        return self._state

    @property
    def produced(self) -> int:
        return max(self._produced, self._received)

    async def __aenter__(self) -> Self:
        wire = self._wire = await self._connect()
        decoder = frames.Decoder()
        try:
            async with asyncio.timeout(HELLO_WITHIN):
                rest = await self._greet(wire, decoder)
        except (BadFrame, OSError, RelayLost, RelayRefused) as error:
            await wire.close()
            raise _told(error, wire) from error
        except BaseException:
            await wire.close()
            raise
        self._tasks = [
            asyncio.create_task(self._read(wire, decoder, rest), name="relay read"),
            asyncio.create_task(self._beat(wire), name="relay heartbeat"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._wire is not None:
            await self._wire.close()
        await self._end(RelayLost("the relay was closed"))

    def __aiter__(self) -> AsyncIterator[Relayed]:
        return self

    async def __anext__(self) -> Relayed:
        while not self._queue:
            if self._over is not None:
                raise self._over
            self._news.clear()
            await self._news.wait()
        return self._queue.popleft()

    def acknowledge(self, offset: int) -> None:
        if offset > self._received:
            raise ValueError(f"offset {offset} was not received yet, only {self._received}")
        if offset <= self._acknowledged:
            return
        self._acknowledged = offset
        while self._ends and self._ends[0] <= offset:
            self._ends.popleft()
        if self._wire is not None and self._over is None:
            self._give_credit(self._wire)

    async def run(self, job: Job) -> None:
        """Raises `RelayRefused` when a job runs or the number was used, ValueError for a job too large to send."""
        wire = self._open_wire()
        if job.id in self._jobs or None in self._jobs.values():
            raise RelayRefused(f"job {job.id} cannot start: one runs, or its number was used before")
        try:
            order = frames.encode_json(Kind.START, _order(job))
        except BadFrame as error:
            raise ValueError(f"job {job.name}: its arguments and environment are too large: {error}") from error
        self._jobs[job.id] = None
        wire.send(order)
        await self._drain(wire)

    async def feed(self, job: int, data: bytes) -> None:
        """Returns once the job's pipe has taken the bytes, or the job has ended.

        After `RelayLost` it is not known whether they arrived.
        """
        wire = self._open_wire()
        if job not in self._jobs:
            raise RelayRefused(f"job {job} was never started")
        if self._jobs[job] is not None:
            return
        if not data:
            wire.send(frames.encode(Frame(Kind.FEED, job=job, offset=self._feeding.get(job, 0))))
            await self._drain(wire)
        for start in range(0, len(data), frames.MAX_PAYLOAD):
            piece = data[start : start + frames.MAX_PAYLOAD]
            await self._until_fed(job, self._feeding.get(job, 0) + len(piece) - FEED_AHEAD)
            sent = self._feeding.get(job, 0)
            self._feeding[job] = sent + len(piece)
            wire.send(frames.encode(Frame(Kind.FEED, piece, job, offset=sent)))
            await self._drain(wire)
        await self._until_fed(job, self._feeding.get(job, 0))

    async def signal(self, job: int, number: int) -> None:
        """Signal the job's process group; SIGKILL reaches all that the job started. Nothing when it has ended."""
        wire = self._open_wire()
        wire.send(frames.encode(Frame(Kind.SIGNAL, bytes([number]), job)))
        await self._drain(wire)

    def set_deadline(self, seconds: float) -> None:
        """The keeper ends everything after `seconds`, heartbeats or not. A later call replaces the deadline."""
        self._open_wire().send(frames.encode(Frame(Kind.BEAT, frames.BEAT.pack(0.0, seconds))))

    def _give_credit(self, wire: Wire) -> None:
        if self._credited < self._acknowledged and wire.backlog() < MAX_BACKLOG:
            self._credited = self._acknowledged
            wire.send(frames.encode(Frame(Kind.CREDIT, offset=self._credited)))

    async def _until_fed(self, job: int, used: int) -> None:
        async with self._feed_news:
            await self._feed_news.wait_for(
                lambda: self._fed.get(job, 0) >= used or self._jobs.get(job) is not None or self._over is not None
            )
        if self._over is not None:
            raise self._over

    async def _drain(self, wire: Wire) -> None:
        try:
            await wire.drain()
        except OSError as error:
            raise RelayLost(f"the connection to the keeper broke: {error}") from error

    def _open_wire(self) -> Wire:
        if self._wire is None:
            raise RelayLost("the relay is not open")
        if self._over is not None:
            raise self._over
        return self._wire

    async def _greet(self, wire: Wire, decoder: frames.Decoder) -> list[Frame]:
        """Say HELLO and find the answer; the frames that came with it."""
        nonce = secrets.token_bytes(frames.NONCE_BYTES)
        hello = {"nonce": nonce.hex(), "acked": self._acknowledged, "window": frames.WINDOW}
        wire.send((frames.RESYNC if wire.resumed else b"") + frames.encode_json(Kind.HELLO, hello))
        await wire.drain()
        seen, dropped = b"", 0
        while nonce not in seen:
            kept = seen[-frames.NONCE_BYTES :]
            dropped += len(seen) - len(kept)
            if dropped > MAX_BEFORE_NONCE:
                raise RelayRefused("the other end talks without answering")
            seen = kept + await _some(wire)
        came = decoder.feed(seen.partition(nonce)[2])
        while not came:
            came = decoder.feed(await _some(wire))
        self._state = self._introduced(came[0])
        return came[1:]

    def _introduced(self, ready: Frame) -> KeeperState:
        if ready.kind != Kind.READY:
            raise RelayRefused(f"the keeper's first frame is of kind {ready.kind}")
        content = frames.decode_json(ready.payload)
        if (protocol := frames.number(content, "protocol", 0, 65535)) != frames.PROTOCOL:
            raise RelayRefused(f"the keeper speaks protocol {protocol}, this end {frames.PROTOCOL}")
        base = frames.number(content, "base", 0, 2**63)
        produced = frames.number(content, "produced", base, 2**63)
        if not base <= self._acknowledged <= produced:
            raise RelayRefused(f"cannot resume at {self._acknowledged}: the keeper has bytes {base} to {produced}")
        self._produced = produced
        self._jobs = _numbered(content, "jobs", 255, optional=True)
        self._feeding = {job: came or 0 for job, came in _numbered(content, "fed", 2**63, optional=False).items()}
        grace = content.get("grace")
        if not isinstance(grace, int | float) or not 0 < grace <= frames.MAX_GRACE:
            raise RelayRefused("the keeper names no grace")
        self._beat_every = min(1.0, grace / 4)
        return KeeperState(protocol=protocol, produced=produced, jobs=dict(self._jobs))

    async def _read(self, wire: Wire, decoder: frames.Decoder, rest: list[Frame]) -> None:
        """Always reads, so that nothing stands in the engine's buffers: an engine that cannot write cannot kill."""
        try:
            while True:
                for frame in rest:
                    await self._take(frame)
                if rest:
                    self._news.set()
                if len(rest) == MOST_AT_ONCE:
                    await asyncio.sleep(0)  # Tiny frames are costly, and a stop may be waiting for its turn.
                    rest = decoder.feed(b"", MOST_AT_ONCE)
                else:
                    rest = decoder.feed(await _some(wire), MOST_AT_ONCE)
        except (BadFrame, OSError, RelayLost, RelayRefused) as error:
            await wire.close()
            await self._end(_told(error, wire))

    async def _beat(self, wire: Wire) -> None:
        beat = frames.encode(Frame(Kind.BEAT, frames.BEAT.pack(0.0, 0.0)))
        while self._over is None:
            if wire.backlog() < MAX_BACKLOG:
                wire.send(beat)
            self._give_credit(wire)
            await asyncio.sleep(self._beat_every)

    async def _end(self, error: RelayLost | RelayRefused) -> None:
        if self._over is None:
            self._over = error
        self._news.set()
        async with self._feed_news:
            self._feed_news.notify_all()

    async def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.DATA:
            relayed = self._relayed(frame)
            self._queue.append(relayed)
            self._received = end_of(relayed)
            self._ends.append(self._received)
            if isinstance(relayed, JobEnded):
                self._jobs[relayed.job] = relayed.code
                async with self._feed_news:
                    self._feed_news.notify_all()
        elif frame.kind == Kind.FED:
            await self._used_up(frame)
        elif frame.kind == Kind.ALIVE:
            self._alive()
            self._produced = max(self._produced, min(frame.offset, 2**63))
        elif frame.kind == Kind.FAULT:
            raise BadFrame("the keeper could not follow: " + frame.payload[:MAX_REASON].decode(errors="replace"))
        else:
            raise BadFrame(f"a frame of kind {frame.kind}")

    async def _used_up(self, frame: Frame) -> None:
        """Each must tell of more than the last, and not in crumbs: what is not credited must be bounded otherwise."""
        fed = self._feeding.get(frame.job, 0)
        if not self._fed.get(frame.job, 0) < frame.offset <= fed:
            raise BadFrame(f"job {frame.job} has used {frame.offset} bytes that it was not fed")
        self._feds += 1
        if self._feds > FEDS_FREE + sum(self._feeding.values()) // FED_LEAST:
            raise BadFrame("its jobs' input is used up in too many crumbs")
        self._fed[frame.job] = frame.offset
        async with self._feed_news:
            self._feed_news.notify_all()

    def _alive(self) -> None:
        """About one a second is due; a keeper that sends them without end would take the event loop for itself."""
        self._alives += 1
        if self._alives > ALIVES_FREE + ALIVES_A_SECOND * (time.monotonic() - self._opened):
            raise BadFrame("heartbeats without end")

    def _relayed(self, frame: Frame) -> Relayed:
        """The frame's meaning, once its place and size are what they must be. Raises `BadFrame`."""
        if frame.offset != self._received:
            raise BadFrame(f"offset {frame.offset} came where {self._received} was due")
        if not frame.payload:
            raise BadFrame("an empty piece of output")
        if frame.offset + len(frame.payload) - self._acknowledged > frames.WINDOW + frames.SLACK:
            raise BadFrame("more bytes than there was credit for")
        if len(self._ends) > frames.MAX_KEPT + 64:
            raise BadFrame("more frames than there was credit for")
        if frame.time_us > frames.MAX_TIME_US or frame.job not in self._jobs:
            raise BadFrame(f"a time or a job that cannot be ({frame.time_us}, {frame.job})")
        at = frame.time_us / 1e6
        if frame.stream == frames.NOTICE:
            return _notice(frame, at)
        if frame.stream not in (frames.STDOUT, frames.STDERR, frames.RESULT):
            raise BadFrame(f"stream {frame.stream}")
        return OutputChunk(offset=frame.offset, job=frame.job, stream=Stream(frame.stream), data=frame.payload, at=at)


def _notice(frame: Frame, at: float) -> JobStarted | JobEnded:
    if len(frame.payload) > MAX_NOTICE:
        raise BadFrame("a notice that is too long")
    content = frames.decode_json(frame.payload)
    size = len(frame.payload)
    if content.get("event") == "started":
        pid = frames.number(content, "pid", 1, 2**31)
        return JobStarted(offset=frame.offset, size=size, job=frame.job, pid=pid, at=at)
    reason = content.get("reason")
    if content.get("event") != "ended" or not isinstance(reason, str):
        raise BadFrame("a notice of nothing")
    code = frames.number(content, "code", 0, 255)
    return JobEnded(offset=frame.offset, size=size, job=frame.job, code=code, reason=reason[:MAX_REASON], at=at)


def _numbered(content: dict[str, Any], name: str, high: int, *, optional: bool) -> dict[int, int | None]:
    """{"1": 0, "2": null} as numbers. Raises `BadFrame`."""
    table = content.get(name)
    if not isinstance(table, dict):
        raise BadFrame(f"{name} is not a table")
    found: dict[int, int | None] = {}
    for key, value in table.items():
        if not key.isascii() or not key.isdecimal() or len(key) > 5:
            raise BadFrame(f"{name} has a key that is not a job")
        found[int(key)] = None if value is None and optional else frames.number(table, key, 0, high)
    return found


def _order(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "argv": list(job.argv),
        "uid": job.uid,
        "gid": job.gid,
        "groups": list(job.groups),
        "cwd": job.cwd,
        "env": dict(job.env),
        "stdin": job.stdin,
        "result": job.result,
    }


async def _some(wire: Wire) -> bytes:
    data = await wire.receive()
    if not data:
        raise RelayLost("the connection to the keeper ended")
    return data


def _told(error: Exception, wire: Wire) -> RelayLost | RelayRefused:
    """`error` as callers know it, with what the keeper said last when its connection just ended."""
    if isinstance(error, BadFrame):
        return RelayRefused(f"not the keeper's protocol: {error}")
    if isinstance(error, TimeoutError):
        return RelayLost(f"the keeper did not answer within {HELLO_WITHIN:.0f} s; a frozen one cannot")
    if isinstance(error, RelayRefused):
        return error
    words = wire.last_words()
    return RelayLost(f"{error}; the keeper's last words: {words}" if words else str(error))
