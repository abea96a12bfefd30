"""A line of output as segments that are safe to show: colours from a fixed list, everything else visible. Pure.

Only SGR (colours and weights) is understood. Cursor moves, titles, links (OSC 8) and erasing are shown as the escapes
they are: a page is not a terminal, and what an agent tries to hide is worth seeing. State never crosses a line.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.web.parts import Segment
from app.web.text import HOSTILE, TAB, decode, escape, shown

#: Bytes of a line that are shown. The rest is counted; the whole is in the download.
SHOWN_BYTES = 4096
#: Pieces of a line that keep their own look; what follows is one plain piece. Each piece is an element on the page.
MOST_PIECES = 256
#: Codes of one SGR sequence that are obeyed.
MOST_CODES = 16

#: Every class name that can come out. The style sheet knows exactly these.
LOOKS = frozenset(
    [f"{ground}-{colour}" for ground in ("fg", "bg") for colour in range(16)]
    + ["bold", "dim", "italic", "underline", "strike", "esc", "more", "hit"]
)
_WEIGHTS = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 9: "strike"}
_ENDS = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",), 29: ("strike",)}

_SGR = re.compile(r"\x1b\[([0-9;:]{0,64})m")
#: The sixteen colours, to find the nearest one to any other.
_PALETTE = (
    *((0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229)),
    *((127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0), (92, 92, 255), (255, 0, 255), (0, 255, 255)),
    (255, 255, 255),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pen:
    """What SGR has switched on."""

    weights: frozenset[str] = frozenset()
    fg: int | None = None
    bg: int | None = None
    inverse: bool = False

    @property
    def look(self) -> str:
        fg, bg = (self.bg, self.fg) if self.inverse else (self.fg, self.bg)
        if bg is not None and bg == fg:
            bg = None  # text in the colour of its ground is hidden text
        names = [f"fg-{fg}"] if fg is not None else []
        names += [f"bg-{bg}"] if bg is not None else []
        return " ".join([*names, *sorted(self.weights)])


_PLAIN = _Pen()


def segments(data: bytes, *, shown_bytes: int = SHOWN_BYTES) -> tuple[Segment, ...]:
    """The line's segments. Never raises; no control character ever comes out; at most `shown_bytes` bytes are shown."""
    kept = _cut(data, shown_bytes)
    found = _merged(_walk(decode(kept)))
    if len(kept) < len(data):
        found.append(Segment(text=f" … {len(data) - len(kept)} more bytes", look="more"))
    return tuple(found)


def marked(pieces: Sequence[Segment], spans: Sequence[tuple[int, int]]) -> tuple[Segment, ...]:
    """`pieces` with the characters of `spans` (from, before; ascending) marked as what was looked for."""
    found: list[Segment] = []
    begin = place = 0
    for piece in pieces:
        end = begin + len(piece.text)
        cuts = {begin, end}
        while place < len(spans) and spans[place][1] <= begin:
            place += 1
        inside = [span for span in spans[place:] if span[0] < end]
        cuts.update(edge for span in inside for edge in span if begin < edge < end)
        for left, right in itertools.pairwise(sorted(cuts)):
            hit = any(span[0] <= left < span[1] for span in inside)
            look = f"{piece.look} hit".strip() if hit else piece.look
            found.append(Segment(text=piece.text[left - begin : right - begin], look=look))
        begin = end
    return tuple(found)


def _cut(data: bytes, most: int) -> bytes:
    """At most `most` bytes, not through the middle of a sign."""
    if len(data) <= most:
        return data
    end = most
    while end > most - 3 and data[end] & 0xC0 == 0x80:
        end -= 1
    return data[:end]


#: A piece of the text with its look, before it becomes a segment.
_Piece = tuple[str, str]


def _walk(text: str) -> Iterator[_Piece]:
    """Pieces in order: text with the pen's look, escapes with the look "esc". After many, the rest in one."""
    pen, place, column, made = _PLAIN, 0, 0, 0
    for changes, match in enumerate(_SGR.finditer(text)):
        if max(made, changes) > MOST_PIECES:
            made = MOST_PIECES + 1
            break
        for piece in _plain(text[place : match.start()], pen.look, column):
            column += len(piece[0])
            made += 1
            yield piece
        pen = _apply(pen, match[1])
        place = match.end()
    rest = text[place:]
    yield from _plain(rest, pen.look, column) if made <= MOST_PIECES else [(shown(_SGR.sub("", rest)), "")]


