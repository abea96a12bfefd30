"""The end of a sandbox, proven. Needs no records, no pages, no lock."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from sandbox_runner.driver import Driver, Sandbox, SandboxError, Told

#: Steps of the ladder, as they are told. The first three are the driver's.
EMPTY, REMOVED, GONE, AGAIN = "no process left", "engine removed it", "gone from the engine", "not dead, struck again"
HUNG = "the kill hangs"
#: Seconds one kill may take before it is looked whether it helped, and begun anew.
KILL_WITHIN = 3.0


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
    told: Told | None = None,
) -> Death:
    """Kill, read that nothing is left, remove, read that it is gone; again until all is true.

    `told` hears the name of each step when it is done. Raises `NotDead` after `within` seconds. An error of one attempt
    is a reason for the next, never for giving up.
    """
    tell = told or _nobody
    begun = time.monotonic()
    dead_after: float | None = None
    attempts = 0
    last: Exception | None = None
    while time.monotonic() - begun < within:
        attempts += 1
        try:
            if dead_after is None:
                await _strike(driver, sandbox, tell)
                if not await _none_alive(driver, sandbox, again):
                    tell(AGAIN)
                    continue
                dead_after = time.monotonic() - begun
                tell(EMPTY)
            await driver.remove(sandbox)
            tell(REMOVED)
            if not await driver.exists(sandbox):
                tell(GONE)
                return Death(dead_after=dead_after, gone_after=time.monotonic() - begun, attempts=attempts)
        except SandboxError as error:
            last = error
        await asyncio.sleep(min(0.05 * attempts, 1.0))
    raise NotDead(f"sandbox {sandbox.id[:12]} of run {sandbox.run} still exists after {within:.0f} s") from last


async def _strike(driver: Driver, sandbox: Sandbox, tell: Told) -> None:
    """One kill. A driver that hangs in it is left to hang: what counts is read from the sandbox, never its answer."""
    try:
        async with asyncio.timeout(KILL_WITHIN):
            await driver.kill(sandbox, told=tell)
    except TimeoutError:
        tell(HUNG)


async def _none_alive(driver: Driver, sandbox: Sandbox, within: float) -> bool:
    until = time.monotonic() + within
    pause = 0.001
    while await driver.alive(sandbox):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.05)
    return True


def _nobody(_step: str) -> None:
    pass
