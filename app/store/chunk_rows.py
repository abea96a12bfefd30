"""Rows of output <-> chunks and lines."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from app.domain.levels import Level
from app.store.chunk import Chunk, Codec, CorruptChunk, decode
from app.store.lines import StoredLine

log = logging.getLogger(__name__)

LEVEL_COLUMNS: Mapping[Level, str] = {
    Level.ERROR: "errors",
    Level.WARNING: "warnings",
    Level.INFO: "infos",
    Level.DEBUG: "debugs",
}


def row_of(run: int, chunk: Chunk) -> dict[str, object]:
    """A chunk as a new row of `run`."""
    return {
        "run": run,
        "last_line": chunk.last_line,
        "first_line": chunk.first_line,
        "line_count": chunk.line_count,
        "first_at": chunk.first_at,
        "last_at": chunk.last_at,
        "raw_bytes": chunk.raw_bytes,
        "codec": int(chunk.codec),
        "crc32": chunk.crc32,
        "data": chunk.data,
        **{name: None if chunk.levels is None else chunk.levels[level] for level, name in LEVEL_COLUMNS.items()},
    }


def chunk_of(row: Row[Any]) -> Chunk:
    """The chunk of a row. Raises `CorruptChunk`."""
    try:
        codec = Codec(row.codec)
    except ValueError:
        raise CorruptChunk(f"a stored chunk has the unknown codec {row.codec}") from None
    return Chunk(
        first_line=row.first_line,
        last_line=row.last_line,
        first_at=row.first_at,
        last_at=row.last_at,
        raw_bytes=row.raw_bytes,
        codec=codec,
        crc32=row.crc32,
        data=row.data,
        levels=levels_of(row),
    )


def levels_of(row: Row[Any]) -> Mapping[Level, int] | None:
    """How many lines of a chunk have each level; None when that was not counted."""
    if row.errors is None:
        return None
    return {level: getattr(row, name) for level, name in LEVEL_COLUMNS.items()}


def lines_of(rows: Sequence[Row[Any]], after: int, limit: int) -> list[StoredLine]:
    """Lines `after` + 1 to `after` + `limit` of chunks in order; placeholders for those of a damaged one."""
    lines: list[StoredLine] = []
    for row in rows:
        begin, end = max(after + 1, row.first_line), min(after + limit, row.last_line)
        try:
            lines += decode(chunk_of(row), begin - row.first_line, end - row.first_line + 1)
        except CorruptChunk as error:
            log.error("run %d: lines %d to %d cannot be read: %s", row.run, row.first_line, row.last_line, error)
            lines += _placeholders(row, begin, end)
    return lines


def _placeholders(row: Row[Any], begin: int, end: int) -> list[StoredLine]:
    # One for each line, so that numbers stay dense and a reader's cursor goes on as ever.
    said = lost_text(row)
    return [
        StoredLine(number=number, at=row.first_at / 1e6, stream=2, data=said, complete=True, damaged=True)
        for number in range(begin, end + 1)
    ]


def lost_text(row: Row[Any]) -> bytes:
    """What stands in place of a damaged chunk's lines."""
    return f"[lost: the stored output of lines {row.first_line} to {row.last_line} is damaged]".encode()
