"""Frames are one event each, whatever is in them; cursors read back as written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import Refused
from app.web.ansi import segments
from app.web.live.frames import Cursor, at, frame, parse_cursor

NUMBERS = st.integers(min_value=0, max_value=10**14)


def parsed(data: bytes) -> dict[str, str]:
    """A strict reader of one event."""
    assert data.endswith(b"\n\n")
    assert b"\r" not in data
    lines = data[:-2].split(b"\n")
    assert all(lines)
    return dict(line.decode().split(": ", 1) for line in lines)


@given(st.binary(max_size=200))
def test_whatever_was_printed_is_one_event_with_one_line_of_data(data: bytes) -> None:
    rows = [[piece.text, piece.look] for piece in segments(data)]
    fields = parsed(at(Cursor(event=1, line=2, usage=3), frame("lines", {"lines": rows})))
    assert fields["event"] == "lines"
    assert fields["id"] == "1.2.3"
    assert json.loads(fields["data"]) == {"lines": rows}


def test_a_retry_is_inside_the_event_so_that_readers_obey_it() -> None:
    assert parsed(frame("hello", {}, retry_ms=1500)) == {"event": "hello", "retry": "1500", "data": "{}"}


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_cursor_reads_back_as_it_was_written(event: int, line: int, usage: int) -> None:
    cursor = Cursor(event=event, line=line, usage=usage)
    assert parse_cursor(str(cursor)) == cursor


def test_no_cursor_is_the_beginning() -> None:
    assert parse_cursor("") == Cursor()


@pytest.mark.parametrize("text", ["1", "1.2", "1.2.3.4", "-1.2.3", "1.2.x", "1.2.3\n", "9" * 16 + ".1.1", "١.٢.٣"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="is not a cursor"):
        parse_cursor(text)
