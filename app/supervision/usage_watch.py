"""What the agent's sandbox uses: read ten times a second, stored as one point a second, held against the limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.domain.events import LimitReached, OutOfMemory
from app.store import events, usage
from app.store.usage import UsagePoint
from app.supervision.live_run import LiveRun
from app.supervision.workshop import Workshop
from sandbox_runner.driver import Sandbox, SandboxError, SandboxGone, Usage

#: Seconds between readings where a reading is a file, and where it is a call to the engine.
FAST, SLOW = 0.1, 1.0
#: A reading that took longer than this was a call to the engine.
CHEAP = 0.02


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


@dataclass(slots=True, kw_only=True)
class Fold:
    """Readings of about one second, to be one point."""

    first: Usage
    last: Usage
    cpu_max: float = 0.0
    memory: int = 0
    pids: int = 0

    def add(self, reading: Usage) -> None:
        elapsed = reading.at - self.last.at
        if elapsed > 0:
            self.cpu_max = max(self.cpu_max, (reading.cpu_seconds - self.last.cpu_seconds) / elapsed)
        self.memory = max(self.memory, reading.memory_bytes)
        self.pids = max(self.pids, reading.pids)
        self.last = reading

    def point(self, seq: int) -> UsagePoint:
        elapsed = self.last.at - self.first.at
        mean = (self.last.cpu_seconds - self.first.cpu_seconds) / elapsed if elapsed > 0 else 0.0
        return UsagePoint(
            seq=seq,
            at=self.last.at,
            cpu_mean=round(max(0.0, mean), 4),
            cpu_max=round(max(0.0, self.cpu_max, mean), 4),
            memory_bytes=self.memory,
            pids=self.pids,
        )


async def watch_usage(
    shop: Workshop,
    live: LiveRun,
    sandbox: Sandbox,
    *,
    clock: WallClock,
    on_point: Callable[[UsagePoint], None],
    on_limit: Callable[[LimitReached], None],
) -> None:
    """Read, fold, store and compare until cancelled or the sandbox is gone. `on_limit` is called at most once."""
    last_points = await usage.last(shop.db, live.id, 1)
    seq = last_points[-1].seq if last_points else 0
    fold: Fold | None = None
    kills = 0
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
        reached = _reached(live, clock.tick(frozen=live.frozen), reading)
        if reached is not None:
            on_limit(reached)
            return
        if reading is not None:
            if fold is None:
                fold = Fold(first=reading, last=reading)
            fold.add(reading)
            if reading.at - fold.first.at >= 1.0:
                seq += 1
                point = fold.point(seq)
                await usage.append(shop.db, live.id, [point])
                shop.doorbell.ring(live.id)
                on_point(point)
                fold = Fold(first=reading, last=reading)
            if reading.out_of_memory_kills > kills:
                kills = reading.out_of_memory_kills
                await events.append(shop.db, live.id, OutOfMemory(kills=kills), at=time.time())
        await asyncio.sleep(pause)


def _reached(live: LiveRun, wall: float, reading: Usage | None) -> LimitReached | None:
    limits = live.run.limits
    if wall > limits.wall_seconds:
        return LimitReached(limit="wall_seconds", allowed=limits.wall_seconds, used=round(wall, 1))
    if reading is not None and reading.cpu_seconds > limits.cpu_seconds:
        return LimitReached(limit="cpu_seconds", allowed=limits.cpu_seconds, used=round(reading.cpu_seconds, 1))
    return None
