"""Lines become a chunk and the same lines again, whatever an agent printed."""

from __future__ import annotations

import dataclasses
import os
import zlib
from collections.abc import Sequence

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.levels import Level
from app.store.chunk import Chunk, Codec, CorruptChunk, columns, decode, opened
from app.store.chunk import encode as encode_columns
from app.store.lines import FULL, LINE_WEIGHT, StoredLine, as_columns, in_one
from sandbox_runner import frames
from tests.unit.app.store import first_version

MICROSECONDS = st.integers(min_value=0, max_value=frames.MAX_TIME_US)  # later is refused, and no float tells it apart


def lines_of(parts: Sequence[tuple[int, int, bytes, bool]], first: int = 1) -> list[StoredLine]:
    return [
        StoredLine(number=number, at=micros / 1e6, stream=stream, data=data, complete=complete)
        for number, (micros, stream, data, complete) in enumerate(parts, first)
    ]


def encode(lines: Sequence[StoredLine]) -> Chunk:
    return encode_columns(as_columns(lines)[0])


def plain(*texts: bytes) -> list[StoredLine]:
    return lines_of([(10**15 + index, 1, text, True) for index, text in enumerate(texts)])


PARTS = st.lists(st.tuples(MICROSECONDS, st.integers(0, 127), st.binary(max_size=300), st.booleans()), min_size=1)


@settings(deadline=None)
@given(parts=PARTS, first=st.integers(1, 2**50))
def test_any_lines_come_back_exactly(parts: list[tuple[int, int, bytes, bool]], first: int) -> None:
    lines = lines_of(parts, first)

    chunk = encode(lines)

    assert decode(chunk) == lines
    assert decode(chunk, 1, 3) == lines[1:3]
    assert (chunk.first_line, chunk.last_line, chunk.line_count) == (first, first + len(lines) - 1, len(lines))
    assert chunk.raw_bytes == sum(len(line.data) for line in lines)


@settings(deadline=None)
@given(st.floats())
def test_any_clock_can_be_stored(at: float) -> None:
    [line] = decode(encode([StoredLine(number=1, at=at, stream=1, data=b"x", complete=True)]))

    expected = at if 0 <= at <= 2**53 / 1e6 else None
    if expected is None:
        assert line.at in {0.0, 2**53 / 1e6}
    else:
        assert line.at == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("length", [0, 1, 0xFFFF, 0x10000, 200_000])
def test_lines_of_any_length_come_back(length: int) -> None:
    lines = plain(b"a", os.urandom(length), b"", b"z" * length)

    assert decode(encode(lines)) == lines


def test_a_clock_that_jumps_by_years_comes_back() -> None:
    lines = lines_of([(0, 1, b"a", True), (2**53, 1, b"b", True), (5, 1, b"c", True), (2**52, 1, b"d", True)])

    assert decode(encode(lines)) == lines


@pytest.mark.parametrize("length", [10, 70_000])
@pytest.mark.parametrize("jump", [1, 2**40])
def test_chunks_of_the_first_version_are_read_and_their_levels_guessed(length: int, jump: int) -> None:
    lines = lines_of(
        [(5, 1, b"ERROR: a", True), (5 + jump, 2, b"", False), (3, 1, b"a\nINFO: b", True), (9, 1, b"x" * length, True)]
    )
    chunk = first_version.encoded(lines)

    found = decode(chunk)

    assert found == lines
    assert [line.level for line in found] == [Level.ERROR, Level.NONE, Level.INFO, Level.NONE]
    assert opened(chunk).text.split(b"\n")[2] == b"a INFO: b"


@settings(deadline=None)
@given(parts=PARTS, cut=st.integers(1, 10))
def test_merged_chunks_hold_the_same_lines(parts: list[tuple[int, int, bytes, bool]], cut: int) -> None:
    lines = lines_of(parts)
    chunks = [encode(lines[begin : begin + cut]) for begin in range(0, len(lines), cut)]

    whole = encode_columns(in_one([columns(chunk) for chunk in chunks]), effort=6)

    assert decode(whole) == lines
    assert [line.level for line in decode(whole)] == [line.level for chunk in chunks for line in decode(chunk)]
    assert (whole.first_line, whole.last_line) == (1, len(lines))
    assert (whole.first_at, whole.last_at) == (chunks[0].first_at, chunks[-1].last_at)
    assert whole.levels is not None
    assert sum(whole.levels.values()) == sum(line.level > 0 for line in decode(whole))


