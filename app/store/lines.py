"""Lines of output: one by one for whoever reads, as columns for whoever stores. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from operator import add
from typing import NamedTuple

from app.domain.levels import NOTHING, Carry, Level, guess

#: Chunks of a live run are cut at this weight. None weighs more than twice this and one line.
FULL = 64 * 1024
#: What a line weighs beyond its bytes, so that a flood of empty lines fills chunks too.
LINE_WEIGHT = 8
#: Microseconds a double holds exactly; the clock of a sandbox may say anything.
_LAST_TIME = 2**53
#: Flags of lines without a newline.
_UNENDED = bytes(range(0, 256, 2))


# Not a dataclass: making lines is half the price of storing a flood; a frozen one costs 0.75 µs, this one 0.3.
class StoredLine(NamedTuple):
    """One line. `number` counts from 1 per run without holes. `data` are the very bytes, without the newline."""

    number: int
    at: float  #: unix seconds, microsecond precision
    stream: int  #: 1 stdout, 2 stderr
    data: bytes
    complete: bool  #: whether a newline followed; if not, the next line of the stream goes on from here
    damaged: bool = False  #: the stored bytes were lost; `data` says so in our own words
    #: Guessed when it is stored, unless it is given. No part of what was printed, so it counts for no comparison.
    level: Level = Level.NONE

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredLine) and self[:-1] == other[:-1]

    def __hash__(self) -> int:
        return hash(self[:-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """One or more lines with dense numbers, as columns: storing a flood must not handle each line again and again."""

    first: int  #: number of the first
    pieces: Sequence[bytes]
    sizes: Sequence[int]  #: of the pieces
    times: Sequence[int]  #: unix microseconds
    flags: bytes  #: stream << 1 | complete
    levels: bytes
    plain: bool  #: no piece has a newline in it

    @property
    def count(self) -> int:
        return len(self.pieces)

    @property
    def last(self) -> int:
        return self.first + len(self.pieces) - 1

    @property
    def weight(self) -> int:
        """What they count towards a full chunk."""
        return sum(self.sizes) + LINE_WEIGHT * len(self.sizes)

    @property
    def printed(self) -> int:
        """Bytes with their newlines."""
        return sum(self.sizes) + len(self.flags.translate(None, _UNENDED))

    def cut(self, full: int = FULL) -> Iterator[Lines]:
        """Parts of at least `full` weight each; one when they weigh less."""
        weights = list(accumulate(map(add, self.sizes, repeat(LINE_WEIGHT))))
        begin = before = 0
        while weights[-1] - before >= 2 * full:
            end = bisect_left(weights, before + full) + 1
            if weights[-1] - weights[end - 1] < full:
                break
            yield self._part(begin, end)
            begin, before = end, weights[end - 1]
        yield self._part(begin, len(self.sizes))

    def _part(self, begin: int, end: int) -> Lines:
        if begin == 0 and end == len(self.sizes):
            return self
        return Lines(
            first=self.first + begin,
            pieces=self.pieces[begin:end],
            sizes=self.sizes[begin:end],
            times=self.times[begin:end],
            flags=self.flags[begin:end],
            levels=self.levels[begin:end],
            plain=self.plain,
        )


def as_columns(lines: Sequence[StoredLine], carry: Carry = NOTHING) -> tuple[Lines, Carry]:
    """`lines` as columns, with a level where they bring none, and what the line after them may inherit.

    Numbers must be dense: only the first is looked at. Times become microseconds. Raises `ValueError` for no lines, or
    a stream outside 0 to 127.
    """
    if not lines:
        raise ValueError("there is at least one line")
    pieces = [line.data for line in lines]
    text = b"\n".join(pieces)
    plain = text.count(b"\n") == len(pieces) - 1
    if not plain:
        text = joined(pieces)
    levels, carry = guess(text, carry, count=len(pieces))
    given = bytes([line.level for line in lines])
    if any(given):
        levels = bytes([one or other for one, other in zip(given, levels, strict=True)])
    columns = Lines(
        first=lines[0].number,
        pieces=pieces,
        sizes=list(map(len, pieces)),
        times=_microseconds([line.at for line in lines]),
        flags=bytes([line.stream << 1 | line.complete for line in lines]),
        levels=levels,
        plain=plain,
    )
    return columns, carry


def in_one(parts: Sequence[Lines]) -> Lines:
    """All the lines of neighbours."""
    if len(parts) == 1:
        return parts[0]
    return Lines(
        first=parts[0].first,
        pieces=[piece for part in parts for piece in part.pieces],
        sizes=[size for part in parts for size in part.sizes],
        times=[time for part in parts for time in part.times],
        flags=b"".join([part.flags for part in parts]),
        levels=b"".join([part.levels for part in parts]),
        plain=all(part.plain for part in parts),
    )


def joined(pieces: Sequence[bytes]) -> bytes:
    """`pieces` as lines of one text; a newline inside one becomes a blank."""
    return b"\n".join([piece.replace(b"\n", b" ") for piece in pieces])


def _microseconds(times: Sequence[float]) -> list[int]:
    # The sum is a number exactly when all of them are, or too large when one of them is.
    if not (math.isfinite(sum(times)) and min(times) >= 0 and max(times) <= _LAST_TIME / 1e6):
        times = [0.0 if math.isnan(at) else min(max(at, 0.0), _LAST_TIME / 1e6) for at in times]
    return [round(at * 1e6) for at in times]
