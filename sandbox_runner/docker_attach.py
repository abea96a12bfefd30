"""The wire to a keeper: the engine's attach connection, read by the event loop without a thread."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Self

import docker

from sandbox_runner.driver import EngineUnreachable, RelayRefused

#: Bytes read at once and held before the engine is made to wait.
READ = 256 * 1024
MAX_WORDS = 2000
_HEADER = struct.Struct(">BxxxL")
_STDOUT, _STDERR = 1, 2


def open_attach(client: docker.APIClient, container: str) -> tuple[socket.socket, bytes]:
    """In a thread: a connection to the container's three streams, and what of them came with the engine's answer."""
    stream: Any = client.attach_socket(container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    response = stream._response
    try:
        if client.base_url.startswith("https") or not isinstance(getattr(stream, "_sock", None), socket.socket):
            raise EngineUnreachable(f"a keeper cannot be reached over {client.base_url}; use a unix or tcp socket")
        # The package hands out the socket from below a buffer that may have read on beyond the answer's headers.
        stream._sock.setblocking(False)
        early = bytes(response.raw._fp.fp.peek())
        return stream._sock.dup(), early
    finally:
        response.close()


class AttachedWire:
    """See `relay.Wire`. Without a terminal the engine puts eight bytes before each piece: which stream, how long."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, early: bytes, *, resumed: bool
    ) -> None:
        self.resumed = resumed
        self._reader = reader
        self._writer = writer
        self._early = early
        self._head = b""
        self._stream = 0
        self._left = 0
        self._words = b""

    @classmethod
    async def over(cls, sock: socket.socket, early: bytes, *, resumed: bool) -> Self:
        connect: Any = asyncio.open_unix_connection if sock.family == socket.AF_UNIX else asyncio.open_connection
        reader, writer = await connect(sock=sock, limit=READ)
        return cls(reader, writer, early, resumed=resumed)

    async def receive(self) -> bytes:
        while True:
            data, self._early = self._early or await self._reader.read(READ), b""
            if not data:
                return b""
            if wanted := self._sorted(data):
                return wanted

    def send(self, data: bytes) -> None:
        if not self._writer.is_closing():  # closed by a kill, which the reader is about to notice
            self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()

    def backlog(self) -> int:
        return self._writer.transport.get_write_buffer_size()

    def last_words(self) -> str:
        return self._words.decode(errors="replace").strip()

    def cut(self) -> None:
        """At once, waiting for nothing: an open connection holds the engine's kill up."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Whatever is still to be written is dropped."""
        self.cut()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass

    def _sorted(self, data: bytes) -> bytes:
        """What of `data` is the keeper's stdout; stderr is kept as its last words. Raises `RelayRefused`."""
        wanted: list[bytes] = []
        at = 0
        while at < len(data):
            if self._left == 0:
                missing = _HEADER.size - len(self._head)
                self._head += data[at : at + missing]
                at += missing
                if len(self._head) == _HEADER.size:
                    self._stream, self._left = _HEADER.unpack(self._head)
                    self._head = b""
                    if self._stream not in (_STDOUT, _STDERR):
                        raise RelayRefused(f"the engine sent a stream {self._stream}")
                continue
            piece = data[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            if self._stream == _STDOUT:
                wanted.append(piece)
            else:
                self._words = (self._words + piece)[-MAX_WORDS:]
        return b"".join(wanted)
