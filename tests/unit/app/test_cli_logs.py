"""What --since takes."""

from __future__ import annotations

import time

import click
import pytest

from app.cli.logs import moment


def test_a_time_ago_or_a_time_of_the_clock_is_unix_seconds() -> None:
    before = time.time()
    assert before - 600 <= (moment("10m") or 0) <= time.time() - 600
    assert moment("2026-11-21 14:03:09") == moment("2026-11-21T15:03:09+01:00") == 1795269789.0
    assert moment(None) is None


def test_anything_else_is_refused_with_an_example() -> None:
    with pytest.raises(click.BadParameter, match="write 90s, 10m"):
        moment("yesterday")