def _plain(text: str, look: str, column: int) -> Iterator[_Piece]:
    """Text without SGR: hostile signs become escapes, tabs the spaces they stand for. After many, the rest in one."""
    place = 0
    for made, match in enumerate(HOSTILE.finditer(text)):
        if made > MOST_PIECES:
            break
        if match.start() > place:
            yield text[place : match.start()], look
            column += match.start() - place
        place = match.end()
        signs = match[0]
        # A tab inside a run of hostile signs is one of them; by itself it is layout.
        spaces = len(("x" * (column % TAB) + signs).expandtabs(TAB)) - column % TAB if signs.strip("\t") == "" else 0
        piece = (" " * spaces, look) if spaces else (escape(signs), "esc")
        column += len(piece[0])
        yield piece
    if place < len(text):
        yield shown(text[place:]), look


def _merged(pieces: Iterator[_Piece]) -> list[Segment]:
    """Neighbours of one look joined: a hostile line should not become thousands of elements."""
    found: list[Segment] = []
    texts: list[str] = []
    look = ""
    for text, piece_look in pieces:
        now = piece_look if len(found) < MOST_PIECES else ""
        if texts and now != look:
            found.append(Segment(text="".join(texts), look=look))
            texts = []
        look = now
        texts.append(text)
    if texts:
        found.append(Segment(text="".join(texts), look=look))
    return found


def _apply(pen: _Pen, parameters: str) -> _Pen:
    """The pen after one SGR sequence. What it does not know it leaves; "conceal" and "blink" are among that."""
    codes = [int(code or 0) for code in parameters.replace(":", ";").split(";")[:MOST_CODES]]
    place = 0
    while place < len(codes):
        code = codes[place]
        place += 1
        if code == 0:
            pen = _PLAIN
        elif code in _WEIGHTS:
            pen = replace(pen, weights=pen.weights | {_WEIGHTS[code]})
        elif code in _ENDS:
            pen = replace(pen, weights=pen.weights.difference(_ENDS[code]))
        elif code in (7, 27):
            pen = replace(pen, inverse=code == 7)
        elif code in (38, 48):
            colour, place = _extended(codes, place)
            if colour is not None:
                pen = replace(pen, fg=colour) if code == 38 else replace(pen, bg=colour)
        else:
            pen = _coloured(pen, code)
    return pen


def _coloured(pen: _Pen, code: int) -> _Pen:
    """30-37, 90-97, 39 for the letters; 40-47, 100-107, 49 for the ground."""
    if 30 <= code <= 37 or 90 <= code <= 97:
        return replace(pen, fg=code - 30 if code < 90 else code - 82)
    if 40 <= code <= 47 or 100 <= code <= 107:
        return replace(pen, bg=code - 40 if code < 100 else code - 92)
    if code == 39:
        return replace(pen, fg=None)
    return replace(pen, bg=None) if code == 49 else pen


def _extended(codes: list[int], place: int) -> tuple[int | None, int]:
    """The colour of 38 or 48, brought down to the sixteen, and where to read on."""
    kind = codes[place] if place < len(codes) else 0
    if kind == 5 and place + 1 < len(codes):
        return _of_256(codes[place + 1]), place + 2
    if kind == 2 and place + 3 < len(codes):
        red, green, blue = codes[place + 1 : place + 4]
        return _nearest(red, green, blue), place + 4
    return None, len(codes)


def _of_256(index: int) -> int | None:
    if index < 16:
        return index
    if index < 232:
        cube = index - 16
        steps = [0 if step == 0 else 55 + 40 * step for step in (cube // 36, cube // 6 % 6, cube % 6)]
        return _nearest(*steps)
    if index < 256:
        return _nearest(*(8 + 10 * (index - 232),) * 3)
    return None


def _nearest(red: int, green: int, blue: int) -> int:
    return _nearest_of(min(red, 255) >> 4, min(green, 255) >> 4, min(blue, 255) >> 4)


@functools.cache  # 4,096 colours at most
def _nearest_of(red: int, green: int, blue: int) -> int:
    """In sixteenths: exact enough for sixteen colours."""
    wanted = (red * 17, green * 17, blue * 17)
    return min(range(16), key=lambda n: sum((a - b) ** 2 for a, b in zip(_PALETTE[n], wanted, strict=True)))
