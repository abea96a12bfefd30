"""Guessing gets slower; the owner is never locked out for long; memory stays bounded."""

from app.web.throttle import FORGET_SECONDS, FREE, LONGEST_FOR_ADDRESS, LONGEST_FOR_NAME, MOST_KEYS, Throttle


def test_the_first_failures_cost_nothing_and_then_waits_double() -> None:
    throttle = Throttle()
    waits = []
    for _ in range(FREE + 3):
        waits.append(throttle.wait_seconds("admin", "192.0.2.1", now=100.0))
        throttle.failed("admin", "192.0.2.1", now=100.0)
    assert waits == [0.0] * FREE + [1.0, 2.0, 4.0]


def test_a_wait_passes() -> None:
    throttle = Throttle()
    for _ in range(FREE):
        throttle.failed("admin", "192.0.2.1", now=100.0)
    assert throttle.wait_seconds("admin", "192.0.2.1", now=100.5) == 0.5
    assert throttle.wait_seconds("admin", "192.0.2.1", now=101.0) == 0.0


def test_many_addresses_guessing_one_name_delay_its_owner_only_a_little() -> None:
    throttle = Throttle()
    for place in range(100):
        throttle.failed("admin", f"192.0.2.{place}", now=100.0)
    assert throttle.wait_seconds("admin", "198.51.100.1", now=100.0) == LONGEST_FOR_NAME


def test_one_address_guessing_many_names_waits_long() -> None:
    throttle = Throttle()
    for place in range(100):
        throttle.failed(f"user{place}", "192.0.2.1", now=100.0)
    assert throttle.wait_seconds("another", "192.0.2.1", now=100.0) == LONGEST_FOR_ADDRESS


def test_a_success_and_time_forgive() -> None:
    throttle = Throttle()
    for _ in range(20):
        throttle.failed("admin", "192.0.2.1", now=100.0)
    later = 101.0 + FORGET_SECONDS
    assert throttle.wait_seconds("admin", "192.0.2.1", now=later) == 0.0
    throttle.failed("admin", "192.0.2.1", now=later)
    assert throttle.wait_seconds("admin", "192.0.2.1", now=later) == 0.0, "the old failures count no more"
    throttle.succeeded("admin", "192.0.2.1")
    assert throttle.wait_seconds("admin", "192.0.2.1", now=100.0) == 0.0


def test_memory_is_bounded_however_many_guess() -> None:
    throttle = Throttle()
    for place in range(MOST_KEYS + 500):
        throttle.failed(f"user{place}", f"address{place}", now=100.0)
    assert len(throttle._names) == len(throttle._addresses) == MOST_KEYS
