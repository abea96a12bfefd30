"""What to look for in a run's output, and finding it in one block. Pure; linear in the text whatever the pattern."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import re2

from app.domain.errors import Refused
from app.domain.levels import Level, without_colours
from app.store.block import Block

#: Characters of a pattern.
LONGEST = 1000
#: Bytes one compiled pattern may use; beyond it the search is slower, not larger.
MOST_MEMORY = 8 * 1024 * 1024
#: Places that are marked in one line.
MOST_SPANS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which lines are wanted: those that hold `pattern`, are of `streams` and of `levels`. All three empty: every line.

    A pattern is looked for in each line by itself, without its newline and its colours, as a person sees it. A regular
    expression is in RE2's syntax: `^` and `$` are a line's ends. `inverse`: lines that do not hold the pattern. A byte
    that is no UTF-8 counts as some character. Raises `Refused` for a pattern that is none, with the place and advice.
    """

    pattern: str = ""
    regex: bool = False
    case: bool = False  #: upper and lower case differ
    inverse: bool = False
    streams: frozenset[int] = frozenset()  #: empty: of any
    levels: frozenset[Level] = frozenset()  #: empty: of any; `Level.NONE` are the lines without

    def __post_init__(self) -> None:
        if len(self.pattern) > LONGEST:
            raise Refused(
                f"the pattern has {len(self.pattern)} characters", where="pattern", todo=f"At most {LONGEST}."
            )
        if "\n" in self.pattern or "\r\n" in self.pattern:
            raise Refused(
                f"there is a line break at character {self.pattern.index(chr(10)) + 1} of the pattern",
                where="pattern",
                todo="Lines are searched one by one: look for a part of one line.",
            )
        for stream in self.streams:
            if not 0 <= stream <= 127:
                raise Refused(f"there is no stream {stream}", where="streams", todo="1 is stdout, 2 is stderr.")
        _compiled(self)


class Finder:
    """A query made ready. Belongs to one search: not for two threads at once."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._streams = bytes(not query.streams or flag >> 1 in query.streams for flag in range(256))
        self._levels = bytes(not query.levels or level in query.levels for level in range(256))
        # Without case, letters beyond ASCII have others that mean the same: the expression knows them.
        plain = not query.regex and (query.case or query.pattern.isascii())
        self._needle = (query.pattern if query.case else query.pattern.lower()).encode() if plain else b""
        self._line_by_line = query.regex and bool(_NEEDS_ONE_LINE.search(query.pattern))
        self._expression = _compiled(query)
        self._runs = None if self._line_by_line or not query.pattern else _compiled_runs(query)
        self._share = 0.0  # of the lines of the last block that were wanted

    def skips(self, levels: Mapping[Level, int] | None, lines: int) -> bool:
        """Whether a chunk of that many lines, of these levels, can hold nothing that is wanted."""
        wanted = self._query.levels
        if not wanted or levels is None:
            return False
        others = 0 if Level.NONE in wanted and sum(levels.values()) < lines else -1
        return others < 0 and not any(levels.get(level, 0) for level in wanted)

    def find(self, block: Block) -> Sequence[int]:
        """The indices of the wanted lines, ascending."""
        query = self._query
        if not query.pattern:
            found: Sequence[int] = range(0 if query.inverse else block.count)
        else:
            found = self._holding(block)
            if query.inverse:
                mask = bytearray(b"\1" * block.count)
                for index in found:
                    mask[index] = 0
                found = list(compress(range(block.count), mask))
        if query.streams:
            kept = block.flags.translate(self._streams)
            found = [index for index in found if kept[index]]
        if query.levels:
            kept = block.levels.translate(self._levels)
            found = [index for index in found if kept[index]]
        return found

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where `text`, a line as it is shown, holds the pattern: (from, before) in characters; none when inverse."""
        if not self._query.pattern or self._query.inverse:
            return []
        data = text.encode("utf-8", "replace").replace(b"\n", b" ")
        spans: list[tuple[int, int]] = []
        place = 0
        while place <= len(data) and len(spans) < MOST_SPANS:
            start, end = self._first(data, place)
            if start < 0:
                break
            if end > start:
                spans.append((start, end))
            place = max(end, start + 1)
        if len(data) == len(text):
            return spans
        return [(_characters(data, start), _characters(data, end)) for start, end in spans]

    def _first(self, text: bytes, place: int) -> tuple[int, int]:
        """The first match from `place` on; (-1, -1) without."""
        ((start, end),) = self._expression.Match(_UNANCHORED, text, place, len(text))
        return start, end

    def _holding(self, block: Block) -> list[int]:
        """The indices of the lines that hold the pattern."""
        text = without_colours(block.text)
        plain = self._needle and (self._query.case or text.isascii())
        if not plain:
            text = _valid(text)
            if self._line_by_line:
                return [index for index, line in enumerate(text.split(b"\n")) if self._start(line, 0) >= 0]
        # Most blocks hold none, and the expression sees that without the interpreter, which other threads need. Where
        # there are many, others are faster from one to the next.
        if plain and self._share > 1 / 16:
            found = self._with_needle(text)
        elif not plain and self._runs and self._share > 1 / 2:
            found = _run_by_run(text, self._runs)
        else:
            found = _each_line(text, self._start)
        self._share = len(found) / block.count
        return found

    def _start(self, text: bytes, place: int) -> int:
        return self._first(text, place)[0]

    def _with_needle(self, text: bytes) -> list[int]:
        text = text if self._query.case else text.lower()
        return _each_line(text, lambda text, place: text.find(self._needle, place))


