"""Readings folded to a point, and what of the kernel's refusals is told."""

from __future__ import annotations

from app.domain.events import OutOfMemory, ProcessesRefused
from app.supervision.usage_watch import TELL_AGAIN, Fold, FullClock, Refusals
from sandbox_runner.driver import Usage


def reading(
    at: float,
    *,
    cpu: float = 0.0,
    memory: int = 10,
    pids: int = 1,
    kills: int = 0,
    refused: int = 0,
    used: int | None = None,
) -> Usage:
    return Usage(
        at=at,
        cpu_seconds=cpu,
        memory_bytes=memory,
        pids=pids,
        out_of_memory_kills=kills,
        pids_refused=refused,
        disk_written_bytes=int(at) * 100,
        network_attempts=None,
        disk_used_bytes=used,
    )


def test_a_point_has_lowest_mean_and_highest_of_all_readings_of_its_second() -> None:
    fold = Fold(begun=7.0, first=reading(100.0), last=reading(100.0))
    for each in (
        reading(100.25, cpu=0.5, memory=40, pids=7, used=900),  # two cores
        reading(100.5, cpu=0.5, memory=20, pids=2, used=500),  # none
        reading(101.0, cpu=0.75, memory=30, pids=3),  # half a core
    ):
        fold.add(each)

    point = fold.point(9)

    assert (point.seq, point.at) == (9, 101.0)
    assert (point.cpu_min, point.cpu_mean, point.cpu_max) == (0.0, 0.75, 2.0)
    assert (point.memory_min, point.memory_mean, point.memory_bytes) == (20, 30, 40)
    assert (point.pids_min, point.pids_mean, point.pids) == (2, 4.0, 7)
    assert (point.disk_written_bytes, point.network_attempts) == (10_100, None)
    assert point.disk_used_bytes == 900
    assert point.cpu_seconds == 0.75


def test_a_home_that_nobody_sees_is_not_an_empty_one() -> None:
    fold = Fold(begun=7.0, first=reading(100.0), last=reading(100.0))
    fold.add(reading(101.0))

    assert fold.point(1).disk_used_bytes is None


def test_a_home_counts_as_full_from_the_look_that_found_it_so_and_anew_after_there_was_room() -> None:
    clock = FullClock()
    looks = [(1.0, False), (2.0, True), (2.5, True), (3.0, True), (3.1, False), (4.0, True), (4.5, True)]

    assert [clock.tick(now, frozen=False, full=full) for now, full in looks] == [0, 0, 0.5, 1.0, 0, 0, 0.5]


def test_while_it_is_frozen_a_full_home_grows_no_older() -> None:
    clock = FullClock()
    looks = [(1.0, False), (2.0, False), (50.0, True), (51.0, False)]

    assert [clock.tick(now, frozen=frozen, full=True) for now, frozen in looks] == [0, 1.0, 1.0, 2.0]


def test_a_clock_set_back_makes_no_negative_use() -> None:
    fold = Fold(begun=7.0, first=reading(100.0, cpu=1.0), last=reading(100.0, cpu=1.0))
    fold.add(reading(50.0, cpu=1.1))
    fold.add(reading(50.1, cpu=1.2))

    point = fold.point(1)

    assert point.cpu_min is not None
    assert 0.0 <= point.cpu_min <= point.cpu_mean <= point.cpu_max


def test_seconds_end_together_and_none_is_less_than_half_of_one() -> None:
    early, late = (Fold(begun=begun, first=reading(1.0), last=reading(1.0)) for begun in (7.1, 7.7))

    assert [early.full(now) for now in (7.2, 7.95, 8.05)] == [False, False, True]
    assert [late.full(now) for now in (8.05, 8.15, 8.25, 9.0)] == [False, False, True, True]


def news(refusals: Refusals, seen: Usage, now: float) -> list[object]:
    due = refusals.due(seen, now)
    for event in due:
        refusals.told(event, now)
    return list(due)


def test_refusals_are_told_at_once_and_then_now_and_then_with_what_they_came_to() -> None:
    refusals = Refusals()

    assert news(refusals, reading(1.0), 1000.0) == []
    assert news(refusals, reading(1.1, refused=1), 1000.1) == [ProcessesRefused(refused=1)]
    assert news(refusals, reading(1.2, refused=900, kills=1), 1000.2) == [OutOfMemory(kills=1)]
    assert news(refusals, reading(9.0, refused=9_000, kills=2), 1009.0) == []
    assert news(refusals, reading(12.0, refused=9_500, kills=2), 1000.3 + TELL_AGAIN) == [
        OutOfMemory(kills=2),
        ProcessesRefused(refused=9_500),
    ]
    assert news(refusals, reading(30.0, refused=9_500, kills=2), 2000.0) == []


def test_what_could_not_be_recorded_is_due_again() -> None:
    refusals = Refusals()

    assert refusals.due(reading(1.0, kills=1), 5.0) == [OutOfMemory(kills=1)]
    assert refusals.due(reading(1.1, kills=2), 5.1) == [OutOfMemory(kills=2)]


def test_a_server_that_takes_over_does_not_tell_again_what_was_told() -> None:
    refusals = Refusals(kills=2, processes=50)

    assert news(refusals, reading(1.0, kills=2, refused=50), 0.0) == []
    assert news(refusals, reading(1.1, kills=3, refused=50), 0.1) == [OutOfMemory(kills=3)]
