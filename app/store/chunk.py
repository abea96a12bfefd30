"""Lines <-> one chunk's bytes. Pure.

A block is a small header, three columns and the text::

    version u8 · format u8 · lines u32 | flags u8 each · time deltas i32/i64 each · lengths u16/u32 each | all bytes

Columns of like things compress; the text stays in one piece, so that a search runs over it without taking it apart.
All numbers are little-endian. The CRC is of the block before compression: it proves the storage and the codec at once.
"""

from __future__ import annotations

import enum
import math
import operator
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import zstandard

from app.domain.errors import CrucibleError

#: Chunks are cut at this weight. None weighs more than twice this and one line.
FULL = 64 * 1024
#: What a line weighs beyond its bytes, so that a flood of empty lines fills chunks too.
LINE_WEIGHT = 8

_VERSION = 1
_HEADER = struct.Struct("<BBI")
_WIDE_TIMES, _WIDE_LENGTHS = 1, 2
_I32 = range(-(2**31), 2**31)
#: Blocks below this many bytes are not worth a compressor.
_TINY = 256
#: Microseconds a double holds exactly; the clock of a sandbox may say anything.
_LAST_TIME = 2**53


class Codec(enum.IntEnum):
    """How a block is stored."""

    RAW = 0  #: as it is: compression did not make it smaller
    ZSTD = 1


class CorruptChunk(CrucibleError):
    """A stored chunk is not what was written. `read` answers placeholder lines for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLine:
    """One line. `number` counts from 1 per run without holes. `data` are the very bytes, without the newline."""

    number: int
    at: float  #: unix seconds, microsecond precision
    stream: int  #: 1 stdout, 2 stderr
    data: bytes
    complete: bool  #: whether a newline followed; if not, the next line of the stream goes on from here
    damaged: bool = False  #: the stored bytes were lost; `data` says so in our own words


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One row of output: dense lines `first_line` to `last_line`. Times are unix microseconds."""

    first_line: int
    last_line: int
    first_at: int
    last_at: int
    raw_bytes: int  #: of the lines' bytes, without newlines
    codec: Codec
    crc32: int
    data: bytes

    @property
    def line_count(self) -> int:
        return self.last_line - self.first_line + 1


def weight(lines: Sequence[StoredLine]) -> int:
    """What `lines` count towards a full chunk."""
    return sum([len(line.data) for line in lines]) + LINE_WEIGHT * len(lines)


def split(lines: Sequence[StoredLine]) -> Iterator[Sequence[StoredLine]]:
    """Cut `lines` into chunks of at least `FULL` weight each; one chunk when they weigh less."""
    rest = weight(lines)
    begin = gathered = 0
    for end, line in enumerate(lines, 1):
        gathered += len(line.data) + LINE_WEIGHT
        if gathered >= FULL and rest - gathered >= FULL:
            yield lines[begin:end]
            rest -= gathered
            begin, gathered = end, 0
    if begin < len(lines):
        yield lines[begin:]


def encode(lines: Sequence[StoredLine]) -> Chunk:
    """One chunk of one or more lines. Numbers must be dense: only the first is kept. Times become microseconds.

    Raises `ValueError` for no lines, or a stream outside 0 to 127.
    """
    if not lines:
        raise ValueError("a chunk has at least one line")
    times = _microseconds([line.at for line in lines])
    deltas = [0, *map(operator.sub, times[1:], times)]
    pieces = [line.data for line in lines]
    lengths = [len(piece) for piece in pieces]
    flags = bytes([line.stream << 1 | line.complete for line in lines])
    wide_times = min(deltas) not in _I32 or max(deltas) not in _I32
    wide_lengths = max(lengths) > 0xFFFF
    count = len(lines)
    block = b"".join(
        (
            _HEADER.pack(_VERSION, _WIDE_TIMES * wide_times | _WIDE_LENGTHS * wide_lengths, count),
            flags,
            struct.pack(f"<{count}{'q' if wide_times else 'i'}", *deltas),
            struct.pack(f"<{count}{'I' if wide_lengths else 'H'}", *lengths),
            *pieces,
        )
    )
    # The few lines of one small append are merged into something larger soon.
    packed = block if len(block) < _TINY else zstandard.ZstdCompressor(level=1).compress(block)
    smaller = len(packed) < len(block)
    return Chunk(
        first_line=lines[0].number,
        last_line=lines[0].number + count - 1,
        first_at=times[0],
        last_at=times[-1],
        raw_bytes=sum(lengths),
        codec=Codec.ZSTD if smaller else Codec.RAW,
        crc32=zlib.crc32(block),
        data=packed if smaller else block,
    )


def decode(chunk: Chunk, begin: int = 0, end: int | None = None) -> list[StoredLine]:
    """The lines `encode` was given, or those from index `begin` to before `end`.

    Raises `CorruptChunk` when anything of the chunk does not fit.
    """
    block = _unpacked(chunk)
    if zlib.crc32(block) != chunk.crc32:
        raise CorruptChunk("the checksum of a stored chunk is wrong")
    try:
        version, form, count = _HEADER.unpack_from(block)
        if version != _VERSION or count != chunk.line_count:
            raise CorruptChunk(f"a stored chunk says version {version} and {count} lines, not {chunk.line_count}")
        place = _HEADER.size
        flags = block[place : place + count]
        place += count
        times = struct.Struct(f"<{count}{'q' if form & _WIDE_TIMES else 'i'}")
        deltas = times.unpack_from(block, place)
        place += times.size
        sizes = struct.Struct(f"<{count}{'I' if form & _WIDE_LENGTHS else 'H'}")
        lengths = sizes.unpack_from(block, place)
        place += sizes.size
    except struct.error as error:
        raise CorruptChunk(f"a stored chunk is cut short: {error}") from None
    ends = list(accumulate(lengths, initial=place))
    if ends[-1] != len(block):
        raise CorruptChunk(f"the lengths in a stored chunk add up to {ends[-1]} bytes, not {len(block)}")
    wanted = slice(begin, end)
    at = list(accumulate(deltas, initial=chunk.first_at))[1:]
    numbers = range(chunk.first_line, chunk.last_line + 1)
    return [
        StoredLine(number=number, at=micros / 1e6, stream=flag >> 1, data=block[left:right], complete=bool(flag & 1))
        for number, micros, flag, left, right in zip(
            numbers[wanted], at[wanted], flags[wanted], ends[:-1][wanted], ends[1:][wanted], strict=True
        )
    ]


def _unpacked(chunk: Chunk) -> bytes:
    # A damaged frame may claim any size: ask first, and believe no more than the row allows.
    most = _HEADER.size + 13 * chunk.line_count + chunk.raw_bytes
    try:
        if chunk.codec is Codec.RAW:
            return chunk.data
        if not 0 <= zstandard.frame_content_size(chunk.data) <= most:
            raise CorruptChunk("a stored chunk claims an impossible size")
        return zstandard.ZstdDecompressor().decompress(chunk.data)
    except zstandard.ZstdError as error:
        raise CorruptChunk(f"a stored chunk cannot be decompressed: {error}") from None


def _microseconds(times: Sequence[float]) -> list[int]:
    # The sum is a number exactly when all of them are, or too large when one of them is.
    if not (math.isfinite(sum(times)) and min(times) >= 0 and max(times) <= _LAST_TIME / 1e6):
        times = [0.0 if math.isnan(at) else min(max(at, 0.0), _LAST_TIME / 1e6) for at in times]
    return [round(at * 1e6) for at in times]
