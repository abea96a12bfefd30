"""Which cgroup each of our containers has, remembered: its end is read there when no process is left to ask for."""

from __future__ import annotations

import os
import signal

from sandbox_runner import cgroups
from sandbox_runner.cgroups import ContainerCgroup
from sandbox_runner.driver import Sandbox


class KnownCgroups:
    """Finds and keeps cgroups by container id. Empty answers mean that this host cannot see them."""

    def __init__(self) -> None:
        self._known: dict[str, ContainerCgroup] = {}

    def find(self, sandbox: Sandbox) -> ContainerCgroup | None:
        known = self._known.get(sandbox.id)
        if known is None and sandbox.pid is not None:
            known = cgroups.locate(sandbox.pid, sandbox.id)
            if known is not None:
                self._known[sandbox.id] = known
        return known

    def search(self, sandbox: Sandbox) -> ContainerCgroup | None:
        """Also without a pid, by looking at every process of the host: for when the engine does not tell it."""
        known = self.find(sandbox)
        for name in os.listdir("/proc") if known is None else ():
            if name.isdigit() and is_member(int(name), sandbox.id):
                known = cgroups.locate(int(name), sandbox.id)
                if known is not None:
                    self._known[sandbox.id] = known
                    break
        return known

    def forget(self, sandbox: Sandbox) -> None:
        known = self._known.pop(sandbox.id, None)
        if known is not None:
            known.close()

    def close(self) -> None:
        for known in self._known.values():
            known.close()
        self._known.clear()


def is_member(pid: int, container: str) -> bool:
    """Whether the kernel says that process `pid` of this host is in the container's cgroup."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            return container in file.read()
    except OSError:
        return False


def strike(pid: int, container: str) -> bool:
    """SIGKILL to `pid` if, and only if, it is a process of the container; False when it is not or may not be."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # Asked after the handle is held: from here on the number cannot come to mean another process.
        if not is_member(pid, container):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
