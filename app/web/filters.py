"""Numbers as people read them. Pure; also the filters of the templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


def bytes_text(size: float) -> str:
    """1536 -> "1.5 KiB"."""
    amount = float(size)
    for unit in _SIZES:
        if abs(amount) < 1024 or unit == _SIZES[-1]:
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" or amount == int(amount) else f"{amount:.1f} {unit}"


def duration_text(seconds: float) -> str:
    """0.84 -> "0.8 s", 64 -> "1 m 04 s", 3700 -> "1 h 01 m"."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s" if seconds != int(seconds) else f"{max(0, int(seconds))} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def ms_text(milliseconds: float) -> str:
    """12.3 -> "12 ms", 2345 -> "2.35 s"."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"
    return f"{milliseconds / 1000:.2f} s"


def number_text(number: float) -> str:
    """12345 -> "12 345" with a narrow no-break space."""
    return f"{number:,.0f}".replace(",", "\u202f")


def percent_text(fraction: float) -> str:
    return f"{fraction * 100:.0f}%"


def clock_text(at: float) -> str:
    """Unix seconds -> "14:03:09.120", UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]


def when_text(at: float) -> str:
    """Unix seconds -> "2026-11-21 14:03:09 UTC"."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso_text(at: float) -> str:
    """Unix seconds for <time datetime>."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def spark(points: Sequence[float]) -> str:
    """Fractions, one a second and at most sixty, as places of a path in a box of 120 by 28; the newest is at the right.

    Two seconds are one place, at the height of the higher: no peak disappears.
    """
    left = 120 - 4 * ((len(points) - 1) // 2)
    first = len(points) % 2
    pairs = [*points[:first], *map(max, points[first::2], points[first + 1 :: 2])]
    return "L".join([f"{left + 4 * place} {27 - 24 * value:.0f}" for place, value in enumerate(pairs)])


FILTERS: Mapping[str, Callable[[float], str]] = {
    "bytes": bytes_text,
    "duration": duration_text,
    "ms": ms_text,
    "number": number_text,
    "percent": percent_text,
    "clock": clock_text,
    "when": when_text,
    "iso": iso_text,
}
