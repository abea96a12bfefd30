"""A block searched in one piece gives the same lines as each line searched by itself."""

from __future__ import annotations

import re

import pytest
import re2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.errors import Refused
from app.domain.levels import Level
from app.store.block import Block
from app.store.chunk import encode, opened
from app.store.lines import StoredLine, as_columns
from app.store.query import LONGEST, Finder, Query


def stored(*texts: bytes, stream: int = 1, level: Level = Level.NONE) -> list[StoredLine]:
    return [
        StoredLine(number=number, at=1.0, stream=stream, data=text, complete=True, level=level)
        for number, text in enumerate(texts, 1)
    ]


def block(*texts: bytes) -> Block:
    return opened(encode(as_columns(stored(*texts))[0]))


def found(query: Query, *texts: bytes) -> list[int]:
    return list(Finder(query).find(block(*texts)))


def seen(line: bytes) -> bytes:
    """The line as the search sees it: nothing here is shared with what is tested."""
    line = re.sub(rb"\x1b\[[0-9;:]{0,64}m", b"", line)
    try:
        line.decode()
    except UnicodeDecodeError:
        kept = bytearray()
        for character in line.decode("utf-8", "surrogateescape"):
            kept += b"\x1a" if 0xDC80 <= ord(character) <= 0xDCFF else character.encode()
        line = bytes(kept)
    return line


def holds(query: Query, line: bytes) -> bool:
    options = re2.Options()
    options.case_sensitive = query.case
    options.literal = not query.regex
    return re2.compile(query.pattern.encode(), options).search(seen(line)) is not None