_UNANCHORED = re2._Anchor.UNANCHORED
#: What means the ends of the whole text, or could match a newline: right only for a text of one line.
_NEEDS_ONE_LINE = re.compile(r"\\[AzC]|\(\?[A-Za-z]*-[A-Za-z]*m")


#: Bytes that are no UTF-8, as Python decodes them.
_ESCAPED = re.compile("[\udc80-\udcff]")


def _valid(text: bytes) -> bytes:
    """`text` with one sign in place of each byte that is no UTF-8: else no pattern could step over it."""
    if text.isascii():
        return text
    try:
        text.decode()
    except UnicodeDecodeError:
        return _ESCAPED.sub("\x1a", text.decode("utf-8", "surrogateescape")).encode()
    return text


def _each_line(text: bytes, first: Callable[[bytes, int], int]) -> list[int]:
    """`first` answers where the first match begins from a place on, or -1."""
    found: list[int] = []
    place = line = counted = 0
    while True:
        start = first(text, place)
        if start < 0:
            return found
        line += text.count(b"\n", counted, start)
        counted = start
        found.append(line)
        place = text.find(b"\n", start) + 1
        if not place:
            return found


def _run_by_run(text: bytes, runs: Any) -> list[int]:
    """Where most lines are wanted: a match is as many of them as follow each other."""
    text += b"\n"
    found: list[int] = []
    place = line = 0
    while place < len(text):
        ((start, end),) = runs.Match(_UNANCHORED, text, place, len(text))
        if start < 0:
            break
        line += text.count(b"\n", place, start)
        wanted = text.count(b"\n", start, end)
        found += range(line, line + wanted)
        line += wanted
        place = end
    return found


def _characters(data: bytes, place: int) -> int:
    return len(data[:place].decode("utf-8", "ignore"))


def _compiled(query: Query) -> Any:
    """The expression, or None when none is needed. Raises `Refused`."""
    if not query.pattern:
        return None
    try:
        pattern = query.pattern.encode()
    except UnicodeEncodeError as error:
        raise Refused(
            f"character {error.start + 1} of the pattern is half a character", where="pattern", todo="Remove it."
        ) from None
    options = _options(query)
    options.literal = not query.regex
    if query.regex and not _NEEDS_ONE_LINE.search(query.pattern):
        # Checked without the prefix first, so that what is said of it is about what was typed.
        _made(pattern, options, query)
        pattern = b"(?m)" + pattern
    return _made(pattern, options, query)


def _compiled_runs(query: Query) -> Any:
    r"""Matches whole lines that hold the pattern, as many as follow each other. `\C` takes the newline, which nothing
    else can match. None where the pattern cannot stand inside another."""
    if query.regex and r"\Q" in query.pattern:
        return None
    pattern = query.pattern if query.regex else re2.escape(query.pattern)
    made = re2._re2.RE2(b"(?m)(?:^.*(?:" + pattern.encode() + b").*$\\C)+", _options(query))
    return made if made.ok() else None


def _options(query: Query) -> Any:
    options = re2.Options()
    options.case_sensitive = query.case
    options.max_mem = MOST_MEMORY
    options.never_nl = True
    options.never_capture = True
    options.log_errors = False
    return options


def _made(pattern: bytes, options: Any, query: Query) -> Any:
    # Not re2.compile: it keeps the last 128 patterns anybody typed, each with its memory.
    made = re2._re2.RE2(pattern, options)
    if not made.ok():
        raise _refusal(made.error().decode("utf-8", "replace"), query.pattern)
    return made


_ADVICE = (
    ("missing )", "Close each ( with a ), or write \\( for the sign itself."),
    ("unexpected )", "Write \\) for the sign itself."),
    ("missing ]", "Close each [ with a ], or write \\[ for the sign itself."),
    ("repetition operator", "Write \\*, \\+ or \\? for the sign itself."),
    ("repetition size", "At most 1000 repetitions."),
    ("perl operator", "There is no look-ahead or look-behind here: they cannot be searched in linear time."),
    ("escape sequence", "Write \\\\ for a backslash. There are no back-references."),
    ("trailing", "Write \\\\ for a backslash."),
    ("too large", "Use fewer or smaller repetitions."),
)


def _refusal(said: str, pattern: str) -> Refused:
    what, _, part = said.partition(": ")
    place = pattern.find(part) if part else -1
    if ")" in what:
        place = _unbalanced(pattern)
    at = f" at character {place + 1}" if place >= 0 else ""
    advice = next((todo for words, todo in _ADVICE if words in what), "Correct it.")
    shown = f" ({part})" if part and part != pattern else ""
    return Refused(
        f"the pattern is no regular expression: {what}{shown}{at}.",
        where="pattern",
        todo=f"{advice} Or look for it as plain text.",
    )


def _unbalanced(pattern: str) -> int:
    """Where the first bracket stands that closes nothing, or else the innermost that is never closed."""
    opened: list[int] = []
    for match in re.finditer(r"\\.|\[\^?\]?(?:\\.|[^\]])*\]|[()]", pattern):
        if match[0] == "(":
            opened.append(match.start())
        elif match[0] == ")":
            if not opened:
                return match.start()
            opened.pop()
    return opened[-1] if opened else -1


__all__ = ["Finder", "Query"]
