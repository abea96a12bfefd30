"""The engine's words for a moment."""

from __future__ import annotations

import pytest

from sandbox_runner.docker_times import unix_seconds


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("1970-01-02T00:00:00Z", 86400.0),
        ("1970-01-02T00:00:00.250000001Z", 86400.25),
        ("1970-01-02T02:00:00+02:00", 86400.0),
    ],
)
def test_a_moment_is_read_to_its_fraction_in_any_zone(said: str, at: float) -> None:
    assert unix_seconds(said) == pytest.approx(at)


@pytest.mark.parametrize("said", ["0001-01-01T00:00:00Z", "", None, 7, "yesterday", "2026-13-01T00:00:00Z"])
def test_what_never_was_and_what_is_no_moment_is_none(said: object) -> None:
    assert unix_seconds(said) is None
