"""Text of an adversary made safe to look at: every sign that hides, reorders or controls is shown as an escape.

Pure. What comes out never holds a control, format, bidi, surrogate or private character; newlines only where asked for.
"""

from __future__ import annotations

import functools
import re

#: Signs that act instead of being seen. A test compares this list with the Unicode database.
_ACTING = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # fillers and other invisible signs
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2"  # prepended marks (format characters)
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # zero width, line and paragraph separators, bidi
    "\ufe00-\ufe0d\ufeff\ufff0-\ufffb\ufffe\uffff"
    "\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef"  # surrogates, private use, not characters
    "\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U0001fffe\U0001ffff\U0002fffe\U0002ffff\U0003fffe-\U0010ffff"  # tags, private use
)
#: More marks upon one letter than any script needs: they climb over the lines above.
_MARKS = (
    "\u0300-\u034e\u0350-\u036f\u0483-\u0489\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
)
#: A run of hostile signs. Runs, because a line of nothing else should cost as little as any other line.
HOSTILE = re.compile(f"[{_ACTING}]+|(?<=[{_MARKS}]{{3}})[{_MARKS}]+")

_NAMES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}
TAB = 8


@functools.lru_cache(maxsize=4096)
def _escape_sign(sign: str) -> str:
    if sign in _NAMES:
        return _NAMES[sign]
    code = ord(sign)
    if 0xDC80 <= code <= 0xDCFF:  # how `decode` carries a byte that was not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def escape(signs: str) -> str:
    """How hostile signs are shown: \\e, \\r, \\x00, \\u202e, \\U000e0041; a byte that was no UTF-8 as \\xff."""
    return "".join(map(_escape_sign, signs))


def shown(text: str) -> str:
    """One line with every hostile sign escaped."""
    return HOSTILE.sub(lambda match: escape(match[0]), text)


def decode(data: bytes) -> str:
    """Bytes as text; those that are not UTF-8 become lone surrogates, which `escape` shows as \\xNN."""
    return data.decode("utf-8", "surrogateescape")


def visible(text: str | bytes, *, limit: int = 4096) -> str:
    """One line: every hostile sign escaped, newlines and tabs too. Cut after `limit` characters, saying so."""
    if isinstance(text, bytes):
        text = decode(text)
    left = len(text) - limit
    return f"{shown(text[:limit])} … {left} more" if left > 0 else shown(text)


def visible_block(text: str, *, limit: int = 65536) -> str:
    """Several lines: newlines stay, tabs become spaces, all else as `visible`."""
    left = len(text) - limit
    lines = (text[:limit] if left > 0 else text).replace("\r\n", "\n").split("\n")
    safe = "\n".join(shown(line.expandtabs(TAB)) for line in lines)
    return f"{safe}\n… {left} more characters" if left > 0 else safe
