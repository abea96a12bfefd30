"""Reading a cgroup's figures through descriptors that stay open: 0.05 ms a sample."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass

from sandbox_runner.driver import SandboxGone, Usage
from sandbox_runner.proc_usage import ProcUsage

#: Seconds between two looks at what is dearer to read.
SELDOM = 0.5
#: More than the longest of these files, memory.stat, can be.
_LONGEST = 16 * 1024


def is_gone(error: OSError) -> bool:
    """Whether `error` is what the kernel answers for a cgroup that was removed (ENODEV: through an old descriptor)."""
    return error.errno in (errno.ENOENT, errno.ENODEV)


@dataclass(frozen=True, slots=True)
class _Seldom:
    """What is dearer to read, changes slowly, or only counts upwards."""

    at: float
    droppable: int  #: bytes of file cache that could be dropped at once
    peak: int | None
    kills: int
    refused: int
    written: int | None
    attempts: int | None


class UsageReader:
    """Samples one container. Directories are those of the v1 hierarchies and of v2; None where there is none.

    CPU, memory and pids are of the moment, all else is at most half a second old: three small files in most samples.
    `proc` and `procs` (the container's processes) tell what no cgroup file does; None: the host does not show it.
    """

    __slots__ = ("_cpuacct", "_descriptors", "_memory", "_pids", "_proc", "_procs", "_seldom", "_unified")

    def __init__(
        self,
        *,
        cpuacct: str | None,
        memory: str | None,
        pids: str | None,
        unified: str | None,
        proc: ProcUsage | None,
        procs: Callable[[], list[int]],
    ) -> None:
        self._cpuacct = cpuacct
        self._memory = memory
        self._pids = pids or unified
        self._unified = unified
        self._proc = proc
        self._procs = procs
        self._descriptors: dict[tuple[str, str], int | None] = {}
        self._seldom: _Seldom | None = None

    def read(self, at: float, *, fresh: bool = False) -> Usage | None:
        """None when a figure is not to be had on this host. Raises `SandboxGone` when the cgroup was removed."""
        try:
            cpu = self._cpu_seconds()
            charged = self._charged()
            pids = self._text(self._pids, "pids.current") if self._pids is not None else None
            if cpu is None or charged is None or pids is None:
                self._raise_if_gone()
                return None
            seldom = self._seldom_read(at, fresh)
        except OSError as error:
            if is_gone(error):
                raise SandboxGone("the container's cgroup was removed") from error
            raise
        return Usage(
            at=at,
            cpu_seconds=cpu,
            memory_bytes=max(0, charged - seldom.droppable),
            pids=int(pids),
            memory_peak_bytes=seldom.peak,
            out_of_memory_kills=seldom.kills,
            pids_refused=seldom.refused,
            disk_written_bytes=seldom.written,
            network_attempts=seldom.attempts,
        )

    def close(self) -> None:
        descriptors, self._descriptors = self._descriptors, {}
        for descriptor in descriptors.values():
            if descriptor is not None:
                os.close(descriptor)
        if self._proc is not None:
            self._proc.close()

    def _seldom_read(self, at: float, fresh: bool) -> _Seldom:
        known = self._seldom
        # Either way: the host's clock may be set back.
        if fresh or known is None or abs(at - known.at) >= SELDOM:
            droppable, peak, kills = self._memory_figures()
            known = self._seldom = _Seldom(
                at=at,
                droppable=droppable,
                peak=peak,
                kills=kills,
                refused=_field(self._text(self._pids, "pids.events"), b"max") or 0 if self._pids is not None else 0,
                written=self._disk_written(),
                attempts=self._proc.network_attempts() if self._proc is not None else None,
            )
        return known

    def _disk_written(self) -> int | None:
        text = self._text(self._unified, "io.stat") if self._unified is not None else None
        if text is not None:
            return sum(int(field[7:]) for field in text.split() if field.startswith(b"wbytes="))
        return self._proc.disk_written_bytes(self._procs()) if self._proc is not None else None

    def _cpu_seconds(self) -> float | None:
        if self._cpuacct is not None:
            text = self._text(self._cpuacct, "cpuacct.usage")
            return int(text) / 1e9 if text is not None else None
        if self._unified is not None:
            microseconds = _field(self._text(self._unified, "cpu.stat"), b"usage_usec")
            return microseconds / 1e6 if microseconds is not None else None
        return None

    def _charged(self) -> int | None:
        if self._memory is not None:
            text = self._text(self._memory, "memory.usage_in_bytes")
        elif self._unified is not None:
            text = self._text(self._unified, "memory.current")
        else:
            return None
        return int(text) if text is not None else None

    def _memory_figures(self) -> tuple[int, int | None, int]:
        """The file cache that could be dropped at once, peak, OOM kills."""
        if self._memory is not None:
            droppable = _field(self._text(self._memory, "memory.stat"), b"total_inactive_file")
            peak = self._text(self._memory, "memory.max_usage_in_bytes")
            kills = _field(self._text(self._memory, "memory.oom_control"), b"oom_kill")
        else:
            assert self._unified is not None  # the charged memory was read there
            droppable = _field(self._text(self._unified, "memory.stat"), b"inactive_file")
            peak = self._text(self._unified, "memory.peak")
            kills = _field(self._text(self._unified, "memory.events"), b"oom_kill")
        return droppable or 0, int(peak) if peak is not None else None, kills or 0

    def _text(self, directory: str, name: str) -> bytes | None:
        """None when the host has no such file."""
        path = directory, name
        if path not in self._descriptors:
            try:
                self._descriptors[path] = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                self._descriptors[path] = None
        descriptor = self._descriptors[path]
        return os.pread(descriptor, _LONGEST, 0) if descriptor is not None else None

    def _raise_if_gone(self) -> None:
        for directory in (self._cpuacct, self._memory, self._pids, self._unified):
            if directory is not None and not os.path.isdir(directory):
                raise SandboxGone("the container's cgroup was removed")


def _field(text: bytes | None, name: bytes) -> int | None:
    """The number after `name` in a file of lines "name number"."""
    if text is None:
        return None
    start = 0 if text.startswith(name + b" ") else text.find(b"\n" + name + b" ") + 1
    if start == 0 and not text.startswith(name + b" "):
        return None
    value = text[start + len(name) + 1 :].split(b"\n", 1)[0]
    return int(value)
