"""The end of a sandbox, proven. Needs no records, no pages, no lock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from sandbox_runner.driver import Driver, Sandbox, SandboxError


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """What was done and read. Times are seconds since the call."""

    dead_after: float  #: no process was left
    gone_after: float  #: the engine no longer knew the container
    attempts: int


class NotDead(SandboxError):
    """The sandbox could not be proven dead in the given time."""


async def kill_until_verified(
    driver: Driver,
    sandbox: Sandbox,
    *,
    within: float = 60.0,
    again: float = 0.5,
    on_sent: Callable[[], None] | None = None,
) -> Death:
    """Kill, read that nothing is left, remove, read that it is gone; again until all is true.

    `on_sent` is called after each kill that was sent. Raises `NotDead` after `within` seconds. An error of one attempt
    is a reason for the next, never for giving up.
    """
    begun = time.monotonic()
    dead_after: float | None = None
    attempts = 0
    last: Exception | None = None
    while time.monotonic() - begun < within:
        attempts += 1
        try:
            if dead_after is None:
                await driver.kill(sandbox)
                if on_sent is not None:
                    on_sent()
                if not await _none_alive(driver, sandbox, again):
                    continue
                dead_after = time.monotonic() - begun
            await driver.remove(sandbox)
            if not await driver.exists(sandbox):
                return Death(dead_after=dead_after, gone_after=time.monotonic() - begun, attempts=attempts)
        except SandboxError as error:
            last = error
        await asyncio.sleep(min(0.05 * attempts, 1.0))
    raise NotDead(f"sandbox {sandbox.id[:12]} of run {sandbox.run} still exists after {within:.0f} s") from last


async def _none_alive(driver: Driver, sandbox: Sandbox, within: float) -> bool:
    until = time.monotonic() + within
    pause = 0.001
    while await driver.alive(sandbox):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.05)
    return True
