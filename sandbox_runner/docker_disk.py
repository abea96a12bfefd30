"""The disk an engine keeps its images and layers on, where that is this host's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sandbox_runner.driver import DiskRoom


def disk_of(info: Mapping[str, Any]) -> str | None:
    """The engine's folder, from its `info`; None when it is on another machine, or hidden from us by a container.

    A folder of that name is everywhere: only an engine that calls its machine as we call ours is taken to be here.
    """
    folder = str(info.get("DockerRootDir") or "")
    here = info.get("Name") == os.uname().nodename
    return folder if here and os.path.isabs(folder) and os.path.isdir(folder) else None


def room_of(folder: str) -> DiskRoom | None:
    """What is left on the disk of `folder`, for anybody; None when it cannot be read."""
    try:
        told = os.statvfs(folder)
    except OSError:
        return None
    return DiskRoom(bytes=told.f_bavail * told.f_frsize, files=told.f_favail if told.f_files else None)
