from __future__ import annotations

from app.supervision.open_sandbox import MOST_LINES_AT_ONCE, in_turns
from sandbox_runner.driver import OutputChunk, Stream, end_of


def _chunk(data: bytes) -> OutputChunk:
    return OutputChunk(offset=100, job=2, stream=Stream.STDOUT, data=data, at=1.0)


def test_output_of_ordinary_lines_stays_in_one_piece() -> None:
    chunk = _chunk(b"x" * 200_000 + b"\n")
    assert list(in_turns(chunk)) == [chunk]


def test_a_flood_of_newlines_comes_in_pieces_that_follow_each_other() -> None:
    chunk = _chunk(b"\n" * (3 * MOST_LINES_AT_ONCE + 1))

    pieces = list(in_turns(chunk))

    assert all(isinstance(piece, OutputChunk) and len(piece.data) <= MOST_LINES_AT_ONCE for piece in pieces)
    assert b"".join(piece.data for piece in pieces if isinstance(piece, OutputChunk)) == chunk.data
    at = chunk.offset
    for piece in pieces:
        assert piece.offset == at
        at = end_of(piece)
    assert at == end_of(chunk)
