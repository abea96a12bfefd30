"""Limits as people write them."""

from __future__ import annotations

import pytest

from app.domain.errors import Refused
from app.domain.limits import MIB, RunLimits, parse_limits


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [
        ("memory_bytes", "512m", 512 * MIB),
        ("memory_bytes", "1GiB", 1024 * MIB),
        ("memory_bytes", "1.5 g", 1536 * MIB),
        ("memory_bytes", 268435456, 256 * MIB),
        ("wall_seconds", "2m", 120),
        ("wall_seconds", "1h", 3600),
        ("wall_seconds", "90", 90),
        ("cpus", "0.5", 0.5),
        ("pids", "64", 64),
    ],
)
def test_sizes_and_times_are_read_with_their_units(name: str, written: object, meant: float) -> None:
    assert getattr(parse_limits({name: written}), name) == meant


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("memory_bytes", "much"),
        ("memory_bytes", "10x"),
        ("memory_bytes", True),
        ("memory_bytes", [1]),
        ("memory_bytes", "999999999g"),
        ("memory_bytes", float("nan")),
        ("cpus", "-1"),
        ("cpus", "2g"),
        ("pids", 0),
        ("wall_seconds", "0"),
        ("wall", 60),
    ],
)
def test_what_cannot_be_a_limit_is_refused_by_name(name: str, written: object) -> None:
    with pytest.raises(Refused) as refusal:
        parse_limits({name: written}, where="suites/x.yaml:7")

    assert name in str(refusal.value)
    assert "suites/x.yaml:7" in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "written", "advice"),
    [
        ("memory_bytes", "5", "from 64m to 64g"),
        ("wall_seconds", "0", "from 1 to 168h"),
        ("cpus", "-1", "for example 0.5 or 2"),
        ("pids", "1", "from 16 to 16384"),
    ],
)
def test_advice_about_a_limit_is_written_as_one_would_write_it(name: str, written: str, advice: str) -> None:
    with pytest.raises(Refused, match=advice):
        parse_limits({name: written})


def test_what_is_not_written_stays_as_it_was() -> None:
    base = RunLimits(wall_seconds=77)
    assert parse_limits({"pids": 64, "cpus": "", "memory_bytes": None}, base=base) == RunLimits(
        wall_seconds=77, pids=64
    )


def test_a_home_that_is_too_large_for_its_memory_is_refused_because_it_lies_in_it() -> None:
    with pytest.raises(Refused, match=r"disk_bytes is 45m, and memory_bytes 128m has room for 44m.*lies in memory"):
        parse_limits({"memory_bytes": "128m", "disk_bytes": "45m"})
    assert parse_limits({"memory_bytes": "128m", "disk_bytes": "44m"}).disk_bytes == 44 * MIB


def test_who_asks_for_less_memory_gets_the_home_that_fits_into_it() -> None:
    assert parse_limits({"memory_bytes": "64m"}).disk_bytes == 22 * MIB
    assert parse_limits({"memory_bytes": "2g"}).disk_bytes == 128 * MIB


def test_a_home_is_full_when_less_than_64_kib_are_left_of_what_it_was_given() -> None:
    limits = RunLimits(disk_bytes=16 * MIB)
    cramped = RunLimits(disk_bytes=100 * MIB, memory_bytes=64 * MIB)

    assert [limits.fills_home(used) for used in (None, 0, 16 * MIB - 65_536, 16 * MIB - 65_535, 16 * MIB)] == [
        False,
        False,
        False,
        True,
        True,
    ]
    assert cramped.home_bytes == 22 * MIB
    assert cramped.fills_home(22 * MIB)
