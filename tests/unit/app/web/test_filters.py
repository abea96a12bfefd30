"""Numbers as people read them."""

import pytest

from app.web.filters import (
    bytes_text,
    clock_text,
    duration_text,
    iso_text,
    ms_text,
    number_text,
    percent_text,
    spark,
    when_text,
)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (512 * 1024**2, "512 MiB"), (3 * 1024**5, "3072 TiB")],
)
def test_sizes(size: int, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"), (0, "0 s"), (0.84, "0.8 s"), (9, "9 s"), (12.4, "12 s"), (59.7, "1 m 00 s"), (64, "1 m 04 s"),
        (3599.9, "1 h 00 m"), (3700, "1 h 01 m"), (200_000, "2 d 7 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_the_rest() -> None:
    assert ms_text(3.21) == "3.2 ms"
    assert ms_text(12.3) == "12 ms"
    assert ms_text(2345) == "2.35 s"
    assert number_text(12345) == "12\u202f345"
    assert percent_text(0.424) == "42%"
    assert clock_text(1795269789.12) == "14:03:09.120"
    assert when_text(1795269789.12) == "2026-11-21 14:03:09 UTC"
    assert iso_text(1795269789.12) == "2026-11-21T14:03:09.120Z"


def test_a_small_line_ends_at_the_right_and_keeps_its_peaks() -> None:
    assert spark([0.0]) == "120 27"
    assert spark([0.0, 1.0]) == "120 3"
    assert spark([0.5, 0.0, 1.0]) == "116 15L120 3"
    sixty = [0.0] * 60
    sixty[30] = 1.0
    places = spark(sixty).split("L")
    assert (len(places), places[0], places[-1]) == (30, "4 27", "120 27")
    assert sum(place.endswith(" 3") for place in places) == 1
