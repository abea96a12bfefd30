"""Chunks as the first version wrote them: lengths in a column, a text without separators, no levels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise

import zstandard

from app.store.chunk import Chunk, Codec
from app.store.lines import StoredLine


def encoded(lines: Sequence[StoredLine]) -> Chunk:
    times = [round(line.at * 1e6) for line in lines]
    deltas = [0, *(now - before for before, now in pairwise(times))]
    lengths = [len(line.data) for line in lines]
    count = len(lines)
    wide_times = max(map(abs, deltas)) >= 2**31
    wide_lengths = max(lengths) > 0xFFFF
    block = (
        struct.pack("<BBI", 1, wide_times | wide_lengths << 1, count)
        + bytes(line.stream << 1 | line.complete for line in lines)
        + struct.pack(f"<{count}{'q' if wide_times else 'i'}", *deltas)
        + struct.pack(f"<{count}{'I' if wide_lengths else 'H'}", *lengths)
        + b"".join(line.data for line in lines)
    )
    return Chunk(
        first_line=lines[0].number,
        last_line=lines[-1].number,
        first_at=times[0],
        last_at=times[-1],
        raw_bytes=sum(lengths),
        codec=Codec.ZSTD,
        crc32=zlib.crc32(block),
        data=zstandard.ZstdCompressor(level=1).compress(block),
    )
