"""What only the host's /proc tells of a container: bytes its processes wrote to a disk, and tries to reach a network.

Cgroup v1 charges what is written back later to nobody, so its blkio files stay at zero for ordinary writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from sandbox_runner.policy import KEEPER

#: Longer than any of the files read here.
_LONGEST = 64 * 1024
#: What counts a packet that found no way out. Not datagrams without a port (NoPorts), though a name asked of the
#: resolver at 127.0.0.1, where nobody listens, is one: harmless programs ask too, each HTTP server for its own name.
_REFUSED_V4 = {"Ip": ("OutNoRoutes",)}
_REFUSED_V6 = ("Ip6OutNoRoutes",)


class ProcUsage:
    """The container whose process 1 is `pid` on this host. Holds descriptors of its network's counters once asked."""

    __slots__ = ("_network", "_pid", "_proc", "_written")

    def __init__(self, pid: int, *, proc: str = "/proc") -> None:
        self._pid = pid
        self._proc = proc
        self._network: tuple[int, int | None] | None = None
        self._written: int | None = 0

    def disk_written_bytes(self, pids: Iterable[int]) -> int | None:
        """Bytes written by `pids`, the container's processes, and by all that process 1 has buried. Never falls.

        What was written to memory (tmpfs) is not among it, nor what was thrown away before it reached the disk.
        None where the host does not let us look, and from then on.
        """
        if self._written is None:
            return None
        try:
            total = sum(self._written_by(pid) for pid in pids)
        except OSError:
            self._written = None
            return None
        self._written = max(self._written, total)
        return self._written

    def network_attempts(self) -> int | None:
        """Packets that found no route, connections among them, since the start. A name that is asked for is none.

        None where the host's kernel does not carry the sandbox's network (gVisor has its own), or does not tell.
        """
        if self._network is None:
            try:
                if KEEPER[-1].encode() not in self._read(f"{self._pid}/cmdline").split(b"\0"):
                    return None
                self._network = self._open("snmp"), self._open_if_there("snmp6")
            except OSError:
                return None
        v4, v6 = self._network
        try:
            total = refused_v4(os.pread(v4, _LONGEST, 0).decode("ascii", "replace"))
            return total + (refused_v6(os.pread(v6, _LONGEST, 0).decode("ascii", "replace")) if v6 is not None else 0)
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        network, self._network = self._network, None
        for descriptor in network or ():
            if descriptor is not None:
                os.close(descriptor)

    def _written_by(self, pid: int) -> int:
        """Zero for a process that is gone: whoever buries it has its bytes from then on."""
        try:
            fields = dict(line.split(b": ", 1) for line in self._read(f"{pid}/io").splitlines())
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return max(0, int(fields[b"write_bytes"]) - int(fields[b"cancelled_write_bytes"]))

    def _read(self, name: str) -> bytes:
        with open(f"{self._proc}/{name}", "rb") as file:
            return file.read(_LONGEST)

    def _open(self, name: str) -> int:
        # Held open: the number of a process may come to mean another one, a descriptor does not.
        return os.open(f"{self._proc}/{self._pid}/net/{name}", os.O_RDONLY | os.O_CLOEXEC)

    def _open_if_there(self, name: str) -> int | None:
        try:
            return self._open(name)
        except FileNotFoundError:  # a kernel without IPv6
            return None


def refused_v4(text: str) -> int:
    """The sum of what /proc/PID/net/snmp counts as refused: lines in pairs, "Ip: names…" and "Ip: numbers…"."""
    lines = text.splitlines()
    total = 0
    for names, numbers in zip(lines[::2], lines[1::2], strict=False):
        protocol = names.partition(":")[0]
        wanted = _REFUSED_V4.get(protocol, ())
        for name, number in zip(names.split()[1:], numbers.split()[1:], strict=False):
            total += int(number) if name in wanted else 0
    return total


def refused_v6(text: str) -> int:
    """The same of /proc/PID/net/snmp6: a name and a number in each line."""
    fields = (line.split() for line in text.splitlines())
    return sum(int(field[1]) for field in fields if len(field) == 2 and field[0] in _REFUSED_V6)
