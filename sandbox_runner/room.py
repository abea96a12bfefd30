"""How much room is left in a place of a container, read from the host."""

from __future__ import annotations

import os

from sandbox_runner.driver import Sandbox
from sandbox_runner.file_watch import places_of


def room_left(sandbox: Sandbox, path: str) -> int | None:
    """Bytes that still fit where folder `path` is mounted; None where the host cannot see it (gVisor, far engines)."""
    for _, place in places_of(sandbox, [path]):
        try:
            told = os.fstatvfs(place)
            return told.f_bavail * told.f_frsize
        except OSError:
            return None
        finally:
            os.close(place)
    return None
