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

#: Seconds the last look may take: the engine may not answer.
WITHIN = 2.0


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
        if (used := usage.disk_used_bytes) is not None and limits.fills_home(used):
            found.append(LimitReached(limit="disk_bytes", allowed=limits.home_bytes, used=used))
    return found


def causes(told: Iterable[Event]) -> list[str]:
    """What of the record explains a bad end, for people."""
    found: dict[str, None] = {}
    for event in told:
        match event:
            case ProcessesRefused():
                found["pids: it was refused more processes"] = None
            case LimitReached(limit="disk_bytes"):
                found[full_home(event)] = None
    return list(found)


def full_home(reached: LimitReached) -> str:
    """For people."""
    return f"disk_bytes: its home was full ({reached.allowed / MIB:.0f} MiB)"
