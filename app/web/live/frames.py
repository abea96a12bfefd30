"""Server-sent events as bytes, and the cursor that is their id. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from app.domain.errors import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a reader of one run is: everything up to these has been sent to it. As text "3.200.17"."""

    event: int = 0
    line: int = 0
    usage: int = 0

    def __str__(self) -> str:
        return f"{self.event}.{self.line}.{self.usage}"


_CURSOR = re.compile(r"([0-9]{1,15})\.([0-9]{1,15})\.([0-9]{1,15})")


def parse_cursor(text: str) -> Cursor:
    """Raises `Refused` for anything that is not a cursor; "" is the beginning."""
    if not text:
        return Cursor()
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise Refused(
            f"{text[:60]!r} is not a cursor", where="after", todo='Write "<event>.<line>.<usage>", or leave it out.'
        )
    return Cursor(event=int(match[1]), line=int(match[2]), usage=int(match[3]))


def json_bytes(data: object) -> bytes:
    """Compact JSON in UTF-8. Newlines are escaped by JSON itself, so it is always one line."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def frame(event: str, data: object, *, retry_ms: int | None = None) -> bytes:
    """A whole event without an id: name, one line of data, the empty line that ends it."""
    retry = b"" if retry_ms is None else b"retry: %d\n" % retry_ms
    return b"event: %s\n%sdata: %s\n\n" % (event.encode(), retry, json_bytes(data))


def at(cursor: Cursor, shared: bytes) -> bytes:
    """A frame that other readers get too, with this reader's own place as its id."""
    return b"id: %s\n%s" % (str(cursor).encode(), shared)
