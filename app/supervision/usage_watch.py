"""What the agent's sandbox uses: read ten times a second, stored as one point a second, held against the limits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from app.domain.errors import CrucibleError
from app.domain.events import Event, LimitReached, Noted, OutOfMemory, ProcessesRefused
from app.store import events, usage
from app.store.usage import UsagePoint
from app.supervision.live_run import LiveRun
from app.supervision.workshop import Workshop
from sandbox_runner.driver import Sandbox, SandboxError, SandboxGone, Usage

log = logging.getLogger(__name__)

#: Seconds between readings where a reading is a file, and where it is a call to the engine.
FAST, SLOW = 0.1, 1.0
#: A reading that took longer than this was a call to the engine.
CHEAP = 0.02
#: What is called idle: less than so many cores busy over so many seconds. Ours that wait take a tenth of it at most.
IDLE_CPUS, IDLE_WINDOW = 0.02, 1.0
#: Seconds a home has to be full at every look before that is the limit: who fills it and makes room at once goes on,
#: and who fails for it ends by itself.
FULL_FOR = 2.0
#: Told once of a run whose home cannot be seen.
UNSEEN = Noted(
    text="from outside it cannot be seen how full its home is: "
    "at disk_bytes its kernel refuses to write, and nothing is ended"
)
#: Seconds between two events about one count that goes on rising: a fork bomb is refused a million times a minute.
TELL_AGAIN = 10.0


class WallClock:
    """Seconds a run worked; stands still while it is frozen. Monotonic."""

    def __init__(self, used: float = 0.0) -> None:
        self.used = used
        self._last = time.monotonic()

    def tick(self, *, frozen: bool) -> float:
        now = time.monotonic()
        if not frozen:
            self.used += now - self._last
        self._last = now
        return self.used


class IdleClock:
    """Seconds in one go in which a run printed nothing and worked next to nothing. Monotonic.

    Looked at in windows of a second. Its keeper works a little all the while, so that no CPU time at all is never read.
    """

    def __init__(self, now: float) -> None:
        self.idle = 0.0
        self._since = now
        self._cpu: float | None = None
        self._printed = -1

    def tick(self, now: float, *, frozen: bool, printed: int, cpu_seconds: float | None) -> float:
        """`printed`: bytes so far; `cpu_seconds`: so far, None when nobody could say, which is no sign of idleness."""
        window = now - self._since
        if window < IDLE_WINDOW:
            return self.idle
        known = cpu_seconds is not None and self._cpu is not None
        busy = not known or cpu_seconds - self._cpu > IDLE_CPUS * window  # type: ignore[operator]
        if busy or printed != self._printed:
            self.idle = 0.0
        elif not frozen:
            self.idle += window
        self._since, self._cpu, self._printed = now, cpu_seconds, printed
        return self.idle


class FullClock:
    """Seconds in one go in which the home was full at every look. Monotonic; stands still while the run is frozen."""

    def __init__(self) -> None:
        self.full = 0.0
        self._since: float | None = None  #: the last look, which found it full

    def tick(self, now: float, *, frozen: bool, full: bool) -> float:
        """`full`: as it is seen now."""
        if not full:
            self.full = 0.0
        elif self._since is not None and not frozen:
            self.full += now - self._since
        self._since = now if full else None
        return self.full


@dataclass(slots=True, kw_only=True)
class Fold:
    """Readings of about one second, to be one point.

    A second ends where the monotonic clock's does, for all runs at once: their points are stored together. The clock
    of the day, which may be set, decides nothing.
    """

    begun: float  #: monotonic
    first: Usage  #: the last of the second before, whose figures are in that one's point
    last: Usage
    cpus: list[float] = field(default_factory=list)  #: cores busy between each two readings
    memory: list[int] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    used: list[int] = field(default_factory=list)  #: bytes in the home, where that is seen

    def add(self, reading: Usage) -> None:
        elapsed = reading.at - self.last.at
        if elapsed > 0:
            self.cpus.append(max(0.0, (reading.cpu_seconds - self.last.cpu_seconds) / elapsed))
        self.memory.append(reading.memory_bytes)
        self.pids.append(reading.pids)
        if reading.disk_used_bytes is not None:
            self.used.append(reading.disk_used_bytes)
        self.last = reading

    def full(self, now: float) -> bool:
        """Whether its second is over at `now` (monotonic); what would be less than half of one goes on to the next."""
        return int(now) != int(self.begun) and now - self.begun >= 0.5

    def point(self, seq: int) -> UsagePoint:
        elapsed = self.last.at - self.first.at
        mean = (self.last.cpu_seconds - self.first.cpu_seconds) / elapsed if elapsed > 0 else 0.0
        mean = max(0.0, mean)
        return UsagePoint(
            seq=seq,
            at=self.last.at,
            cpu_min=round(min((*self.cpus, mean)), 4),
            cpu_mean=round(mean, 4),
            cpu_max=round(max((*self.cpus, mean)), 4),
            memory_min=min(self.memory),
            memory_mean=sum(self.memory) // len(self.memory),
            memory_bytes=max(self.memory),
            pids_min=min(self.pids),
            pids_mean=round(sum(self.pids) / len(self.pids), 2),
            pids=max(self.pids),
            disk_written_bytes=self.last.disk_written_bytes,
            network_attempts=self.last.network_attempts,
            disk_used_bytes=max(self.used, default=None),
            cpu_seconds=round(self.last.cpu_seconds, 3),
        )


@dataclass(slots=True, kw_only=True)
class Refusals:
    """What the kernel refused so far, and what of it the record was told."""

    kills: int = 0
    processes: int = 0
    _told_at: dict[type[Event], float] = field(default_factory=dict)

    def due(self, reading: Usage, now: float) -> list[OutOfMemory | ProcessesRefused]:
        """Events to record now (`now` is monotonic): the first rise at once, then what it has come to now and then."""
        found: list[OutOfMemory | ProcessesRefused] = []
        if reading.out_of_memory_kills > self.kills and self._is_due(OutOfMemory, now):
            found.append(OutOfMemory(kills=reading.out_of_memory_kills))
        if reading.pids_refused > self.processes and self._is_due(ProcessesRefused, now):
            found.append(ProcessesRefused(refused=reading.pids_refused))
        return found

    def told(self, event: OutOfMemory | ProcessesRefused, now: float) -> None:
        """`event` is recorded."""
        self._told_at[type(event)] = now
        if isinstance(event, OutOfMemory):
            self.kills = event.kills
        else:
            self.processes = event.refused

    def _is_due(self, kind: type[Event], now: float) -> bool:
        return now - self._told_at.get(kind, -TELL_AGAIN) >= TELL_AGAIN


async def watch_usage(
    shop: Workshop,
    live: LiveRun,
    sandbox: Sandbox,
    *,
    clock: WallClock,
    on_point: Callable[[UsagePoint], None],
    on_limit: Callable[[LimitReached], None],
    on_reading: Callable[[Usage], Awaitable[None]],
) -> None:
    """Read, fold, store and compare until cancelled or the sandbox is gone. `on_limit` is called at most once."""
    last_points = await usage.last(shop.db, live.id, 1)
    seq = last_points[-1].seq if last_points else 0
    fold: Fold | None = None
    told = [recorded.event for recorded in await events.read(shop.db, live.id, limit=100_000)]
    refusals, unseen = _refusals(told), UNSEEN in told
    idle, full = IdleClock(time.monotonic()), FullClock()
    pause = FAST
    while True:
        begun = time.monotonic()
        try:
            reading = await shop.driver.usage(sandbox)
        except SandboxGone:
            return
        except SandboxError:
            reading = None  # The engine is away; the wall clock goes on.
        pause = FAST if time.monotonic() - begun < CHEAP else SLOW
        stood = idle.tick(
            time.monotonic(),
            frozen=live.frozen,
            printed=live.intake.bytes_taken if live.intake is not None else 0,
            cpu_seconds=None if reading is None else reading.cpu_seconds,
        )
        filled = full.tick(
            time.monotonic(),
            frozen=live.frozen,
            full=reading is not None and live.run.limits.fills_home(reading.disk_used_bytes),
        )
        reached = _reached(live, clock.tick(frozen=live.frozen), stood, filled, reading)
        if reached is not None:
            on_limit(reached)
            return
        if reading is not None:
            await on_reading(reading)
            if fold is None:
                fold = Fold(begun=begun, first=reading, last=reading)
            fold.add(reading)
            if fold.full(begun):
                seq += 1
                point = fold.point(seq)
                shop.usage.add(live.id, point)
                on_point(point)
                fold = Fold(begun=begun, first=reading, last=reading)
            await _tell(shop, live, refusals, reading)
            if reading.disk_used_bytes is None and not unseen:
                unseen = await _recorded(shop, live, UNSEEN)
        await asyncio.sleep(pause)


async def _tell(shop: Workshop, live: LiveRun, refusals: Refusals, reading: Usage) -> None:
    now = time.monotonic()
    for event in refusals.due(reading, now):
        if await _recorded(shop, live, event):
            refusals.told(event, now)


async def _recorded(shop: Workshop, live: LiveRun, event: Event) -> bool:
    """False when it could not be: it is due again at the next reading, and the watch over limits goes on."""
    try:
        await events.append(shop.db, live.id, event, at=time.time())
    except CrucibleError as error:
        log.warning("run %d: %s could not be recorded: %s", live.id, type(event).__name__, error)
        return False
    shop.doorbell.ring(live.id)
    return True


def _refusals(recorded: Iterable[Event]) -> Refusals:
    """What a server before this one recorded of an adopted run."""
    told = Refusals()
    for event in recorded:
        if isinstance(event, OutOfMemory):
            told.kills = event.kills
        elif isinstance(event, ProcessesRefused):
            told.processes = event.refused
    return told


def _reached(live: LiveRun, wall: float, idle: float, filled: float, reading: Usage | None) -> LimitReached | None:
    """`idle` and `filled`: for how long it is so, in seconds."""
    limits = live.run.limits
    if wall > limits.wall_seconds:
        return LimitReached(limit="wall_seconds", allowed=limits.wall_seconds, used=round(wall, 1))
    if reading is not None and reading.cpu_seconds > limits.cpu_seconds:
        return LimitReached(limit="cpu_seconds", allowed=limits.cpu_seconds, used=round(reading.cpu_seconds, 1))
    if reading is not None and reading.disk_used_bytes is not None and filled >= FULL_FOR:
        return LimitReached(limit="disk_bytes", allowed=limits.home_bytes, used=reading.disk_used_bytes)
    if limits.idle_seconds and idle >= limits.idle_seconds:
        return LimitReached(limit="idle_seconds", allowed=limits.idle_seconds, used=round(idle, 1))
    return None
