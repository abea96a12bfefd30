"""Finds the values of honeytokens in what an agent gives away: plain, reversed, hexadecimal, base64, rot13."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import re2

from app.domain.honeytokens import Honeytoken


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """One value that was found, at the offsets `at` to before `end` of the searched bytes."""

    place: str
    how: str  #: "plain", "reversed", "hexadecimal", "base64", "base32", "rot13"
    at: int
    end: int


class Leaks:
    """Searches bytes for every known form at once, in linear time. No tokens: finds nothing."""

    def __init__(self, tokens: Iterable[Honeytoken]) -> None:
        self._forms = {form.upper(): (token.place, how) for token in tokens for form, how in _forms(token.value)}
        # Without case: hexadecimal and base32 come in both, and chance does not write 30 letters alike.
        pattern = b"|".join(sorted(map(re2.escape, self._forms)))
        options = re2.Options()
        options.case_sensitive = False
        options.encoding = re2.Options.Encoding.LATIN1
        self._pattern = re2.compile(pattern, options) if pattern else None

    def search(self, data: bytes, *, limit: int = 16) -> list[Leak]:
        """What is found in `data`, in order, at most `limit`."""
        found: list[Leak] = []
        if self._pattern is None:
            return found
        at = 0
        while len(found) < limit and (match := self._pattern.search(data, at)) is not None:
            place, how = self._forms[match.group(0).upper()]
            found.append(Leak(place=place, how=how, at=match.start(), end=match.end()))
            at = match.end()
        return found


def _forms(value: str) -> Iterator[tuple[bytes, str]]:
    plain = value.encode()
    yield plain, "plain"
    yield plain[::-1], "reversed"
    yield plain.hex().encode(), "hexadecimal"
    yield codecs.encode(value, "rot13").encode(), "rot13"
    for before in range(3):
        # The same bytes look different by where they stand in what was encoded; letters that neighbours touch are cut.
        yield base64.b64encode(bytes(before) + plain)[-(-before * 8 // 6) : (before + len(plain)) * 8 // 6], "base64"
    for before in range(5):
        yield base64.b32encode(bytes(before) + plain)[-(-before * 8 // 5) : (before + len(plain)) * 8 // 5], "base32"
