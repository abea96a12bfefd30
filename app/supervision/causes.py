"""Why an agent came to a bad end: what the kernel refused it, read once more when it is over.

The watch over its use looks ten times a second; an agent that is ended for its memory in the first of them would else
be told of as one that failed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from app.domain.events import Event, LimitReached, OutOfMemory, ProcessesRefused
from app.domain.limits import MIB, RunLimits
from sandbox_runner.driver import Driver, Sandbox, SandboxError
from sandbox_runner.room import room_left

#: Seconds the last look may take: the engine may not answer.
WITHIN = 2.0
HOME = "/home/agent"
#: Bytes of a home that is full: less than one more page for each of some files.
FULL = 64 * 1024


async def refusals(driver: Driver, sandbox: Sandbox, limits: RunLimits, told: Iterable[Event]) -> list[Event]:
    """What the record does not know yet of what was refused to this sandbox."""
    known = {type(event) for event in told}
    found: list[Event] = []
    with contextlib.suppress(SandboxError, TimeoutError):
        async with asyncio.timeout(WITHIN):
            usage = await driver.usage(sandbox, fresh=True)
        if usage.out_of_memory_kills and OutOfMemory not in known:
            found.append(OutOfMemory(kills=usage.out_of_memory_kills))
        if usage.pids_refused and ProcessesRefused not in known:
            found.append(ProcessesRefused(refused=usage.pids_refused))
    left = room_left(sandbox, HOME)
    if left is not None and left < FULL:
        found.append(LimitReached(limit="disk_bytes", allowed=limits.disk_bytes, used=limits.disk_bytes - left))
    return found


def causes(told: Iterable[Event]) -> list[str]:
    """What of the record explains a bad end, for people."""
    found: dict[str, None] = {}
    for event in told:
        match event:
            case ProcessesRefused():
                found["pids: it was refused more processes"] = None
            case LimitReached(limit="disk_bytes"):
                found[f"disk_bytes: its home was full ({event.allowed / MIB:.0f} MiB)"] = None
    return list(found)
