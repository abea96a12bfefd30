"""Slows down guessing of passwords, by name and by address. Pure: the caller brings the time. Bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

#: Failures that cost nothing: people mistype.
FREE = 5
#: Failures are forgotten this long after the last one, in seconds. Longer than any wait.
FORGET_SECONDS = 3600.0
#: Longest wait for a name: somebody else's guessing must not lock the owner out. For an address it may be longer.
LONGEST_FOR_NAME, LONGEST_FOR_ADDRESS = 30.0, 900.0
#: Keys kept of each kind; the one that failed longest ago is forgotten first.
MOST_KEYS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failures:
    count: int
    last: float


class Throttle:
    """Waits double with each failure after the free ones."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, _Failures] = OrderedDict()
        self._addresses: OrderedDict[str, _Failures] = OrderedDict()

    def wait_seconds(self, name: str, address: str, *, now: float) -> float:
        """How long this pair still has to wait; 0 when it may try."""
        by_name = _left(self._names.get(name), LONGEST_FOR_NAME, now)
        by_address = _left(self._addresses.get(address), LONGEST_FOR_ADDRESS, now)
        return max(by_name, by_address)

    def failed(self, name: str, address: str, *, now: float) -> None:
        _count(self._names, name, now)
        _count(self._addresses, address, now)

    def succeeded(self, name: str, address: str) -> None:
        self._names.pop(name, None)
        self._addresses.pop(address, None)


def _left(failures: _Failures | None, longest: float, now: float) -> float:
    if failures is None or failures.count < FREE:
        return 0.0
    wait = min(longest, 2.0 ** min(failures.count - FREE, 20))
    return float(max(0.0, failures.last + wait - now))


def _count(known: OrderedDict[str, _Failures], key: str, now: float) -> None:
    before = known.pop(key, None)
    count = before.count + 1 if before and now - before.last <= FORGET_SECONDS else 1
    known[key] = _Failures(count=count, last=now)
    while len(known) > MOST_KEYS:
        known.popitem(last=False)
