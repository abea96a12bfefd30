"""Times as people write them."""

from __future__ import annotations

import pytest

from app.domain.errors import Refused
from app.web.written_time import moment_of

#: 2026-11-21 23:59:00 UTC.
START = 1795305540.0


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("1795305550.5", 10.5),
        ("+90", 90),
        ("+1.5 s", 1.5),
        (" 90", 90),
        ("23:59", 0),
        (" 23:59:09.250 ", 9.25),
        ("00:01", 120),
        ("2026-11-22 00:00:00", 60),
        ("2026-11-22T00:00", 60),
    ],
)
def test_each_way_of_writing_a_time_is_understood(text: str, after: float) -> None:
    assert moment_of(text, start=START, now=START + 3600) == pytest.approx(START + after)


def test_a_time_of_day_that_has_not_come_yet_is_that_of_the_first_day() -> None:
    assert moment_of("00:01", start=START, now=START + 60) < START


@pytest.mark.parametrize("text", ["", "noon", "25:00", "12:60", "-5", "nan", "1e9", "12:00; DROP", "9" * 30])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Refused, match="is not a time"):
        moment_of(text, start=START, now=START)
