"""How grave a line of output is, guessed from its text. Pure; linear in the text whatever it holds.

Only what programs commonly write counts: a level at a known place (`WARNING:root:`, `| ERROR |`, `"level":"info"`,
`level=debug`, `E0501 12:00:00`, `error[E0308]:`, `npm ERR!`, `FAILED tests/…`) or the words of an uncaught exception. A
line without one has no level, unless it goes on from the one before: indented, or part of a traceback.
"""

from __future__ import annotations

import enum
import functools
import re
from dataclasses import dataclass
from typing import Any

import re2


class Level(enum.IntEnum):
    """Stored as a byte a line: never renumber."""

    NONE = 0
    DEBUG = 1
    INFO = 2
    WARNING = 3
    ERROR = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Carry:
    """What the lines that follow may inherit: `level`, for `left` more lines; `traceback`: also its last line."""

    level: Level = Level.NONE
    traceback: bool = False
    left: int = 0

    def packed(self) -> int:
        """As one small number, to be stored."""
        return self.level | self.traceback << 3 | self.left << 4

    @classmethod
    def unpacked(cls, number: int) -> Carry:
        """The carry of `packed`. A number that is none of these is no carry."""
        try:
            return cls(level=Level(number & 7), traceback=bool(number >> 3 & 1), left=number >> 4)
        except ValueError:
            return NOTHING


NOTHING = Carry()
#: Lines that inherit from one before them, at most.
MOST_INHERIT = 100
#: Bytes of a line in which a level is looked for; one in the middle of a sentence is none.
HEAD = 160
#: The same for a line that is JSON: its keys stand in any order.
JSON_HEAD = 2000

_WORDS = "trace|debug|info|information|notice|warn|warning|err|error|severe|critical|crit|fatal|panic|emerg|alert"
_JSON_KEY = r'"(?:level|levelname|level_name|loglevel|log\.level|severity|lvl)" ?: ?'
_ALTERNATIVES = (
    # {"level":"info"}, {"level":30}, level=warn, lvl="warn"
    _JSON_KEY + rf'(?:"(?i:{_WORDS})\b|[1-6]0\b)',
    rf"\b(?:level|lvl|severity|loglevel)=[\"']?(?i:{_WORDS})\b",
    # Loud, as loggers write it.
    r"\b(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|CRITICAL|FATAL|EMERG|ERR)\b",
    # Quiet, but at a place of its own: [info     ], | error |, error[E0308]:, warning:
    rf"\[(?i:{_WORDS}) *\]|\|(?i: *(?:{_WORDS})) *\|",
    r"\b(?i:debug|info|warning|error|fatal|critical|panic)(?:\[[\w-]{1,40}\])?:(?: |$)",
    # A program that says it itself, as the system log's priorities (RFC 5424): <3>the disk is gone
    r"^<[0-7]>",
    # glog and klog, apt, pytest, npm, make
    r"^[EWIDF]\d{4} \d\d:\d\d:|^[EW]: |^E {3,}\S|^FAILED |^npm (?i:err!|error|warn)|^make(?:\[\d+\])?: \*\*\*",
    # Python, Java, Go, Rust: what is said when nobody caught it
    r"^Traceback \(most recent call last\)|^During handling of the above exception|^The above exception was the direct",
    r"^Exception in thread |^Caused by: |^goroutine \d+ \[|^thread '[^']{0,80}' panicked at|^Segmentation fault",
    r"^(?:[A-Za-z_]\w{0,60}\.){0,6}[A-Z]\w{0,60}(?:Error|Exception|Exit|Interrupt)(?::|$)|\b[A-Z]\w{0,40}Warning:",
)
_UNCAUGHT = (b"traceback", b"during", b"the above", b"exception in", b"caused by", b"goroutine", b"thread '")
_NUMBERS = {b"1": Level.DEBUG, b"2": Level.DEBUG, b"3": Level.INFO, b"4": Level.WARNING}
_PRIORITIES = (*[Level.ERROR] * 4, Level.WARNING, Level.INFO, Level.INFO, Level.DEBUG)
_QUOTE, _BRACE = b'"{'
_LETTERS = {b"I": Level.INFO, b"D": Level.DEBUG, b"W": Level.WARNING}


def _compile(pattern: str) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_nl = True
    options.never_capture = True
    options.log_errors = False
    return re2.compile(b"(?m)" + pattern.encode("ascii"), options)


