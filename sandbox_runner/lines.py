"""Bytes of a pipe -> lines. Pure. What the bytes mean, and how they may be shown, is decided elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox_runner.driver import Stream

#: Bytes after which a line is cut into pieces, and the most that ever waits for its newline.
LONGEST = 64 * 1024

_STREAMS = (Stream.STDOUT, Stream.STDERR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    r"""A line, or a piece of one that is too long or had to be given early.

    The exact bytes of a stream are `data + (b"\n" if complete else b"")` of all its lines, in order. A carriage return
    ends nothing: a progress bar that is drawn with it is one line without end, given piece by piece as time passes.
    """

    stream: Stream
    at: float  #: when its last bytes were read, unix seconds
    data: bytes  #: without the newline; at most `LONGEST` bytes, every value but a newline possible
    complete: bool  #: a newline followed


class LineDecoder:
    """Splits each stream at newlines only: a carriage return, NUL or Unicode separator is content.

    The same bytes give the same lines however they were chunked, as long as `flush` is not called.
    """

    __slots__ = ("_at", "_pending")

    def __init__(self, pending: Mapping[Stream, tuple[float, bytes]] | None = None) -> None:
        """Goes on where a former decoder's `pending` left off.

        Raises `ValueError` for what no decoder can have left: another stream, a newline, more than `LONGEST` bytes.
        """
        self._pending: dict[Stream, bytearray] = {stream: bytearray() for stream in _STREAMS}
        self._at: dict[Stream, float] = dict.fromkeys(_STREAMS, 0.0)
        for stream, (at, data) in (pending or {}).items():
            if b"\n" in data or len(data) > LONGEST:
                raise ValueError(f"not the pending bytes of a decoder: {len(data)} bytes, {data.count(10)} newlines")
            self._of(stream).extend(data)
            self._at[stream] = at

    def feed(self, stream: Stream, at: float, data: bytes) -> list[Line]:
        """The lines that `data`, read at `at`, completes. Raises `ValueError` for a stream that has no lines."""
        pending = self._of(stream)
        self._at[stream] = at
        pieces = data.split(b"\n")
        if len(pieces) == 1:
            pending += data
            return self._cut(stream, at, pending) if len(pending) > LONGEST else []
        if pending:
            pieces[0] = bytes(pending) + pieces[0]
        pending[:] = pieces.pop()
        if max(map(len, pieces)) <= LONGEST:
            lines = [Line(stream=stream, at=at, data=piece, complete=True) for piece in pieces]
        else:
            lines = []
            for piece in pieces:
                rest = bytearray(piece)
                lines += self._cut(stream, at, rest)
                lines.append(Line(stream=stream, at=at, data=bytes(rest), complete=True))
        if len(pending) > LONGEST:
            lines += self._cut(stream, at, pending)
        return lines

    def flush(self, stream: Stream | None = None) -> list[Line]:
        """What waits for its newline, of one stream or of both, as incomplete lines: after a pause, or at the end."""
        lines = []
        for each in _STREAMS if stream is None else (stream,):
            pending = self._of(each)
            if pending:
                lines.append(Line(stream=each, at=self._at[each], data=bytes(pending), complete=False))
                pending.clear()
        return lines

    def waits(self, stream: Stream) -> bool:
        """Whether something of it waits for its newline."""
        return bool(self._of(stream))

    def pending(self) -> dict[Stream, tuple[float, bytes]]:
        """What waits for its newline, to be written down and given to the next decoder; only streams that have some.

        For each when the newest of its bytes were read, and the bytes.
        """
        return {stream: (self._at[stream], bytes(data)) for stream, data in self._pending.items() if data}

    def _of(self, stream: Stream) -> bytearray:
        if stream not in self._pending:
            raise ValueError(f"stream {stream!r} has no lines")
        return self._pending[stream]

    def _cut(self, stream: Stream, at: float, data: bytearray) -> list[Line]:
        """Take whole pieces from the front of `data` until at most `LONGEST` bytes are left."""
        whole = (len(data) - 1) // LONGEST
        ends = range(LONGEST, whole * LONGEST + 1, LONGEST)
        lines = [Line(stream=stream, at=at, data=bytes(data[end - LONGEST : end]), complete=False) for end in ends]
        del data[: whole * LONGEST]
        return lines
