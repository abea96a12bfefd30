"""One chunk's block: what is compressed. Columns of like things, then the text in one piece. Pure.

::

    version u8 · format u8 · lines u32 | flags u8 each | levels u8 each | time deltas i32/i64 each | text

The text is the lines joined by newlines, so that a search runs over it without taking it apart and their lengths need
no column. A block whose lines hold newlines themselves (no pipe of ours makes any) has the lengths (u16/u32 each)
before a text without separators. Version 1 is always like that, and has no levels. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import sub

from app.domain.errors import CrucibleError
from app.domain.levels import Level, guess
from app.store.lines import Lines, joined

VERSION = 2
HEADER = struct.Struct("<BBI")
WIDE_TIMES, WIDE_LENGTHS, LENGTHS = 1, 2, 4
#: Most bytes of a block beyond its header and the lines' own, for each line.
OVERHEAD = 15

_LEVELS = {level.value: level for level in Level}
_KNOWN = bytes(_LEVELS)
_I32 = range(-(2**31), 2**31)


class CorruptChunk(CrucibleError):
    """A stored chunk is not what was written. `read` answers placeholder lines for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The columns of one chunk. `flags`: stream << 1 | complete, a byte for each line; `levels` likewise."""

    count: int
    flags: bytes
    levels: bytes
    deltas: bytes  #: microseconds since the line before, 0 for the first; packed, for a search needs none
    text: bytes  #: the lines, joined by newlines; a newline inside a line is a blank here
    exact: Sequence[bytes] | None  #: the lines, where `text` does not tell them

    def times(self, first_at: int) -> list[int]:
        """When each line was read, the first at `first_at`, in microseconds."""
        width = "q" if len(self.deltas) == 8 * self.count else "i"
        return list(accumulate(struct.unpack(f"<{self.count}{width}", self.deltas), initial=first_at))[1:]

    def pieces(self) -> Sequence[bytes]:
        """The lines' very bytes. Raises `CorruptChunk` when there are more or fewer than there should be."""
        pieces = self.text.split(b"\n") if self.exact is None else self.exact
        if len(pieces) != self.count:
            raise CorruptChunk(f"a stored chunk holds {len(pieces)} lines, not {self.count}")
        return pieces


def pack(lines: Lines) -> bytes:
    """The block of `lines`."""
    count, form, lengths = lines.count, 0, b""
    if lines.plain:
        text = b"\n".join(lines.pieces)
    else:
        wide = max(lines.sizes) > 0xFFFF
        form |= LENGTHS | (WIDE_LENGTHS if wide else 0)
        lengths = struct.pack(f"<{count}{'I' if wide else 'H'}", *lines.sizes)
        text = b"".join(lines.pieces)
    deltas = [0, *map(sub, lines.times[1:], lines.times)]
    wide_times = min(deltas) not in _I32 or max(deltas) not in _I32
    form |= WIDE_TIMES if wide_times else 0
    times = struct.pack(f"<{count}{'q' if wide_times else 'i'}", *deltas)
    return b"".join((HEADER.pack(VERSION, form, count), lines.flags, lines.levels, times, lengths, text))


def unpack(data: bytes) -> Block:
    """The block of `pack`, or of version 1. Raises `CorruptChunk` when anything does not fit.

    Only `Block.pieces` compares the number of lines in the text: a search, which counts newlines anyway, saves it.
    """
    try:
        version, form, count = HEADER.unpack_from(data)
        if version not in {1, VERSION} or not count:
            raise CorruptChunk(f"a block says version {version} and {count} lines")
        place = HEADER.size
        flags = data[place : place + count]
        place += count
        levels = b""
        if version != 1:
            levels = data[place : place + count]
            place += count
        width = 8 if form & WIDE_TIMES else 4
        deltas = data[place : place + width * count]
        place += width * count
        exact = None
        if version == 1 or form & LENGTHS:
            exact = _by_lengths(data, place, count, wide=bool(form & WIDE_LENGTHS))
            text = joined(exact)
        else:
            text = data[place:]
    except struct.error as error:
        raise CorruptChunk(f"a block is cut short: {error}") from None
    if len(deltas) != width * count:
        raise CorruptChunk("a block is cut short")
    if version == 1:
        levels = guess(text)[0]
    elif levels.translate(None, _KNOWN):
        raise CorruptChunk("a block has a level that is none")
    return Block(count=count, flags=flags, levels=levels, deltas=deltas, text=text, exact=exact)


def _by_lengths(data: bytes, place: int, count: int, *, wide: bool) -> list[bytes]:
    sizes = struct.Struct(f"<{count}{'I' if wide else 'H'}")
    lengths = sizes.unpack_from(data, place)
    ends = list(accumulate(lengths, initial=place + sizes.size))
    if ends[-1] != len(data):
        raise CorruptChunk(f"the lengths in a block add up to {ends[-1]} bytes, not {len(data)}")
    return [data[left:right] for left, right in pairwise(ends)]


def levels_of(levels: bytes) -> Iterable[Level]:
    """The bytes of a levels column as levels."""
    return map(_LEVELS.__getitem__, levels)
