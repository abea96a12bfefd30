"""How fast stops were, and when the last drill was."""

from __future__ import annotations

from app.domain.drills import Drill
from app.domain.stops import Receipt, StopKind, StopReason, StopSource
from app.web.views.stops import drill_view, latency_rows, since_last

DAY = 86400.0


def receipt(dead_ms: float | None, path: str) -> Receipt:
    reason = StopReason(source=StopSource.OPERATOR, actor="ada", path=path)
    return Receipt(
        id=1, run=1, kind=StopKind.STOP, reason=reason, received_at=0.0, acted_ms=1.0, dead_ms=dead_ms, changed=True
    )


def drill(at: float, *, dead_ms: float | None, live: bool = False) -> Drill:
    return Drill(run=1, begun_at=at, by="", path="", press_seconds=None, dead_ms=dead_ms, live=live)


def test_all_ways_come_first_then_each_with_its_own_figures() -> None:
    rows = latency_rows(
        [receipt(ms, "web") for ms in (50.0, 100.0, 101.0, 9000.0)] + [receipt(300.0, "cli"), receipt(None, "web")]
    )

    assert [(row.path, row.count, row.median, row.worst) for row in rows] == [
        ("every way", 5, 101.0, 9000.0),
        ("web", 4, 100.0, 9000.0),
        ("cli", 1, 300.0, 300.0),
    ]
    assert [count for _, count, _ in rows[1].bins] == [2, 1, 0, 0, 0, 0, 1]
    assert [part for _, _, part in rows[1].bins][:2] == [1.0, 0.5]
    assert latency_rows([]) == ()
    assert [row.path for row in latency_rows([receipt(1.0, "api")])] == ["api"]


def test_days_count_since_the_last_drill_that_was_passed() -> None:
    assert since_last([drill(9 * DAY, dead_ms=None), drill(7 * DAY, dead_ms=4.0)], 10 * DAY) == "3 days ago"
    assert since_last([drill(8.5 * DAY, dead_ms=4.0)], 10 * DAY) == "1 day ago"
    assert since_last([drill(9.5 * DAY, dead_ms=4.0)], 10 * DAY) == "less than a day ago"
    assert since_last([drill(1.0, dead_ms=None)], 10 * DAY) == "no drill was ever passed"


def test_a_drill_says_what_came_of_it() -> None:
    words = [
        drill_view(each).word
        for each in (drill(1, dead_ms=2), drill(1, dead_ms=None, live=True), drill(1, dead_ms=None))
    ]

    assert words == ["stopped", "under way", "nobody stopped it"]
