"""Who was in a sandbox, read in passing before it is killed: bounded by a clock, because a kill waits for nobody."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

#: Seconds that looking at one sandbox may take, and at all sandboxes of one stop, however many they are.
BUDGET, ALL = 0.005, 0.040


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    pid: int  #: as the host numbers it
    parent: int
    name: str  #: at most 15 bytes, the process's own choice
    state: str  #: the kernel's letter: R, S, D, T, Z


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLook:
    """`unseen` processes were there beside those of the list. `took_ms` is what looking cost."""

    processes: tuple[Process, ...]
    unseen: int
    took_ms: float
    shown: bool = True  #: False: this host does not show who is in it


def share(sandboxes: int) -> float:
    """Seconds each of so many sandboxes may be looked at when they are all stopped at once."""
    return min(BUDGET, ALL / max(1, sandboxes))


def look_at(pids: Sequence[int], *, begun: float, within: float = BUDGET, proc: str = "/proc") -> LastLook:
    """As many of `pids` as can be read `within` seconds, counted from `begun` (monotonic).

    Only /proc/PID/stat: reading a command line waits for a lock that the process itself can hold.
    """
    seen: list[Process] = []
    looked = 0
    for pid in pids:
        if time.monotonic() - begun > within:
            break
        looked += 1
        try:
            with open(f"{proc}/{pid}/stat", encoding="utf-8", errors="replace") as file:
                seen.append(_process(pid, file.read()))
        except (OSError, ValueError, IndexError):
            continue  # It is gone by now.
    return LastLook(
        processes=tuple(seen), unseen=len(pids) - looked, took_ms=round((time.monotonic() - begun) * 1000, 2)
    )


def _process(pid: int, stat: str) -> Process:
    """The name is in brackets and may hold any of them: the last one closes."""
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    state, parent = stat[stat.rindex(")") + 2 :].split()[:2]
    return Process(pid=pid, parent=int(parent), name=name, state=state)
