"""Column types that hold what adversaries write, on every database alike."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import BigInteger, Integer, LargeBinary, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

#: 64-bit everywhere; SQLite numbers rows by itself only in a column called INTEGER.
Key = BigInteger().with_variant(Integer(), "sqlite")


def storable(text: str) -> str:
    """`text` without what a database refuses: NUL (PostgreSQL) and lone surrogates (no UTF-8) become U+FFFD."""
    # An adversary's text must never make a write fail: it would take our own record down with it.
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class Words(TypeDecorator[str]):
    """Text of any length and content; see `storable`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class Json(TypeDecorator[Any]):
    """JSON as text: the same on SQLite and PostgreSQL, NaN and infinities included. NULL stays None."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        # Not ASCII-escaped, so that lone surrogates are seen; json itself escapes NUL.
        return None if value is None else storable(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


Bytes: type[TypeEngine[bytes]] = LargeBinary