PIECES = [
    b"a", b"b", b"B", b" ", b"\t", b"ab", b"\x00", b"\r", b"\xff", b"\xc3\xa9", b"\xc3\x89", b"\xc3", b"\xe2\x80\xa8",
    b"\x1b[31m", b"\x1b[0m", b"\x1b", b"1", b".", b"\x85", b"\x0b", b"\x0c",
]  # fmt: skip
TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=6).map(b"".join), min_size=1, max_size=12)
PATTERNS = st.sampled_from(
    [
        "a", "b", "AB", "é", "É", ".", "^", "$", "^$", "a$", "^b", "a.*b", r"\s", r"\W", r"[^a]", r"[^a]+b", r"a\sb",
        "",
        r"(?s)a.b", r"(?s:a.*b)", r"\Aa", r"b\z", r"(?-m)^b", r"(?-m:b$)", r"a\Cb", r"\C", "x*", r"\bab\b", r"[\s\S]b",
        "a|^b", "(?i)AB", r"\n", r"a\x0ab", r"[\n]", r"\pL", r"\Qa.", "(a|b)+$", r"\d", r"\\A", r"é.", "?",
        r"[[:^alpha:]]$",
    ]
)  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(PATTERNS, st.booleans(), st.booleans(), st.booleans(), TEXTS)
@example("[^a]+b", True, True, False, [b"xx", b"b"])
@example(r"b\C", True, True, False, [b"ab", b"a"])
def test_a_search_over_the_whole_text_finds_what_a_search_of_each_line_finds(
    pattern: str, regex: bool, case: bool, inverse: bool, texts: list[bytes]
) -> None:
    try:
        query = Query(pattern=pattern, regex=regex, case=case, inverse=inverse)
    except Refused:
        # As plain text it can be looked for.
        query = Query(pattern=pattern, case=case, inverse=inverse)

    expected = [index for index, text in enumerate(texts) if holds(query, text) != inverse]

    finder = Finder(query)
    assert list(finder.find(block(*texts))) == expected
    # The second time another way is taken where most lines were wanted.
    assert list(finder.find(block(*texts))) == expected


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.sampled_from([1, 2]), st.sampled_from(Level)), min_size=1),
    st.sets(st.sampled_from([1, 2])),
    st.sets(st.sampled_from(Level)),
    st.sampled_from(["", "a"]),
    st.booleans(),
)
def test_a_line_must_be_of_the_stream_and_of_the_level_too(
    lines: list[tuple[bytes, int, Level]], streams: set[int], levels: set[Level], pattern: str, inverse: bool
) -> None:
    columns, _ = as_columns(
        [
            StoredLine(number=number, at=1.0, stream=stream, data=data, complete=True, level=level)
            for number, (data, stream, level) in enumerate(lines, 1)
        ]
    )
    chunk = encode(columns)
    query = Query(pattern=pattern, inverse=inverse, streams=frozenset(streams), levels=frozenset(levels))
    expected = [
        index
        for index, (data, stream, level) in enumerate(lines)
        if (not streams or stream in streams)
        and (not levels or level in levels)
        and ((pattern.encode() in data) != inverse)
    ]

    finder = Finder(query)

    assert list(finder.find(opened(chunk))) == expected
    if finder.skips(chunk.levels, len(lines)):
        assert expected == []
    elif levels:
        assert any(level in levels for _, _, level in lines)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(ab", "missing ) at character 1. Close each ("),
        ("x(a[)]b", "missing ) at character 2. Close each ("),
        ("a(b))", "unexpected ) at character 5. Write"),
        ("x[a", "missing ] ([a) at character 2"),
        ("a**", r"bad repetition operator (**) at character 2. Write \*"),
        ("a{2000}", "invalid repetition size ({2000}) at character 2. At most 1000"),
        ("x(?=y)", "invalid perl operator ((?=) at character 2. There is no look-ahead"),
        (r"(a)\1", r"invalid escape sequence (\1) at character 4"),
        ("a\\", r"trailing \. Write \\"),
        ("a\nb", "there is a line break at character 2"),
        ("a\ud800", "character 2 of the pattern is half a character"),
        ("x" * (LONGEST + 1), f"the pattern has {LONGEST + 1} characters"),
        ("((((((a{9}){9}){9}){9}){9}){9})", "the pattern is no regular expression: "),
    ],
)
def test_a_pattern_that_is_none_is_refused_with_its_place_and_advice(pattern: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        Query(pattern=pattern, regex=True)

    assert said in str(refused.value)
    assert str(refused.value).startswith("pattern: ")
    assert refused.value.todo


def test_a_stream_that_cannot_be_is_refused() -> None:
    with pytest.raises(Refused, match="no stream 300"):
        Query(streams=frozenset({300}))


def test_a_pattern_that_stops_other_engines_is_as_fast_as_any() -> None:
    hostile = [b"a" * 5000] * 200

    assert found(Query(pattern=r"(a+)+b$", regex=True), *hostile) == []
    assert found(Query(pattern=r"^(\w+\s?)+!", regex=True), *hostile) == []


def test_colours_do_not_hide_a_word_and_are_not_found() -> None:
    line = b"\x1b[31mER\x1b[1mROR\x1b[0m: x"

    assert found(Query(pattern="ERROR: x", case=True), line) == [0]
    assert found(Query(pattern="[31m"), line) == []


def test_letters_that_differ_in_case_alone_are_found_however_many_lines_hold_them() -> None:
    lines = block("\u212aelvin".encode(), b"KELVIN", b"kelvi", b"kelvin", b"x")
    finder = Finder(Query(pattern="kelvin"))

    assert list(finder.find(lines)) == [0, 1, 3]
    # The second time the finder expects many.
    assert list(finder.find(lines)) == [0, 1, 3]
    assert list(finder.find(block(b"x", b"keLVin"))) == [1]


def test_bytes_that_are_no_text_do_not_hide_what_stands_beside_them() -> None:
    assert found(Query(pattern="rm.*-rf", regex=True), b"rm \xff\xfe -rf", b"rm\xff", b"-rf") == [0]


def test_a_newline_inside_a_line_shifts_no_number() -> None:
    assert found(Query(pattern="b"), b"a\nx", b"b", b"c\n\n", b"b") == [1, 3]


@pytest.mark.parametrize(
    ("query", "text", "spans"),
    [
        (Query(pattern="ab", case=True), "xabAB ab", [(1, 3), (6, 8)]),
        (Query(pattern="ab"), "xabAB ab", [(1, 3), (3, 5), (6, 8)]),
        (Query(pattern="é"), "aé É", [(1, 2), (3, 4)]),
        (Query(pattern="b+|^", regex=True), "abbéb", [(1, 3), (4, 5)]),
        (Query(pattern="^", regex=True), "ab", []),
        (Query(pattern="a", inverse=True), "ab", []),
        (Query(), "ab", []),
        (Query(pattern="a"), "a" * 1000, [(n, n + 1) for n in range(200)]),
    ],
)
def test_the_places_in_a_shown_line_are_counted_in_characters(
    query: Query, text: str, spans: list[tuple[int, int]]
) -> None:
    assert Finder(query).spans(text) == spans
