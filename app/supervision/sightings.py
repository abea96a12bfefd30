"""What is seen of an agent from outside its sandbox: tries to reach a network, honeytokens touched.

Each becomes an event, and what the rules make of it a finding. An agent that does the same thing all the time makes
one event a second, then one a minute; nothing is lost by that, each says how many times it happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from app.domain.alerts import Finding
from app.domain.events import Event, HoneytokenTouched, NetworkAttempted, Noted, ProgramsStarted
from app.domain.honeytokens import Honeytoken
from app.safety.watch import Watch
from app.store import events
from app.supervision.live_run import LiveRun
from app.supervision.workshop import Workshop
from sandbox_runner.driver import Sandbox, SandboxError, Usage
from sandbox_runner.file_watch import FileWatch
from sandbox_runner.gvisor_trace import GvisorTrace, Seen

#: Seconds between two events about one thing: the first sixty, and those after.
SOON, LATER, MANY = 1.0, 60.0, 60
TWENTY = 20
#: Seconds the last look at the counters may take: the engine may not answer, and the run goes on to its end.
LAST_LOOK = 2.0


@dataclass(slots=True)
class Spacing:
    """How often one thing may be told."""

    told: int = 0
    last: float = float("-inf")

    def due(self, now: float) -> bool:
        return now - self.last >= (SOON if self.told < MANY else LATER)

    def tell(self, now: float) -> None:
        self.told, self.last = self.told + 1, now


@dataclass(slots=True, kw_only=True)
class Sightings:
    """One agent phase, seen from outside. Made by `see`; `close` it."""

    shop: Workshop
    live: LiveRun
    watch: Watch
    found: Callable[[Finding], None]
    attempts_told: int = 0  #: tries to reach a network that the record knows of
    _spacing: Spacing = field(default_factory=Spacing)
    _watching: asyncio.Task[None] | None = None
    _trace: GvisorTrace | None = None
    _tracing: asyncio.Task[None] | None = None

    async def reading(self, reading: Usage, *, last: bool = False) -> None:
        """Look at one reading of what the sandbox uses; with `last`, tell what was held back."""
        new = (reading.network_attempts or 0) - self.attempts_told
        now = time.monotonic()
        if new > 0 and (last or self._spacing.due(now)):
            self._spacing.tell(now)
            self.attempts_told += new
            await self._record(NetworkAttempted(count=new, total=self.attempts_told))

    async def watch_gvisor(self, sandbox: Sandbox, tokens: Collection[Honeytoken]) -> None:
        """From now on tell what gVisor's kernel sees, where the sandbox has one. Never keeps the agent waiting long."""
        try:
            trace = await GvisorTrace.open(sandbox)
        except OSError as error:
            await self._record(Noted(text=f"gVisor tells nothing of what the agent does: {error}"))
            return
        if trace is not None:
            self._trace = trace
            places = {token.place for token in tokens}
            self._tracing = asyncio.create_task(self._tell_traced(trace, places), name=f"run {self.live.id}: trace")

    async def _tell_traced(self, trace: GvisorTrace, places: Collection[str]) -> None:
        told = 0
        try:
            while not trace.failure:
                await self._traced(await trace.seen(), places)
                told += 1
                await asyncio.sleep(SOON if told < MANY else LATER)
        finally:
            await self._traced(trace.taken(), places)
            if trace.dropped:
                await self._record(Noted(text=f"gVisor's trace: {trace.dropped} things seen could not be told"))

    async def _traced(self, seen: Collection[Seen], places: Collection[str]) -> None:
        started = [each.what for each in seen if each.kind == "exec"]
        if started:
            await self._record(ProgramsStarted(programs=started[:TWENTY], count=len(started)))
        tried = [each.what for each in seen if each.kind == "connect"]
        if tried:
            self.attempts_told += len(tried)
            to = ", ".join(list(dict.fromkeys(tried))[:TWENTY])
            await self._record(NetworkAttempted(count=len(tried), total=self.attempts_told, to=to))
        await self._tell(Counter(each.what for each in seen if each.kind == "open" and each.what in places))

    def watch_honeytokens(self, sandbox: Sandbox, tokens: Collection[Honeytoken]) -> None:
        """From now on tell of every touch. Returns when the watch is set."""
        files = [token.place for token in tokens if token.variable is None]
        if files and self._trace is None:
            watch = FileWatch.open(sandbox, files)
            name = f"run {self.live.id}: honeytokens"
            self._watching = asyncio.create_task(self._tell_touches(watch, files), name=name)

    async def close(self, sandbox: Sandbox) -> None:
        """Tell what was held back, and look no more: what comes now (collecting) is ours."""
        ours = [task for task in (self._watching, self._tracing) if task is not None]
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)
        if self._trace is not None:
            await self._trace.close()
        if self.live.stop is None:
            with contextlib.suppress(SandboxError, TimeoutError):
                async with asyncio.timeout(LAST_LOOK):
                    await self.reading(await self.shop.driver.usage(sandbox, fresh=True), last=True)

    async def _tell_touches(self, watch: FileWatch, files: Collection[str]) -> None:
        told = 0
        try:
            if unseen := sorted(set(files) - set(watch.places)):
                why = "from outside it cannot be seen whether these honeytokens are opened: "
                await self._record(Noted(text=why + ", ".join(unseen)))
            while True:
                await watch.opened()
                await self._tell(watch.taken())
                told += 1
                await asyncio.sleep(SOON if told < MANY else LATER)
        finally:
            touched = watch.taken()
            watch.close()
            await self._tell(touched)

    async def _tell(self, touched: Mapping[str, int]) -> None:
        for place, count in touched.items():
            await self._record(HoneytokenTouched(place=place, count=count))

    async def _record(self, event: Event) -> None:
        await events.append(self.shop.db, self.live.id, event, at=time.time())
        self.shop.doorbell.ring(self.live.id)
        for finding in self.watch.event(event):
            self.found(finding)


async def see(shop: Workshop, live: LiveRun, watch: Watch, found: Callable[[Finding], None]) -> Sightings:
    """Go on from what the record of the run tells: an adopted run is not told of twice."""
    recorded = await events.read(shop.db, live.id, limit=100_000)
    told = max((each.event.total for each in recorded if isinstance(each.event, NetworkAttempted)), default=0)
    return Sightings(shop=shop, live=live, watch=watch, found=found, attempts_told=told)
