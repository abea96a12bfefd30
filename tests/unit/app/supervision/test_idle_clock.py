"""What counts as idle."""

from __future__ import annotations

from app.supervision.usage_watch import IdleClock


def test_only_silence_without_cpu_time_counts_and_it_counts_in_one_go() -> None:
    clock = IdleClock(0.0)
    told = [
        clock.tick(now, frozen=False, printed=printed, cpu_seconds=cpu)
        for now, printed, cpu in [
            (1, 0, 1.0),
            (2, 0, 1.01),
            (3, 0, 1.015),
            (4, 0, 1.1),
            (5, 0, 1.1),
            (6, 9, 1.1),
            (7, 9, 1.1),
        ]
    ]
    assert told == [0.0, 1.0, 2.0, 0.0, 1.0, 0.0, 1.0]


def test_frozen_time_and_what_nobody_could_measure_are_not_idle() -> None:
    clock = IdleClock(0.0)
    for now, frozen, cpu in [(1, False, 1.0), (2, True, 1.0), (3, True, 1.0), (4, False, None), (5, False, 1.0)]:
        assert clock.tick(now, frozen=frozen, printed=5, cpu_seconds=cpu) == 0.0


def test_it_looks_once_a_second_at_most() -> None:
    clock = IdleClock(0.0)
    assert [clock.tick(now, frozen=False, printed=0, cpu_seconds=0.0) for now in (1.0, 1.5, 2.0)] == [0.0, 0.0, 1.0]
