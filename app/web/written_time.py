"""Times as people write them: 14:03, 14:03:09, 2026-11-21 14:03:09 (UTC), +90 (seconds after a start), unix seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from app.domain.errors import Refused

_AFTER = re.compile(r"\+([0-9]{1,9}(?:\.[0-9]{1,6})?) ?s?")
_UNIX = re.compile(r"[0-9]{9,11}(?:\.[0-9]{1,9})?")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9](?:\.[0-9]{1,6})?))?")
_DAY = 86_400.0


def moment_of(text: str, *, start: float, now: float, where: str = "at") -> float:
    """Unix seconds. A time of day is the first such one after `start` that is not after `now`. Raises `Refused`."""
    wanted = text.strip()
    if text.startswith(" ") and _AFTER.fullmatch(f"+{wanted}") and not _UNIX.fullmatch(wanted):
        wanted = f"+{wanted}"  # A plus that somebody wrote into an address arrives as a space.
    if match := _UNIX.fullmatch(wanted):
        return float(wanted)
    if match := _AFTER.fullmatch(wanted):
        return start + float(match[1])
    if match := _CLOCK.fullmatch(wanted):
        at = start - start % _DAY + int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3] or 0)
        return at if at >= start - 60 or at + _DAY > now else at + _DAY
    try:
        return datetime.fromisoformat(wanted).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Refused(
            f"{wanted[:40]!r} is not a time", where=where, todo="Write 14:03:09, 2026-11-21 14:03:09 (UTC) or +90."
        ) from None