_LEVEL = _compile("|".join(f"(?:{each})" for each in _ALTERNATIVES))
_JSON = _compile(_ALTERNATIVES[0])
# The compiled expression itself, without Match objects: a flood of loud lines is guessed in a third of the time.
_FIND, _UNANCHORED = _LEVEL._regexp.Match, re2._Anchor.UNANCHORED


#: What a terminal takes for colour and weight, and nobody sees.
_COLOURS = re.compile(rb"\x1b\[[0-9;:]{0,64}m")


def without_colours(text: bytes) -> bytes:
    """`text` without SGR sequences: as it is read, with the same line ends."""
    # One byte is looked for ten times as fast as two, and most texts have none.
    return _COLOURS.sub(b"", text) if b"\x1b" in text and b"\x1b[" in text else text


def guess(text: bytes, carry: Carry = NOTHING, *, count: int | None = None) -> tuple[bytes, Carry]:
    """A level for each of the lines that `text` joins with newlines, and what the line after them may inherit.

    `count`: how many lines there are, for whoever knows.
    """
    text = without_colours(text)
    levels = bytearray(text.count(b"\n") + 1 if count is None else count)
    level, traceback, left = int(carry.level), carry.traceback, carry.left
    size, line, place, hit_line, counted, end = len(text), 0, 0, 0, 0, -1  # `line` begins at `place`, nothing passed on
    while end < size:
        ((start, stop),) = _FIND(_UNANCHORED, text, end + 1, size)
        if start < 0:
            break
        begin = text.rfind(b"\n", 0, start) + 1
        end = text.find(b"\n", start)
        end = size if end < 0 else end
        own, opens = _own(text, begin, end, start, stop)
        if not own:
            continue
        hit_line += text.count(b"\n", counted, begin)
        counted = begin
        if left and line < hit_line:
            left = _inherit(levels, text, (line, hit_line), place, (level, traceback, left))
        if left and text[begin] in b" \t":
            levels[hit_line] = level
        else:
            levels[hit_line] = level = own
            traceback, left = opens, MOST_INHERIT
        line, place = hit_line + 1, end + 1
    if left and line < len(levels):
        left = _inherit(levels, text, (line, len(levels)), place, (level, traceback, left))
    return bytes(levels), Carry(level=Level(level), traceback=traceback, left=left) if left else NOTHING


def _own(text: bytes, begin: int, end: int, start: int, stop: int) -> tuple[int, bool]:
    """The level of the line from `begin` to `end` in which `start` to `stop` was found first, and what `_meaning` says.

    0: none, it stands too far inside.
    """
    if text[start] == _QUOTE:
        return _meaning(text[start:stop]) if start - begin <= JSON_HEAD else (0, False)
    if text[begin] == _BRACE:
        known = _JSON.search(text, begin, min(end, begin + JSON_HEAD))
        if known is not None:
            return _meaning(known.group())
    return _meaning(text[start:stop]) if start - begin <= HEAD else (0, False)


def _inherit(levels: bytearray, text: bytes, lines: tuple[int, int], place: int, carry: tuple[int, bool, int]) -> int:
    """Pass `carry` on to the lines (from, before) that begin at `place`, while they go on from it; what is left."""
    level, traceback, left = carry
    for line in range(*lines):
        first = text[place : place + 1]
        if not left or first == b"\n" or not first:
            return 0
        if first not in (b" ", b"\t"):
            # What was raised: the one line of a traceback that is not indented.
            levels[line] = level if traceback else levels[line]
            return 0
        levels[line] = level
        left -= 1
        place = text.find(b"\n", place) + 1
    return left


@functools.lru_cache(maxsize=1024)
def _meaning(found: bytes) -> tuple[int, bool]:
    """The level a match of `_LEVEL` tells of, and whether a traceback begins whose last line is not indented."""
    words = found.lower().strip()
    if words.startswith(_UNCAUGHT):
        return Level.ERROR, words.startswith(b"traceback")
    if found[:1] == b'"' and words.endswith(b"0"):
        return _NUMBERS.get(words[-2:-1], Level.ERROR), False
    if found[:1] == b"<":
        return _PRIORITIES[int(found[1:2])], False
    if found[1:2].isdigit() or found[1:3] == b": ":
        return _LETTERS.get(found[:1], Level.ERROR), False
    if b"warn" in words:
        return Level.WARNING, False
    if b"info" in words or b"notice" in words:
        return Level.INFO, False
    if b"debug" in words or b"trace" in words:
        return Level.DEBUG, False
    return Level.ERROR, False
