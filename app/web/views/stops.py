"""How fast stops were, by the way they came in, and drills: as the page Health shows them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from app.domain.drills import Drill
from app.domain.stops import Receipt
from app.web.filters import duration_text
from app.web.parts import DrillView, LatencyRow
from app.web.text import visible

#: Upper ends of the bins, in milliseconds; the last bin has none.
BINS = (100, 250, 500, 1000, 2000, 5000)
BIN_WORDS = ("≤ 100 ms", "≤ 250 ms", "≤ 500 ms", "≤ 1 s", "≤ 2 s", "≤ 5 s", "> 5 s")


def latency_rows(receipts: Sequence[Receipt]) -> tuple[LatencyRow, ...]:
    """From received to verified dead: all together first, then each way, the one used most first."""
    by_path: dict[str, list[float]] = {}
    for receipt in receipts:
        if receipt.dead_ms is not None:
            by_path.setdefault(receipt.reason.path, []).append(receipt.dead_ms)
    if not by_path:
        return ()
    every = [ms for found in by_path.values() for ms in found]
    paths = sorted(by_path, key=lambda path: (-len(by_path[path]), path))
    ways = [_row(path, by_path[path]) for path in paths]
    return (_row("every way", every), *ways) if len(ways) > 1 else tuple(ways)


def _row(path: str, found: list[float]) -> LatencyRow:
    counts = [0] * len(BIN_WORDS)
    for ms in found:
        counts[next((at for at, end in enumerate(BINS) if ms <= end), len(BINS))] += 1
    return LatencyRow(
        path=path,
        count=len(found),
        median=_at(found, 0.5),
        p95=_at(found, 0.95),
        worst=max(found),
        bins=tuple((word, count, count / max(counts)) for word, count in zip(BIN_WORDS, counts, strict=True)),
    )


def _at(found: Sequence[float], part: float) -> float:
    """The value that `part` of all do not exceed."""
    return sorted(found)[math.ceil(part * len(found)) - 1]


def drill_view(drill: Drill) -> DrillView:
    unpassed = "under way" if drill.live else "nobody stopped it"
    return DrillView(
        run=drill.run,
        at=drill.begun_at,
        word="stopped" if drill.passed else unpassed,
        by=visible(drill.by),
        path=drill.path,
        press="" if drill.press_seconds is None else duration_text(drill.press_seconds),
        dead_ms=drill.dead_ms,
        passed=drill.passed,
        live=drill.live,
    )


def since_last(drills: Sequence[Drill], now: float) -> str:
    """How long ago somebody stopped a drill last."""
    last = max((drill.begun_at for drill in drills if drill.passed), default=None)
    if last is None:
        return "no drill was ever passed"
    days = int((now - last) // 86400)
    return "less than a day ago" if days == 0 else f"{days} day{'' if days == 1 else 's'} ago"
