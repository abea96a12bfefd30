"""The engine's own figures, for where the kernel's files cannot be read."""

from __future__ import annotations

from typing import Any

from sandbox_runner.driver import Sandbox, SandboxGone, Usage


def usage_of(sample: dict[str, Any], sandbox: Sandbox, at: float) -> Usage:
    """One answer of the stats call. Raises `SandboxGone` for that of a container that does not run."""
    memory = sample.get("memory_stats") or {}
    cpu = (sample.get("cpu_stats") or {}).get("cpu_usage") or {}
    if "usage" not in memory or "total_usage" not in cpu:
        raise SandboxGone(f"sandbox {sandbox.id[:12]} is not running")
    details = memory.get("stats") or {}
    # cgroup v1 and v2 name the file cache that could be dropped at once differently.
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    return Usage(
        at=at,
        cpu_seconds=cpu["total_usage"] / 1e9,
        memory_bytes=max(0, memory["usage"] - cache),
        pids=int((sample.get("pids_stats") or {}).get("current") or 0),
        memory_peak_bytes=memory.get("max_usage"),
        disk_written_bytes=_written(sample),
    )


def _written(sample: dict[str, Any]) -> int | None:
    """None where the engine tells nothing: on cgroup v1 it may have no entries, or none but zeros."""
    entries = (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    return sum(int(each["value"]) for each in entries if str(each.get("op")).lower() == "write") or None
