"""Levels are guessed from what programs commonly write, and from nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.levels import HEAD, MOST_INHERIT, NOTHING, Carry, Level, guess

KNOWN = {
    Level.ERROR: (
        b"ERROR:root:it broke",
        b"2024-05-01 12:00:00,123 - name - ERROR - msg",
        b"[2024-05-01 12:00:00] CRITICAL in app: msg",
        b"2024-05-01 12:00:00.123 | ERROR    | module:function:12 - msg",
        b"E0501 12:00:00.123456   17 file.cc:12] msg",
        b'time="2024-05-01" level=error msg="x"',
        b'{"time":1,"level":"error","msg":"x"}',
        b'{"level":50,"msg":"pino"}',
        b'{"msg": "x", "severity": "CRITICAL"}',
        b"main.c:12:3: error: expected ';'",
        b"error[E0308]: mismatched types",
        b"npm ERR! code ELIFECYCLE",
        b"E: Unable to locate package x",
        b"E       assert 1 == 2",
        b"FAILED tests/test_x.py::test_y - assert 1 == 2",
        b"fatal: not a git repository",
        b"panic: runtime error: index out of range",
        b"thread 'main' panicked at src/main.rs:2:5:",
        b"Traceback (most recent call last):",
        b"ValueError: too many",
        b"requests.exceptions.ConnectionError: no route",
        b"KeyboardInterrupt",
        b'Exception in thread "main" java.lang.NullPointerException',
        b"make: *** [all] Error 2",
        b"Segmentation fault (core dumped)",
        b"\x1b[31mERROR\x1b[0m it broke",
        b"<3>said by the program itself",
        b"\x1b[1m<0>said by the program itself",
    ),
    Level.WARNING: (
        b"<4>said by the program itself, whatever ERROR it writes of",
        b"WARNING:root:careful",
        b"W: Some index files failed to download",
        b"/x/y.py:3: DeprecationWarning: old",
        b"main.c:12:3: warning: unused",
        b"npm WARN deprecated x@1",
        b"[warn] careful",
        b"W0501 12:00:00.123 file.cc:12] msg",
        b'{"level":"warn"}',
        b'{"level":40}',
    ),
    Level.INFO: (
        b"<6>ERROR is only in the message",
        b"INFO:     127.0.0.1:1 - GET /",
        b"2024-05-01 12:00:00 [info     ] started",
        b"I0501 12:00:00.123 file.cc:12] msg",
        b'{"msg":"ERROR is only in the message","level":"info"}',
        b"NOTICE: table does not exist, skipping",
        b"level=info msg=\"ERROR is only in the message\"",
    ),
    Level.DEBUG: (
        b"<7>quiet",
        b"DEBUG:asyncio:Using selector",
        b"TRACE entering",
        b'{"level":"debug"}',
        b"level=trace x=1",
    ),
    Level.NONE: (
        b"",
        b"an ordinary line",
        b"the information about errors is here",
        b"ERROR_CODE=3",
        b"Unpacking libfoo (1.2) ...",
        b"downloading warnings.py",
        b"x" * (HEAD + 1) + b" ERROR",
        b"{" + b" " * 3000 + b'"level":"error"}',
        b"    indented",
        b"\x00\xff\xfe",
        b"E",
        b"W:",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("level", "line"), [(level, line) for level, lines in KNOWN.items() for line in lines])
def test_a_line_has_the_level_it_tells(level: Level, line: bytes) -> None:
    assert guess(line)[0] == bytes([level])


def test_each_line_of_a_text_has_its_own() -> None:
    lines = [line for each in KNOWN.values() for line in each if not line.startswith((b" ", b"Traceback"))]
    expected = [level for level, each in KNOWN.items() for line in each if not line.startswith((b" ", b"Traceback"))]

    assert list(guess(b"\n".join(lines))[0]) == expected


def levels(text: bytes) -> str:
    return "".join("-diwe"[level] for level in guess(text)[0])


def test_a_traceback_is_one_error_from_its_first_line_to_what_was_raised() -> None:
    text = (
        b"before\nTraceback (most recent call last):\n"
        b'  File "x.py", line 1, in info:\n    DEBUG()\nmodule.NotFound: gone\nafter'
    )
    assert levels(text) == "-eeee-"


def test_only_lines_that_are_indented_go_on_from_a_line_with_a_level() -> None:
    assert levels(b"WARNING: a\n  b\n\tc\nd\n  e") == "www--"
    assert levels(b"INFO: a\n\n  b") == "i--"
    assert levels(b"  a\nERROR: b\nINFO c\n  d\n") == "-eii-"
    assert levels(b"Caused by: a\n\tat b\nafter") == "ee-"


def test_what_goes_on_for_ever_is_not_inherited_for_ever() -> None:
    found = guess(b"ERROR: a" + b"\n  b" * (2 * MOST_INHERIT))[0]

    assert found.count(Level.ERROR) == 1 + MOST_INHERIT


LINES = st.lists(
    st.sampled_from(
        [line for each in KNOWN.values() for line in each if len(line) < 100] + [b" go on", b"\tgo on", b"plain", b""]
    ),
    min_size=1,
    max_size=30,
)


@settings(deadline=None)
@given(LINES, st.data())
def test_levels_do_not_depend_on_where_the_text_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    whole, carry_of_whole = guess(b"\n".join(lines))
    found, carry, begin = b"", NOTHING, 0
    while begin < len(lines):
        end = data.draw(st.integers(begin + 1, len(lines)))
        part, carry = guess(b"\n".join(lines[begin:end]), Carry.unpacked(carry.packed()))
        found += part
        begin = end

    assert found == whole
    assert carry == carry_of_whole


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_have_a_level_for_each_line(text: bytes) -> None:
    found, _ = guess(text)

    assert len(found) == text.count(b"\n") + 1
    assert set(found) <= set(Level)


@pytest.mark.parametrize("number", [5, 6, 7, 7 | 9 << 4])
def test_a_carry_that_nobody_packed_is_none(number: int) -> None:
    assert Carry.unpacked(number) == NOTHING
