"""Nothing an agent prints can act on the page: every sign that acts comes out as text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.ansi import LOOKS, MOST_PIECES, SHOWN_BYTES, segments
from app.web.text import visible, visible_block

#: Bytes as an adversary chooses them: escapes and their parts are much likelier than chance.
HOSTILE_BYTES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\x1b[", b"\x1b]8;;http://x\x07", b"m", b"0", b"38;5;", b"48:2::1:2:3", b";", b"\r", b"\x00", b"\x9b31m",
             b"\xe2\x80\xae", b"\xe2\x80\xa8", b"\xff", b"\xc3", b"\t", b"<b>", b"7", b"31", b"\xf3\xa0\x81\x81"]
        ),
        st.binary(max_size=12),
        st.text(max_size=6).map(lambda text: text.encode("utf-8", "surrogatepass")),
    ),
    max_size=40,
).map(b"".join)  # fmt: skip


def shown(data: bytes) -> str:
    return "".join(segment.text for segment in segments(data))


def pairs(data: bytes) -> list[tuple[str, str]]:
    return [(segment.text, segment.look) for segment in segments(data)]


def acts(text: str) -> bool:
    return any(unicodedata.category(sign) in {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"} for sign in text)


@given(HOSTILE_BYTES)
def test_nothing_that_acts_ever_comes_out_and_it_encodes(data: bytes) -> None:
    text = shown(data)
    assert not acts(text)
    assert text.encode("utf-8").decode() == text


@given(HOSTILE_BYTES)
def test_looks_come_from_the_fixed_list(data: bytes) -> None:
    for segment in segments(data):
        assert segment.text
        assert set(segment.look.split()) <= LOOKS


@given(st.binary(min_size=SHOWN_BYTES - 3, max_size=SHOWN_BYTES + 40))
def test_a_long_line_is_cut_and_the_count_of_the_rest_is_true(data: bytes) -> None:
    found = segments(data)
    if len(data) <= SHOWN_BYTES:
        assert all(segment.look != "more" for segment in found)
    else:
        assert found[-1].look == "more"
        left = int(found[-1].text.split()[1])
        assert 0 < left - (len(data) - SHOWN_BYTES) + 1 <= 4


@given(
    st.text(
        alphabet=st.characters(categories=["L", "N", "P", "S"], exclude_characters="\u3164\u115f\u1160\uffa0"),
        max_size=500,
    )
)
def test_ordinary_text_comes_out_as_it_went_in(text: str) -> None:
    assert shown(text.encode()[:SHOWN_BYTES]).startswith(
        text[: len(text.encode()[:SHOWN_BYTES].decode(errors="ignore"))]
    )


@given(st.text())
def test_visible_text_never_acts(text: str) -> None:
    assert not acts(visible(text))
    assert not acts(visible_block(text).replace("\n", ""))


@given(st.binary())
def test_visible_bytes_never_act(data: bytes) -> None:
    assert not acts(visible(data))


def test_every_acting_sign_of_unicode_is_on_the_list() -> None:
    missed = [
        hex(code)
        for code in range(0x110000)
        if (unicodedata.category(chr(code)) in {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"} or code & 0xFFFE == 0xFFFE)
        and visible(chr(code)) == chr(code)
    ]
    assert missed == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"plain", [("plain", "")]),
        (b"", []),
        (b"\x1b[31mred\x1b[0m not", [("red", "fg-1"), (" not", "")]),
        (b"\x1b[1;4;92mx", [("x", "fg-10 bold underline")]),
        (b"\x1b[1mb\x1b[22mn", [("b", "bold"), ("n", "")]),
        (b"\x1b[m\x1b[;mx", [("x", "")]),
        (b"\x1b[38;5;196mx", [("x", "fg-9")]),
        (b"\x1b[38;2;1;2;3mx", [("x", "fg-0")]),
        (b"\x1b[48;5;4mx", [("x", "bg-4")]),
        (b"\x1b[7;31mx", [("x", "bg-1")]),
        (b"\x1b[31;41mx", [("x", "fg-1")]),  # red on red would be hidden
        (b"\x1b[8mx", [("x", "")]),  # conceal is not obeyed
        (b"\x1b[38;5mx", [("x", "")]),
        (b"\x1b[38;5;999mx", [("x", "")]),
        (b"a\rb", [("a", ""), ("\\r", "esc"), ("b", "")]),
        (b"a\x00\xffb", [("a", ""), ("\\x00\\xff", "esc"), ("b", "")]),
        (b"\x1b[2K", [("\\e", "esc"), ("[2K", "")]),
        (b"\x1b]8;;http://x\x07y", [("\\e", "esc"), ("]8;;http://x", ""), ("\\x07", "esc"), ("y", "")]),
        ("a\u202eb\u2028".encode(), [("a", ""), ("\\u202e", "esc"), ("b", ""), ("\\u2028", "esc")]),
        (b"ab\tc", [("ab      c", "")]),
        (b"\x1b[31ma\tb", [("a       b", "fg-1")]),
        (b"<script>alert(1)</script>", [("<script>alert(1)</script>", "")]),
    ],
)
def test_a_line_looks_like(data: bytes, expected: list[tuple[str, str]]) -> None:
    assert pairs(data) == expected


def test_a_cut_never_splits_a_sign() -> None:
    data = "é".encode() * 3000
    first, more = segments(data[:-1])[:2]
    assert set(first.text) == {"é"}
    assert more.look == "more"


def test_a_line_of_changing_looks_does_not_become_thousands_of_elements() -> None:
    assert len(segments(b"a\x00" * 2000)) <= MOST_PIECES + 2
    assert shown(b"a\x00" * 2000) == "a\\x00" * 2000
    assert len(segments(b"\x1b[31ma\x1b[32mb" * 340)) <= MOST_PIECES + 2
    assert shown(b"\x1b[31ma\x1b[32mb" * 340) == "ab" * 340
    assert shown(b"\x1b[m" * 1300 + b"end") == "end"


def test_marks_cannot_climb_over_the_lines_above() -> None:
    assert shown(("a" + "\u0301" * 6).encode()) == "a\u0301\u0301\u0301" + "\\u0301" * 3


def test_visible_says_how_much_it_left_out() -> None:
    assert visible("x" * 10, limit=4) == "xxxx … 6 more"
    assert visible_block("a\r\nb\tc\n\x07") == "a\nb       c\n\\x07"
