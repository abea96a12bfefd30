"""The engine's words for a moment."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")


def unix_seconds(said: object) -> float | None:
    """As "2026-01-02T03:04:05.678901234Z" -> unix seconds; None for anything else, and for the year 1: it never was."""
    found = _MOMENT.fullmatch(said) if isinstance(said, str) else None
    if found is None:
        return None
    whole, fraction, zone = found.groups()
    with contextlib.suppress(ValueError):
        at = datetime.fromisoformat(f"{whole}{'+00:00' if zone == 'Z' else zone}").timestamp()
        return at + float(fraction or 0) if at > 0 else None
    return None
