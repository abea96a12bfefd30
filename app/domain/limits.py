"""What a run may use, and how people write it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.errors import Refused
from app.domain.sandboxes import never_granted
from sandbox_runner.spec import home_room

MIB = 1024 * 1024
#: Bytes of room that a full home still has at most: less than one more page for each of some files.
_FULL = 64 * 1024
_UNITS = {"": 1, "b": 1, "k": 1024, "m": MIB, "g": 1024 * MIB}
_EXAMPLES = {"seconds": "90, 10m or 2h", "bytes": "512m or 2g", "cpus": "0.5 or 2", "pids": "256"}
_TIMES = {"": 1, "s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """Hard limits of one run. Sizes in bytes, times in seconds."""

    wall_seconds: int = 600  #: agent phase, by the supervisor's monotonic clock
    cpu_seconds: int = 600  #: user and system time of the agent's sandbox
    memory_bytes: int = 512 * MIB
    cpus: float = 1.0
    pids: int = 256
    disk_bytes: int = 128 * MIB  #: the agent's home; lies in memory, as /tmp does: at most about a third of it
    output_bytes: int = 64 * MIB  #: what the agent may print
    idle_seconds: int = 0  #: no output and next to no CPU time for so long in one go; 0: as long as it likes
    unattended_seconds: int = 0  #: it goes on only while a person shows up so often; 0: nobody needs to

    @property
    def home_bytes(self) -> int:
        """What the home is given: of a run that was queued before it had to fit into half of the memory, what fits."""
        return min(self.disk_bytes, home_room(self.memory_bytes))

    def fills_home(self, used: int | None) -> bool:
        """Whether a home with `used` bytes in it is full; None is a home that cannot be seen, and never full."""
        return used is not None and self.home_bytes - used < _FULL


#: field -> (lowest, highest) accepted; a typing error should not take a host down
BOUNDS: Mapping[str, tuple[float, float]] = {
    "wall_seconds": (1, 7 * 24 * 3600),
    "cpu_seconds": (1, 7 * 24 * 3600),
    "memory_bytes": (64 * MIB, 64 * 1024 * MIB),
    "cpus": (0.05, 64),
    "pids": (16, 16384),
    "disk_bytes": (1 * MIB, 64 * 1024 * MIB),
    "output_bytes": (1024, 64 * 1024 * MIB),
    "idle_seconds": (0, 7 * 24 * 3600),
    "unattended_seconds": (0, 7 * 24 * 3600),
}


def parse_limits(values: Mapping[str, object], *, base: RunLimits | None = None, where: str = "limits") -> RunLimits:
    """Limits from what a person or a file wrote, over `base`. "512m", "10m" (time) and plain numbers are accepted.

    Raises `Refused` naming the field for anything unknown, unreadable or out of bounds.
    """
    base = base or RunLimits()
    changes: dict[str, float | int] = {}
    for name, value in values.items():
        if name not in BOUNDS and (why := never_granted(name)) is not None:
            raise Refused(f"asks for {name}", where=where, todo=f"No sandbox gets it: {why}.")
        if name not in BOUNDS:
            raise Refused(f"there is no limit called {name!r}", where=where, todo=f"Use one of {', '.join(BOUNDS)}.")
        if value is None or value == "":
            continue
        number = _number(name, value, where)
        low, high = BOUNDS[name]
        if not low <= number <= high:
            todo = f"Choose a value from {_shown(name, low)} to {_shown(name, high)}."
            raise Refused(f"{name} is {value}", where=where, todo=todo)
        changes[name] = number if name == "cpus" else int(number)
    limits = dataclasses.replace(base, **changes)  # type: ignore[arg-type]
    room = home_room(limits.memory_bytes)
    if limits.disk_bytes > room and "disk_bytes" not in changes:
        # Who asks for less memory, and says nothing of the disk in it, gets the disk that fits.
        return dataclasses.replace(limits, disk_bytes=room)
    if limits.disk_bytes > room:
        raise Refused(
            f"disk_bytes is {_shown('disk_bytes', limits.disk_bytes)}, and memory_bytes "
            f"{_shown('memory_bytes', limits.memory_bytes)} has room for {_shown('disk_bytes', room)} of it",
            where=where,
            todo="The home lies in memory, as /tmp does; half of it at most: raise one or lower the other.",
        )
    return limits


def _shown(name: str, value: float) -> str:
    """A bound as a person would write it."""
    if value == 0:
        return "0"
    units = _TIMES if name.endswith("_seconds") else _UNITS if name.endswith("_bytes") else {"": 1}
    unit, size = max(((unit, size) for unit, size in units.items() if value % size == 0), key=lambda each: each[1])
    return f"{value / size:g}{unit if size > 1 else ''}"


def _number(name: str, value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Refused(f"{name} must be a number, not {value!r}", where=where)
    if isinstance(value, int | float):
        return float(value)
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([a-zA-Z]?)(?:i?[bB])?\s*", value)
    units = _TIMES if name.endswith("_seconds") else _UNITS if name.endswith("_bytes") else {"": 1}
    if match is None or match[2].lower() not in units:
        todo = f"Write for example {_EXAMPLES[name.rpartition('_')[2]]}."
        raise Refused(f"{name} cannot be read from {value!r}", where=where, todo=todo)
    return float(match[1]) * units[match[2].lower()]
