"""How full the home of an agent's container is, read from the host.

The look starts at the root of process 1, the keeper's, and follows no link. An agent cannot lead it elsewhere: it has
no capability and no call that mounts or makes namespaces, and what lies above its home is root's and read-only. What is
found counts only where something of its own is mounted, or it would be the figure of the host's disk.
"""

from __future__ import annotations

import os
import time

from sandbox_runner.driver import Sandbox
from sandbox_runner.file_watch import places_of
from sandbox_runner.spec import STRICT, Role

#: Seconds between two looks at one home.
EVERY = 0.5


class Homes:
    """Looks at each home now and then: 0.03 ms of processor time a look."""

    def __init__(self) -> None:
        self._looks: dict[str, tuple[float, int | None]] = {}  #: by sandbox: when (monotonic), and what was found

    def used(self, sandbox: Sandbox, *, fresh: bool = False) -> int | None:
        """Bytes in its home, at most half a second old unless `fresh`.

        None where there is none (only an agent's sandbox has one) and where the host cannot see it (gVisor, engines on
        other machines or of users whose processes it may not look into).
        """
        if sandbox.role != Role.AGENT.value or sandbox.pid is None:
            return None
        now = time.monotonic()
        known = self._looks.get(sandbox.id)
        if fresh or known is None or now - known[0] >= EVERY:
            known = self._looks[sandbox.id] = (now, _used(sandbox))
        return known[1]

    def forget(self, sandbox: Sandbox) -> None:
        self._looks.pop(sandbox.id, None)


def _used(sandbox: Sandbox) -> int | None:
    home = STRICT.home or ""
    devices: list[int] = []
    used: int | None = None
    for _, place in places_of(sandbox, (os.path.dirname(home), home)):
        try:
            devices.append(os.fstat(place).st_dev)
            told = os.fstatvfs(place)
            used = (told.f_blocks - told.f_bfree) * told.f_frsize
        except OSError:
            return None
        finally:
            os.close(place)
    return used if len(set(devices)) == 2 else None
