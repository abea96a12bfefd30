"""An open connection to a fake sandbox: no bytes on a wire, the same promises."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from sandbox_runner.driver import KeeperState, Relay, Relayed, RelayLost, RelayRefused, Sandbox, end_of
from sandbox_runner.fake_sandbox import FakeSandbox, State
from sandbox_runner.spec import Job

#: Seconds a keeper may take to answer when a relay is opened; a frozen one does not answer.
HELLO_WITHIN = 10.0


class FakeRelay(Relay):
    """`find` gives the sandbox or raises; every job that is started is noted in `ran`."""

    def __init__(
        self,
        find: Callable[[Sandbox], FakeSandbox],
        ran: list[tuple[str, Job]],
        sandbox: Sandbox,
        acknowledged: int,
    ) -> None:
        self._find = find
        self._ran = ran
        self._sandbox = sandbox
        self._resumed_at = acknowledged
        self._received = acknowledged  #: the offset after the last item given out
        self._box: FakeSandbox | None = None
        self._state: KeeperState | None = None
        self._queue: deque[Relayed] = deque()

    @property
    def state(self) -> KeeperState:
        if self._state is None:
            raise RelayLost("the relay is not open")
        return self._state

    @property
    def produced(self) -> int:
        return max(self._received, self._box.produced if self._box else 0)

    async def __aenter__(self) -> Self:
        box = self._find(self._sandbox)
        try:
            async with asyncio.timeout(HELLO_WITHIN):
                await box.bell.until(lambda: box.state is not State.FROZEN)
        except TimeoutError:
            raise RelayLost(f"sandbox {self._sandbox.id[:12]} is frozen: its keeper does not answer") from None
        if not box.alive:
            raise RelayLost(f"sandbox {self._sandbox.id[:12]} has ended")
        if not box.acknowledged <= self._resumed_at <= box.produced:
            raise RelayRefused(
                f"cannot resume at {self._resumed_at}: the keeper has bytes {box.acknowledged} to {box.produced}"
            )
        self._box = box
        self._state = box.keeper_state()
        self._queue = box.attach(self._resumed_at)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._box is not None:
            self._box.detach(self._queue)

    def __aiter__(self) -> AsyncIterator[Relayed]:
        return self

    async def __anext__(self) -> Relayed:
        box = self._require_open()
        await box.bell.until(lambda: bool(self._queue) or box.reader is not self._queue or not box.alive)
        lost = box.reader is not self._queue
        if lost or not self._queue:
            raise RelayLost("the relay was cut" if lost else "the sandbox has ended")
        limit = box.knobs.lose_stream
        carried = self._received - self._resumed_at
        if limit is not None and not box.stream_lost and carried >= limit:
            box.stream_lost = True
            box.detach(self._queue)
            raise RelayLost(f"the relay was cut after {carried} bytes, as the knobs say")
        item = self._queue.popleft()
        self._received = end_of(item)
        return item

    def acknowledge(self, offset: int) -> None:
        if offset > self._received:
            raise ValueError(f"offset {offset} was not received yet, only {self._received}")
        if self._box is not None and self._box.reader is self._queue:
            self._box.acknowledge(offset)

    async def run(self, job: Job) -> None:
        box = self._require_open()
        if box.reader is not self._queue or not box.alive:
            raise RelayLost("the relay is cut")
        if box.busy or job.id in box.jobs:
            raise RelayRefused(f"job {job.id} cannot start: one runs, or its number was used before")
        self._ran.append((self._sandbox.id, job))
        box.run(job)

    async def feed(self, job: int, data: bytes) -> None:
        box = self._require_open()
        if job not in box.jobs:
            raise RelayRefused(f"job {job} was never started")
        await box.feed(job, data)
        if not box.alive:
            raise RelayLost("the sandbox has ended")

    async def signal(self, job: int, number: int) -> None:
        if number == signal.SIGKILL:
            self._require_open().kill_job(job)

    def _require_open(self) -> FakeSandbox:
        if self._box is None:
            raise RelayLost("the relay is not open")
        return self._box
