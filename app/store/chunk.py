"""Lines <-> one chunk: a compressed block with what a row says of it. Pure.

The CRC is of the block before compression: it proves the storage and the codec at once.
"""

from __future__ import annotations

import enum
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat

import zstandard

from app.domain.levels import Level
from app.store.block import HEADER, OVERHEAD, Block, CorruptChunk, levels_of, pack, unpack
from app.store.lines import Lines, StoredLine

#: zstd: of a live run's chunks, and of those that are written once more when it has ended.
FAST, SMALL = 1, 9

#: Blocks below this many bytes are not worth a compressor.
_TINY = 256


_of_thread = threading.local()


class Codec(enum.IntEnum):
    """How a block is stored."""

    RAW = 0  #: as it is: compression did not make it smaller
    ZSTD = 1


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


def encode(lines: Lines, *, effort: int = FAST) -> Chunk:
    """One chunk of `lines`. `effort` is zstd's level."""
    block = pack(lines)
    # The few lines of one small append are merged into something larger soon.
    packed = block if len(block) < _TINY else zstandard.ZstdCompressor(level=effort).compress(block)
    smaller = len(packed) < len(block)
    return Chunk(
        first_line=lines.first,
        last_line=lines.last,
        first_at=lines.times[0],
        last_at=lines.times[-1],
        raw_bytes=sum(lines.sizes),
        codec=Codec.ZSTD if smaller else Codec.RAW,
        crc32=zlib.crc32(block),
        data=packed if smaller else block,
        levels={level: lines.levels.count(level) for level in Level if level},
    )


def opened(chunk: Chunk) -> Block:
    """The block of a chunk. Raises `CorruptChunk` when anything of it does not fit."""
    data = _unpacked(chunk)
    if zlib.crc32(data) != chunk.crc32:
        raise CorruptChunk("the checksum of a stored chunk is wrong")
    block = unpack(data)
    if block.count != chunk.line_count:
        raise CorruptChunk(f"a stored chunk has {block.count} lines, not {chunk.line_count}")
    return block


def columns(chunk: Chunk) -> Lines:
    """The lines `encode` was given. Raises `CorruptChunk` when anything of the chunk does not fit."""
    block = opened(chunk)
    pieces = block.pieces()
    return Lines(
        first=chunk.first_line,
        pieces=pieces,
        sizes=list(map(len, pieces)),
        times=block.times(chunk.first_at),
        flags=block.flags,
        levels=block.levels,
        plain=block.exact is None,
    )


def decode(chunk: Chunk, begin: int = 0, end: int | None = None) -> list[StoredLine]:
    """The lines one by one, or those from index `begin` to before `end`.

    Raises `CorruptChunk` when anything of the chunk does not fit.
    """
    block = opened(chunk)
    wanted = slice(begin, end)
    flags = block.flags[wanted]
    return list(
        map(
            StoredLine,
            range(chunk.first_line, chunk.last_line + 1)[wanted],
            [micros / 1e6 for micros in block.times(chunk.first_at)[wanted]],
            [flag >> 1 for flag in flags],
            block.pieces()[wanted],
            [bool(flag & 1) for flag in flags],
            repeat(False),
            levels_of(block.levels[wanted]),
        )
    )


def _unpacked(chunk: Chunk) -> bytes:
    # A damaged frame may claim any size: ask first, and believe no more than the row allows.
    most = HEADER.size + OVERHEAD * chunk.line_count + chunk.raw_bytes
    try:
        if chunk.codec is Codec.RAW:
            return chunk.data
        if not 0 <= zstandard.frame_content_size(chunk.data) <= most:
            raise CorruptChunk("a stored chunk claims an impossible size")
        return _decompressor().decompress(chunk.data)
    except zstandard.ZstdError as error:
        # A damaged frame may have made it large.
        _of_thread.decompressor = None
        raise CorruptChunk(f"a stored chunk cannot be decompressed: {error}") from None


def _decompressor() -> zstandard.ZstdDecompressor:
    """The thread's own: making one costs a third of what unpacking a live chunk does."""
    mine = getattr(_of_thread, "decompressor", None)
    if mine is None:
        mine = _of_thread.decompressor = zstandard.ZstdDecompressor()
    return mine


__all__ = [
    "FAST",
    "SMALL",
    "Chunk",
    "Codec",
    "CorruptChunk",
    "StoredLine",
    "columns",
    "decode",
    "encode",
    "opened",
]
