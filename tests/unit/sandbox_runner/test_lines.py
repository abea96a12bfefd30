from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_runner.driver import Stream
from sandbox_runner.lines import LONGEST, Line, LineDecoder

#: Bytes in which what could be taken for a line end is frequent.
TRICKY = st.lists(
    st.sampled_from(
        [b"\n", b"\r", b"\r\n", b"\0", b"\x0b", b"\x0c", b"\x85", "\u2028".encode(), b"a", b"\xff", b"x" * 40]
    )
).map(b"".join)
#: Around the length at which lines are cut.
LONG = st.lists(
    st.one_of(
        st.integers(-2, 2).map(lambda more: b"l" * (LONGEST + more)),
        st.integers(-2, 2).map(lambda more: b"L" * (2 * LONGEST + more)),
        st.just(b"\n"),
        st.just(b"short\n"),
    ),
    max_size=5,
).map(b"".join)


def _bytes_of(lines: list[Line]) -> bytes:
    return b"".join(line.data + (b"\n" if line.complete else b"") for line in lines)


def _chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


@settings(deadline=None, database=None)
@given(data=st.one_of(TRICKY, LONG), cuts=st.lists(st.integers(0, 10**6), max_size=20))
def test_the_bytes_of_a_stream_are_those_of_its_lines_however_they_came(data: bytes, cuts: list[int]) -> None:
    decoder = LineDecoder()
    lines: list[Line] = []
    for chunk in _chunks(data, cuts):
        lines += decoder.feed(Stream.STDOUT, 1.0, chunk)
        assert len(decoder.pending().get(Stream.STDOUT, (1.0, b""))[1]) <= LONGEST
    lines += decoder.flush()

    assert _bytes_of(lines) == data
    assert all(b"\n" not in line.data and len(line.data) <= LONGEST for line in lines)
    assert decoder.pending() == {}


@settings(deadline=None, database=None)
@given(data=st.one_of(TRICKY, LONG), cuts=st.lists(st.integers(0, 10**6), max_size=20))
def test_the_same_bytes_give_the_same_lines_however_they_were_chunked(data: bytes, cuts: list[int]) -> None:
    whole, pieces = LineDecoder(), LineDecoder()
    expected = whole.feed(Stream.STDOUT, 1.0, data)

    assert [line for chunk in _chunks(data, cuts) for line in pieces.feed(Stream.STDOUT, 1.0, chunk)] == expected
    assert pieces.pending() == whole.pending()


@settings(deadline=None, database=None)
@given(before=TRICKY, after=TRICKY)
def test_a_new_decoder_goes_on_where_the_former_left_off(before: bytes, after: bytes) -> None:
    one, former = LineDecoder(), LineDecoder()
    expected = one.feed(Stream.STDERR, 1.0, before) + one.feed(Stream.STDERR, 1.0, after)

    lines = former.feed(Stream.STDERR, 1.0, before)
    successor = LineDecoder(former.pending())
    assert lines + successor.feed(Stream.STDERR, 1.0, after) == expected
    assert successor.pending() == one.pending()


def test_only_a_newline_ends_a_line() -> None:
    content = b"50%\r100%\x00\x0b\x0c\x1c\x85" + "\u2028\u2029".encode() + b"\xff\r"

    assert LineDecoder().feed(Stream.STDOUT, 2.5, content + b"\n\n") == [
        Line(stream=Stream.STDOUT, at=2.5, data=content, complete=True),
        Line(stream=Stream.STDOUT, at=2.5, data=b"", complete=True),
    ]


@pytest.mark.parametrize(
    ("length", "pieces"),
    [
        (LONGEST, [LONGEST]),
        (LONGEST + 1, [LONGEST, 1]),
        (2 * LONGEST, [LONGEST, LONGEST]),
        (2 * LONGEST + 7, [LONGEST, LONGEST, 7]),
    ],
)
def test_a_long_line_comes_in_pieces_of_which_the_last_is_complete(length: int, pieces: list[int]) -> None:
    lines = LineDecoder().feed(Stream.STDOUT, 1.0, b"x" * length + b"\n")

    assert [len(line.data) for line in lines] == pieces
    assert [line.complete for line in lines] == [False] * (len(pieces) - 1) + [True]


def test_a_line_without_end_does_not_gather_in_memory() -> None:
    decoder = LineDecoder()
    pieces = [line for _ in range(100) for line in decoder.feed(Stream.STDOUT, 1.0, b"x" * 10_000)]

    assert len(pieces) == 1_000_000 // LONGEST
    assert len(decoder.pending()[Stream.STDOUT][1]) == 1_000_000 % LONGEST


def test_streams_are_split_apart_from_each_other() -> None:
    decoder = LineDecoder()

    assert decoder.feed(Stream.STDOUT, 1.0, b"out ") == []
    assert decoder.feed(Stream.STDERR, 2.0, b"err\n") == [
        Line(stream=Stream.STDERR, at=2.0, data=b"err", complete=True)
    ]
    assert decoder.feed(Stream.STDOUT, 3.0, b"put\n") == [
        Line(stream=Stream.STDOUT, at=3.0, data=b"out put", complete=True)
    ]


def test_a_flush_gives_early_what_waits_and_the_rest_follows() -> None:
    decoder = LineDecoder()
    decoder.feed(Stream.STDOUT, 1.0, b"name? ")
    decoder.feed(Stream.STDERR, 2.0, b"hm")

    assert decoder.flush(Stream.STDOUT) == [Line(stream=Stream.STDOUT, at=1.0, data=b"name? ", complete=False)]
    assert decoder.pending() == {Stream.STDERR: (2.0, b"hm")}
    assert decoder.flush() == [Line(stream=Stream.STDERR, at=2.0, data=b"hm", complete=False)]
    assert decoder.flush() == []
    assert decoder.feed(Stream.STDOUT, 3.0, b"\n") == [Line(stream=Stream.STDOUT, at=3.0, data=b"", complete=True)]


def test_restored_bytes_keep_the_time_they_were_read() -> None:
    decoder = LineDecoder({Stream.STDOUT: (7.0, b"half"), Stream.STDERR: (8.0, b"other")})

    assert decoder.flush() == [
        Line(stream=Stream.STDOUT, at=7.0, data=b"half", complete=False),
        Line(stream=Stream.STDERR, at=8.0, data=b"other", complete=False),
    ]


def test_the_result_stream_has_no_lines() -> None:
    decoder = LineDecoder()
    with pytest.raises(ValueError, match="has no lines"):
        decoder.feed(Stream.RESULT, 1.0, b"{}\n")
    with pytest.raises(ValueError, match="has no lines"):
        decoder.flush(Stream.RESULT)
    with pytest.raises(ValueError, match="has no lines"):
        LineDecoder({Stream.RESULT: (1.0, b"{}")})


@pytest.mark.parametrize("pending", [b"two\nlines", b"x" * (LONGEST + 1)])
def test_bytes_no_decoder_can_have_left_are_refused(pending: bytes) -> None:
    with pytest.raises(ValueError, match="not the pending bytes"):
        LineDecoder({Stream.STDOUT: (1.0, pending)})
