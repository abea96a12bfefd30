"""Lines <-> one chunk: a compressed block with what a row says of it. Pure.

The CRC is of the block before compression: it proves the storage and the codec at once.
"""

from __future__ import annotations

import enum
import math
import operator
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import zstandard

from app.domain.levels import Level, guess
from app.store.block import HEADER, OVERHEAD, Block, CorruptChunk, joined, levels_of, pack, unpack

#: Chunks of a live run are cut at this weight. None weighs more than twice this and one line.
FULL = 64 * 1024
#: What a line weighs beyond its bytes, so that a flood of empty lines fills chunks too.
LINE_WEIGHT = 8
#: zstd: of a live run's chunks, and of those that are written once more when it has ended.
FAST, SMALL = 1, 6

#: Blocks below this many bytes are not worth a compressor.
_TINY = 256
#: Microseconds a double holds exactly; the clock of a sandbox may say anything.
_LAST_TIME = 2**53


class Codec(enum.IntEnum):
    """How a block is stored."""

    RAW = 0  #: as it is: compression did not make it smaller
    ZSTD = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLine:
    """One line. `number` counts from 1 per run without holes. `data` are the very bytes, without the newline."""

    number: int
    at: float  #: unix seconds, microsecond precision
    stream: int  #: 1 stdout, 2 stderr
    data: bytes
    complete: bool  #: whether a newline followed; if not, the next line of the stream goes on from here
    damaged: bool = False  #: the stored bytes were lost; `data` says so in our own words
    #: Guessed when it is stored, unless it is given. No part of what was printed, so it counts for no comparison.
    level: Level = field(default=Level.NONE, compare=False)


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
    #: Lines of each level but `NONE`; None: written before levels were.
    levels: Mapping[Level, int] | None = None

    @property
    def line_count(self) -> int:
        return self.last_line - self.first_line + 1


def weight(lines: Sequence[StoredLine]) -> int:
    """What `lines` count towards a full chunk."""
    return sum([len(line.data) for line in lines]) + LINE_WEIGHT * len(lines)


def split(lines: Sequence[StoredLine], full: int = FULL) -> Iterator[Sequence[StoredLine]]:
    """Cut `lines` into chunks of at least `full` weight each; one chunk when they weigh less."""
    rest = weight(lines)
    begin = gathered = 0
    for end, line in enumerate(lines, 1):
        gathered += len(line.data) + LINE_WEIGHT
        if gathered >= full and rest - gathered >= full:
            yield lines[begin:end]
            rest -= gathered
            begin, gathered = end, 0
    if begin < len(lines):
        yield lines[begin:]


def encode(lines: Sequence[StoredLine], levels: bytes | None = None, *, effort: int = FAST) -> Chunk:
    """One chunk of one or more lines. Numbers must be dense: only the first is kept. Times become microseconds.

    `levels` has a byte for each line; without it they are guessed where a line brings none. `effort` is zstd's level.
    Raises `ValueError` for no lines, or a stream outside 0 to 127.
    """
    if not lines:
        raise ValueError("a chunk has at least one line")
    times = _microseconds([line.at for line in lines])
    pieces = [line.data for line in lines]
    if levels is None:
        levels = given_or(lines, guess(joined(pieces))[0])
    flags = bytes([line.stream << 1 | line.complete for line in lines])
    deltas = [0, *map(operator.sub, times[1:], times)]
    return _chunk(lines[0].number, (times[0], times[-1]), pieces, flags, levels, deltas, effort)


def merged(parts: Sequence[tuple[Chunk, Block]], *, effort: int) -> Chunk:
    """One chunk of all the lines of neighbouring ones, given with their blocks."""
    pieces: list[bytes] = []
    deltas: list[int] = []
    for index, (chunk, block) in enumerate(parts):
        pieces += block.pieces()
        jump = chunk.first_at - parts[index - 1][0].last_at if index else 0
        deltas += [jump, *block.deltas()[1:]]
    flags = b"".join([block.flags for _, block in parts])
    levels = b"".join([block.levels for _, block in parts])
    first, last = parts[0][0], parts[-1][0]
    return _chunk(first.first_line, (first.first_at, last.last_at), pieces, flags, levels, deltas, effort)


def _chunk(
    first: int,
    ends: tuple[int, int],
    pieces: Sequence[bytes],
    flags: bytes,
    levels: bytes,
    deltas: Sequence[int],
    effort: int,
) -> Chunk:
    block = pack(pieces, flags, levels, deltas)
    # The few lines of one small append are merged into something larger soon.
    packed = block if len(block) < _TINY else zstandard.ZstdCompressor(level=effort).compress(block)
    smaller = len(packed) < len(block)
    return Chunk(
        first_line=first,
        last_line=first + len(pieces) - 1,
        first_at=ends[0],
        last_at=ends[1],
        raw_bytes=sum([len(piece) for piece in pieces]),
        codec=Codec.ZSTD if smaller else Codec.RAW,
        crc32=zlib.crc32(block),
        data=packed if smaller else block,
        levels={level: levels.count(level) for level in Level if level},
    )


def given_or(lines: Sequence[StoredLine], guessed: bytes) -> bytes:
    """The levels that `lines` bring, and what was guessed for the others."""
    given = bytes([line.level for line in lines])
    if not any(given):
        return guessed
    return bytes([one or other for one, other in zip(given, guessed, strict=True)])


def opened(chunk: Chunk) -> Block:
    """The block of a chunk. Raises `CorruptChunk` when anything of it does not fit."""
    data = _unpacked(chunk)
    if zlib.crc32(data) != chunk.crc32:
        raise CorruptChunk("the checksum of a stored chunk is wrong")
    block = unpack(data)
    if block.count != chunk.line_count:
        raise CorruptChunk(f"a stored chunk has {block.count} lines, not {chunk.line_count}")
    return block


def decode(chunk: Chunk, begin: int = 0, end: int | None = None) -> list[StoredLine]:
    """The lines `encode` was given, or those from index `begin` to before `end`.

    Raises `CorruptChunk` when anything of the chunk does not fit.
    """
    block = opened(chunk)
    wanted = slice(begin, end)
    at = list(accumulate(block.deltas(), initial=chunk.first_at))[1:]
    numbers = range(chunk.first_line, chunk.last_line + 1)
    return [
        StoredLine(number=number, at=micros / 1e6, stream=flag >> 1, data=data, complete=bool(flag & 1), level=level)
        for number, micros, flag, data, level in zip(
            numbers[wanted],
            at[wanted],
            block.flags[wanted],
            block.pieces()[wanted],
            levels_of(block.levels[wanted]),
            strict=True,
        )
    ]


def _unpacked(chunk: Chunk) -> bytes:
    # A damaged frame may claim any size: ask first, and believe no more than the row allows.
    most = HEADER.size + OVERHEAD * chunk.line_count + chunk.raw_bytes
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


__all__ = [
    "FAST",
    "FULL",
    "LINE_WEIGHT",
    "SMALL",
    "Chunk",
    "Codec",
    "CorruptChunk",
    "StoredLine",
    "decode",
    "encode",
    "given_or",
    "merged",
    "opened",
    "split",
    "weight",
]