def test_lines_with_newlines_in_them_can_be_merged_with_others() -> None:
    lines = plain(b"a", b"b\nc", b"\n", b"d")

    assert decode(encode_columns(in_one([columns(encode([line])) for line in lines]))) == lines


def test_what_does_not_shrink_is_stored_as_it_is() -> None:
    assert encode(plain(os.urandom(50))).codec is Codec.RAW
    assert encode(plain(b"again and " * 50)).codec is Codec.ZSTD


def test_ordinary_text_shrinks_to_a_fraction() -> None:
    lines = plain(*[b"Unpacking library-%d (1.2.%d) over (1.2.%d) ..." % (n, n, n - 1) for n in range(1000)])
    chunk = encode(lines)

    assert len(chunk.data) < chunk.raw_bytes / 4


def test_a_chunk_is_never_empty() -> None:
    with pytest.raises(ValueError, match="at least one line"):
        encode([])


def test_a_stream_that_fits_no_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="range"):
        encode([StoredLine(number=1, at=0.0, stream=128, data=b"", complete=True)])


@settings(deadline=None)
@given(st.lists(st.integers(0, 3 * FULL // 2), min_size=1, max_size=40))
def test_lines_are_cut_into_full_chunks_and_every_one_is_kept(sizes: list[int]) -> None:
    lines = plain(*[bytes(size) for size in sizes])

    parts = list(as_columns(lines)[0].cut())

    assert [line for part in parts for line in decode(encode_columns(part))] == lines
    if len(parts) > 1:
        assert all(part.weight >= FULL for part in parts)
    for part in parts:
        assert part.weight == sum(len(piece) + LINE_WEIGHT for piece in part.pieces)
        assert part.weight < 2 * FULL + max(part.sizes) + LINE_WEIGHT


def test_a_flood_of_empty_lines_fills_chunks_too() -> None:
    parts = list(as_columns(plain(*[b""] * 100_000))[0].cut())

    assert max(part.count for part in parts) <= 2 * FULL // LINE_WEIGHT


def test_what_was_printed_counts_a_newline_for_each_line_that_has_one() -> None:
    lines, _ = as_columns(lines_of([(1, 1, b"abc", True), (1, 2, b"", True), (1, 1, b"de", False)]))

    assert lines.printed == 7


def some_chunk() -> Chunk:
    return encode(plain(*[b"line %d of the chunk" % n for n in range(100)]))


@settings(deadline=None)
@given(place=st.integers(min_value=0), flip=st.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, flip: int) -> None:
    chunk = some_chunk()
    data = bytearray(chunk.data)
    data[place % len(data)] ^= flip

    try:
        lines = decode(dataclasses.replace(chunk, data=bytes(data)))
    except CorruptChunk:
        return
    # A few bits of a compressed frame mean nothing: then the lines are the very same.
    assert lines == decode(chunk)


@settings(deadline=None)
@given(st.binary(max_size=2000), st.sampled_from(Codec))
def test_any_bytes_in_place_of_a_chunk_are_noticed(data: bytes, codec: Codec) -> None:
    with pytest.raises(CorruptChunk):
        decode(dataclasses.replace(some_chunk(), data=data, codec=codec))


@settings(deadline=None)
@given(block=st.binary(max_size=200), count=st.integers(1, 2**31), raw=st.integers(0, 2**31))
def test_a_block_with_a_right_checksum_and_wrong_insides_is_noticed(block: bytes, count: int, raw: int) -> None:
    chunk = Chunk(
        first_line=1, last_line=count, first_at=0, last_at=0, raw_bytes=raw,
        codec=Codec.RAW, crc32=zlib.crc32(block), data=block,
    )  # fmt: skip

    try:
        lines = decode(chunk)
    except CorruptChunk:
        return
    assert len(lines) == count


def test_a_frame_that_claims_to_be_huge_is_not_unpacked() -> None:
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(256 * 1024 * 1024))

    with pytest.raises(CorruptChunk, match="impossible size"):
        decode(dataclasses.replace(some_chunk(), data=bomb))


@pytest.mark.parametrize("change", [{"last_line": 101}, {"last_line": 99}, {"crc32": 0}])
def test_a_row_that_does_not_fit_its_bytes_is_noticed(change: dict[str, int]) -> None:
    with pytest.raises(CorruptChunk):
        decode(dataclasses.replace(some_chunk(), **change))
