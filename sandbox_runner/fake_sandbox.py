"""One fake sandbox: its states, its keeper's promises, and the jobs it plays from scripts."""

from __future__ import annotations

import asyncio
import enum
import math
import signal
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace

from sandbox_runner.driver import (
    Exit,
    JobEnded,
    JobStarted,
    KeeperState,
    OutputChunk,
    Relayed,
    Sandbox,
    Stream,
    Usage,
    end_of,
)
from sandbox_runner.fake_script import FakeJob, FakeKnobs, Stdin
from sandbox_runner.spec import Job, SandboxSpec

WINDOW = 512 * 1024  #: unacknowledged bytes after which jobs wait
CHUNK = 64 * 1024  #: most bytes in one piece of output, as the keeper's frames have it
STDIN_PIPE = 64 * 1024  #: bytes a job that does not read lets be fed
NOTICE = 48  #: sequenced bytes a notice takes
KILLED = 137
CRASHED = 2  #: the exit code of a kernel in user space that fell over
NO_HEARTBEAT = 75  #: the exit code of a keeper nobody talked to


class State(enum.Enum):
    CREATED = "created"
    RUNNING = "running"
    FROZEN = "frozen"
    DEAD = "dead"
    REMOVED = "removed"


class Bell:
    """Wakes whoever waits for a condition; ring it after every change."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self) -> None:
        await self._event.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._event.wait()


class FakeSandbox:
    """State and keeper of one sandbox. All methods must be called in one event loop; `now` gives unix seconds."""

    def __init__(self, handle: Sandbox, spec: SandboxSpec, knobs: FakeKnobs, now: Callable[[], float]) -> None:
        self.handle = handle
        self.spec = spec
        self.knobs = knobs
        self.state = State.CREATED
        self.exit: Exit | None = None
        self.bell = Bell()
        self.produced = 0
        self.acknowledged = 0
        self.jobs: dict[int, int | None] = {}
        self.fed: dict[int, bytearray] = {}
        self.stream_lost = False  #: whether the knob `lose_stream` has done its work
        self.reader: deque[Relayed] | None = None  #: where new output goes while a relay is open
        self._now = now
        self._unacknowledged: deque[Relayed] = deque()
        self._scripts: dict[int, FakeJob] = {}
        self._closed_stdin: set[int] = set()
        self._kills_to_ignore = knobs.ignore_kill
        self._removals_to_ignore = knobs.ignore_remove
        self._tasks: set[asyncio.Task[None]] = set()
        self._playing: dict[int, asyncio.Task[None]] = {}
        self._ran = 0.0  #: seconds spent running, before `_since`
        self._since = 0.0
        self._readings = 0
        self._written = 0
        self._attempts = 0
        self._used = 0

    # -- states ----------------------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self.state in (State.RUNNING, State.FROZEN)

    def begin(self) -> None:
        self.state = State.RUNNING
        self._since = self._now()
        self._spawn(self._dead_man(), "dead-man")
        if self.knobs.crash_after is not None:
            self._spawn(self._crash(self.knobs.crash_after), "crash")

    def freeze(self) -> None:
        if self.state is State.RUNNING:
            self._ran += self._now() - self._since
            self._change(State.FROZEN)

    def thaw(self) -> None:
        if self.state is State.FROZEN:
            self._since = self._now()
            self._change(State.RUNNING)

    def kill(self) -> None:
        """Like SIGKILL to every process, as long as the knobs do not want it ignored."""
        if self._kills_to_ignore > 0:
            self._kills_to_ignore -= 1
        elif self.alive:
            self.die(KILLED)

    def die(self, code: int, *, crashed: bool = False) -> None:
        killed_for_memory = self.knobs.out_of_memory
        self.exit = Exit(code=code, out_of_memory=killed_for_memory, sandbox_crashed=crashed, at=self._now())
        self._change(State.DEAD)
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    def remove(self) -> None:
        if self._removals_to_ignore > 0:
            self._removals_to_ignore -= 1
            return
        if self.alive:
            self.die(KILLED)
        self._unacknowledged.clear()
        self._change(State.REMOVED)

    async def close(self) -> None:
        """Until nothing of it runs. Raises what a script's own function raised."""
        if self.alive:
            self.die(KILLED)
        tasks = tuple(self._tasks)
        self._tasks.clear()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    def usage(self) -> Usage:
        script = self.knobs.usage
        running = self._now() - self._since if self.state is State.RUNNING else 0.0
        if callable(script):
            reading = script(self._ran + running)
        else:
            reading = script[min(self._readings, len(script) - 1)]
            self._readings += 1
        return replace(
            reading,
            at=self._now(),
            disk_written_bytes=_more(reading.disk_written_bytes, self._written),
            network_attempts=_more(reading.network_attempts, self._attempts),
            disk_used_bytes=None if self.spec.profile.home is None else _more(reading.disk_used_bytes, self._used),
        )

    def _change(self, state: State) -> None:
        self.state = state
        self.bell.ring()

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"fake sandbox {self.handle.id[:12]}: {name}")
        self._tasks.add(task)
        return task

    async def _crash(self, after: float) -> None:
        await self._spend(after)
        self.die(CRASHED, crashed=True)

    async def _dead_man(self) -> None:
        """Ends all when no relay was open for the grace time; a frozen keeper gets it anew when it thaws."""
        while True:
            await self.bell.until(lambda: self.reader is None and self.state is State.RUNNING)
            try:
                async with asyncio.timeout(_finite(self.spec.grace_seconds)):
                    await self.bell.until(lambda: self.reader is not None or self.state is not State.RUNNING)
            except TimeoutError:
                return self.die(NO_HEARTBEAT)

    # -- the keeper ------------------------------------------------------------------------------------------------

    def keeper_state(self) -> KeeperState:
        return KeeperState(protocol=1, produced=self.produced, jobs=dict(self.jobs))

    @property
    def busy(self) -> bool:
        return None in self.jobs.values()

    def attach(self, acknowledged: int) -> deque[Relayed]:
        """A new reader, in place of the former, that starts at `acknowledged`."""
        self.acknowledge(acknowledged)
        self.reader = deque(self._unacknowledged)
        self.bell.ring()
        return self.reader

    def detach(self, reader: deque[Relayed]) -> None:
        if self.reader is reader:
            self.reader = None
            self.bell.ring()

    def acknowledge(self, offset: int) -> None:
        """Forget what is before `offset`, also a part of a chunk."""
        self.acknowledged = max(self.acknowledged, min(offset, self.produced))
        waiting = self._unacknowledged
        while waiting and end_of(waiting[0]) <= self.acknowledged:
            waiting.popleft()
        if waiting and isinstance(first := waiting[0], OutputChunk) and first.offset < self.acknowledged:
            rest = first.data[self.acknowledged - first.offset :]
            waiting[0] = replace(first, offset=self.acknowledged, data=rest)
        self.bell.ring()

    def run(self, job: Job) -> None:
        """Start `job`. The caller has made sure that none runs."""
        self.jobs[job.id] = None
        self.fed[job.id] = bytearray()
        script = self._scripts[job.id] = self.knobs.job(job.name)
        if not job.stdin:
            self._closed_stdin.add(job.id)
        self._playing[job.id] = self._spawn(self._play(job, script), f"job {job.id} {job.name}")

    def kill_job(self, job: int) -> None:
        """As SIGKILL would: it does nothing more, and its end is told."""
        playing = self._playing.pop(job, None)
        if playing is not None and self.jobs.get(job, 0) is None:
            playing.cancel()
            self._scripts[job] = replace(self._scripts[job], code=128 + signal.SIGKILL)
            self._spawn(self._notice(lambda at: self._ended(job, at)), f"job {job} killed")

    async def feed(self, job: int, data: bytes) -> None:
        """Into the job's stdin; waits as a pipe would when the job does not read. Ended jobs get nothing."""
        if not data:
            self._closed_stdin.add(job)
            self.bell.ring()
            return
        for start in range(0, len(data), CHUNK):
            await self.bell.until(lambda: not self._takes_stdin(job) or self._stdin_has_room(job))
            if self._takes_stdin(job):
                self.fed[job] += data[start : start + CHUNK]
                self.bell.ring()

    def _takes_stdin(self, job: int) -> bool:
        return self.alive and job in self._scripts and self.jobs[job] is None and job not in self._closed_stdin

    def _stdin_has_room(self, job: int) -> bool:
        if self._scripts[job].stdin is Stdin.IGNORE:
            return len(self.fed[job]) < STDIN_PIPE
        return self.state is State.RUNNING

    async def _play(self, job: Job, script: FakeJob) -> None:
        try:
            begun = self._ran_for()
            if not script.reason:
                await self._notice(lambda at: self._started(job, at))
                await self._work(job, script)
                await self._spend(script.run_for - (self._ran_for() - begun))
            await self._notice(lambda at: self._ended(job.id, at))
        except Exception:
            self.die(70)  # a function of the script failed: `close` raises it
            raise

    async def _work(self, job: Job, script: FakeJob) -> None:
        self._written += script.disk_written_bytes
        self._attempts += script.network_attempts
        self._used += script.disk_used_bytes
        if script.stdin is Stdin.ECHO:
            await self._echo(job.id)
        elif script.stdin is Stdin.COLLECT:
            await self.bell.until(lambda: job.id in self._closed_stdin)
        for delay, stream, data in script.lines:
            await self._spend(delay)
            await self._write(job.id, stream, data)
        if job.result:
            answer = script.answer
            data = answer(job, bytes(self.fed[job.id])) if callable(answer) else answer
            await self._write(job.id, Stream.RESULT, data)

    async def _echo(self, job: int) -> None:
        fed, done = self.fed[job], 0
        while job not in self._closed_stdin or done < len(fed):
            data = bytes(fed[done:])
            if not data:
                await self.bell.wait()
            done += len(data)
            await self._write(job, Stream.STDOUT, data)

    async def _write(self, job: int, stream: Stream, data: bytes) -> None:
        for start in range(0, len(data), CHUNK):
            piece = data[start : start + CHUNK]
            await self._room(len(piece))
            self._produce(OutputChunk(offset=self.produced, job=job, stream=stream, data=piece, at=self._now()))

    async def _notice(self, make: Callable[[float], JobStarted | JobEnded]) -> None:
        await self._room(NOTICE)
        self._produce(make(self._now()))

    def _started(self, job: Job, at: float) -> JobStarted:
        return JobStarted(offset=self.produced, size=NOTICE, job=job.id, pid=job.id + 1, at=at)

    def _ended(self, job: int, at: float) -> JobEnded:
        script = self._scripts[job]
        self.jobs[job] = script.code
        return JobEnded(offset=self.produced, size=NOTICE, job=job, code=script.code, reason=script.reason, at=at)

    async def _room(self, size: int) -> None:
        """Until the sandbox runs and `size` more bytes fit into the window."""
        await self.bell.until(
            lambda: self.state is State.RUNNING and self.produced + size - self.acknowledged <= WINDOW
        )

    def _produce(self, item: Relayed) -> None:
        self.produced = end_of(item)
        self._unacknowledged.append(item)
        if self.reader is not None:
            self.reader.append(item)
        self.bell.ring()

    def _ran_for(self) -> float:
        return self._ran + (self._now() - self._since if self.state is State.RUNNING else 0.0)

    async def _spend(self, seconds: float) -> None:
        """Sleep, not counting the time spent frozen."""
        until = self._ran_for() + seconds
        while True:
            await self.bell.until(lambda: self.state is State.RUNNING)
            left = until - self._ran_for()
            if left <= 1e-6:
                return
            try:
                async with asyncio.timeout(_finite(left)):
                    await self.bell.until(lambda: self.state is not State.RUNNING)
            except TimeoutError:
                pass  # the loop sees that nothing is left


def _more(count: int | None, more: int) -> int | None:
    """A figure that is not told stays so."""
    return None if count is None else count + more


def _finite(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds
