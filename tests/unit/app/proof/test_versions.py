"""Versions with known holes are named, fixed ones and unreadable texts are not."""

from __future__ import annotations

import pytest

from app.proof.versions import ESCAPES, counted, parse, warnings

OLD = {"engine": "20.10.24+dfsg1", "runc": "1.1.5+ds1", "containerd": "1.6.20~ds1", "runsc": "0.0~20221219.0"}
NEW = {"engine": "29.6.0", "runc": "1.4.3", "containerd": "2.1.0", "runsc": "release-20260105.0", "kernel": "6.18.44"}


def test_old_versions_are_warned_of_and_new_ones_are_not() -> None:
    assert {each.program for each in warnings(OLD)} == set(OLD)
    assert warnings(NEW) == []


@pytest.mark.parametrize(
    ("version", "open_to"),
    [
        ("1.1.11", True),
        ("1.1.12", False),
        ("1.0.3", True),
        ("1.2.0", False),
        ("no version", None),
    ],
)
def test_a_fix_counts_for_its_own_branch_and_for_every_younger_one(version: str, open_to: bool | None) -> None:
    (leaky,) = (escape for escape in ESCAPES if escape.names == "CVE-2024-21626")
    assert leaky.open_in(version) is open_to


def test_a_branch_between_two_fixes_that_has_none_of_its_own_is_open() -> None:
    (masks,) = (escape for escape in ESCAPES if "CVE-2025-31133" in escape.names)
    answers = {version: masks.open_in(version) for version in ("1.1.15", "1.2.8", "1.3.2", "1.3.3", "1.4.0", "1.5.1")}
    assert answers == {"1.1.15": True, "1.2.8": False, "1.3.2": True, "1.3.3": False, "1.4.0": False, "1.5.1": False}


def test_a_version_from_before_the_hole_is_not_open() -> None:
    (pipe,) = (escape for escape in ESCAPES if "Dirty Pipe" in escape.names)
    assert pipe.open_in("5.4.0") is False
    assert pipe.open_in("5.10.101") is True


def test_a_distributions_version_is_said_to_be_uncertain() -> None:
    told = {each.program: each.text for each in warnings({"runc": "1.1.5+ds1"})}
    assert "unless its distribution has carried it back" in told["runc"]
    plain = {each.program: each.text for each in warnings({"runc": "1.1.5"})}
    assert "unless" not in plain["runc"]


def test_what_is_no_way_out_is_not_counted_as_one() -> None:
    old = warnings({"runc": "1.1.11", "runsc": "release-20221219.0"})
    out = sum(each.program == "runc" for each in old)
    assert len(old) == out + 1
    assert counted(old) == f"{out} older than the fix of a known escape, 1 old for another reason"
    assert counted([each for each in old if each.program == "runsc"]) == "1 old for another reason"
    assert counted([]) == ""


def test_versions_are_read_out_of_what_programs_say() -> None:
    assert parse("1.1.5+ds1-1") == (1, 1, 5)
    assert parse("0.0~20221219.0") == (20221219, 0)
    assert parse("") == ()
    assert parse("9" * 400) != ()


def test_every_known_hole_names_its_source() -> None:
    assert all(escape.source.startswith("https://") and escape.fixed and escape.what for escape in ESCAPES)
