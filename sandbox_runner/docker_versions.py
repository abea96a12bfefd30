"""Which programs make the containers, and in which versions, as the engine and this host tell them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from typing import Any


def versions_of(told: Mapping[str, Any]) -> dict[str, str]:
    """From the engine's answer: engine, containerd, runc, kernel."""
    found = {"engine": str(told.get("Version", "")), "kernel": str(told.get("KernelVersion", ""))}
    for component in told.get("Components") or ():
        if component.get("Name") in ("containerd", "runc"):
            found[component["Name"]] = str(component.get("Version", ""))
    return {name: version for name, version in found.items() if version}


def runsc_version() -> str | None:
    """gVisor's on this host, None where there is none to be asked."""
    program = shutil.which("runsc")
    if program is None:
        return None
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.partition("version ")[2].split("\n")[0].strip() or None
