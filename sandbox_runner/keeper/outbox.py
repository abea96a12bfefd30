"""What the keeper still has to write to the host, and what the host has not acknowledged. Standard library only."""

from __future__ import annotations

import os
import time
from collections import deque

from sandbox_runner import frames
from sandbox_runner.frames import Frame, Kind

MAX_CONTROL = 64  #: unsequenced frames waiting


class Refused(Exception):
    """What the host asked for cannot be done."""


class Outbox:
    """What is to be written to the host, and what it has not acknowledged yet."""

    def __init__(self) -> None:
        self.base = 0  #: everything before it is acknowledged and forgotten
        self.produced = 0
        self.window = frames.WINDOW
        self._kept: deque[Frame] = deque()
        self._sent = 0  #: how many of the kept frames were handed to the connection
        self._control: list[bytes] = []
        self._writing = memoryview(b"")
        self._open = False

    def room(self) -> int:
        """Sequenced bytes that may be produced now."""
        if len(self._kept) >= frames.MAX_KEPT:
            return 0
        return self.base + self.window - self.produced

    def put(self, job: int, stream: int, payload: bytes) -> None:
        now = time.time_ns() // 1000
        self._kept.append(Frame(Kind.DATA, payload, job, stream, self.produced, now))
        self.produced += len(payload)

    def control(self, encoded: bytes) -> None:
        """Queue something unsequenced; dropped when nobody listens or reads."""
        if self._open and len(self._control) < MAX_CONTROL:
            self._control.append(encoded)

    def crowded(self) -> bool:
        """Whether something unsequenced still waits; what can be told later and newer should be."""
        return bool(self._control)

    def acknowledge(self, offset: int) -> None:
        if not self.base <= offset <= self.produced:
            raise Refused(f"offset {offset} is not within {self.base} to {self.produced}")
        while self._kept and self._kept[0].offset + len(self._kept[0].payload) <= offset:
            self._kept.popleft()
            self._sent = max(0, self._sent - 1)
        self.base = offset

    def reopen(self, greeting: bytes) -> None:
        """A new connection: `greeting`, then all that is not acknowledged, again."""
        if self._kept and self._kept[0].offset < self.base:
            first = self._kept.popleft()
            rest = first.payload[self.base - first.offset :]
            self._kept.appendleft(first._replace(payload=rest, offset=self.base))
        self._open, self._sent = True, 0
        self._control = [greeting]
        self._writing = memoryview(b"")

    def waiting(self) -> bool:
        return self._open and bool(self._writing or self._control or self._sent < len(self._kept))

    def flush(self, fd: int) -> None:
        """Write as much as the pipe takes now."""
        while self.waiting():
            if not self._writing:
                self._writing = memoryview(self._next())
            try:
                self._writing = self._writing[os.write(fd, self._writing) :]
            except BlockingIOError:
                return
            except OSError:  # nobody holds the other end; a new connection begins with HELLO
                self._open = False

    def _next(self) -> bytes:
        pieces, self._control = self._control, []
        size = 0
        while self._sent < len(self._kept) and size < frames.MAX_PAYLOAD:
            frame = self._kept[self._sent]
            pieces.append(frames.encode(frame))
            size += len(frame.payload)
            self._sent += 1
        return b"".join(pieces)
