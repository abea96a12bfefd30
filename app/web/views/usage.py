"""A usage point as it travels to charts and other readers."""

from __future__ import annotations

from app.store.usage import UsagePoint

#: seq, at, cpu_mean, cpu_max, memory_bytes, pids, disk_written_bytes, network_attempts
UsageRow = tuple[int, float, float, float, int, int, int | None, int | None]


def usage_row(point: UsagePoint) -> UsageRow:
    """The last two are counters since the sandbox's start; None where the host does not tell."""
    return (
        point.seq,
        point.at,
        point.cpu_mean,
        point.cpu_max,
        point.memory_bytes,
        point.pids,
        point.disk_written_bytes,
        point.network_attempts,
    )
