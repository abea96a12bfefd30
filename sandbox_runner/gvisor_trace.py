"""What gVisor's kernel sees a sandbox do, told by itself: programs started, files opened, addresses connected to.

`runsc trace create` has a running sandbox send its trace points to a socket of ours, one message a packet: a header
(its size, the message's type, how many were dropped), then the message as protocol buffers. The sender is the sandbox's
kernel, which an agent may have taken over: each length is bounded, each field typed, and nothing is believed beyond
being told of. Only on this host, and only for a runtime of gVisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import ipaddress
import json
import os
import posixpath
import shutil
import socket
import struct
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from sandbox_runner.docker_cgroups import is_member
from sandbox_runner.driver import Sandbox

#: Longest packet that is read; gVisor's own are cut at the same size.
MAX_MESSAGE = 256 * 1024
MAX_TEXT = 1024
MAX_ARGUMENTS = 64
#: Messages that wait to be taken; more are counted and dropped.
MAX_WAITING = 2000
#: Packets read before other tasks get their turn.
MAX_AT_ONCE = 200
WITHIN = 10.0
_HEADER = struct.Struct("<HHI")
_SESSION = "Default"  # the one name this interface knows
_POINTS = ("sentry/execve", "syscall/open/enter", "syscall/openat/enter", "syscall/connect/enter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One thing that was seen. Texts are an adversary's, cut."""

    kind: str  #: "exec", "open" or "connect"
    what: str  #: the arguments, the path, or the address


class _Type(enum.IntEnum):
    EXEC, OPEN, CONNECT = 3, 7, 10


class BadMessage(ValueError):
    """No message of gVisor's."""


def read_message(packet: bytes) -> tuple[Seen | None, int]:
    """What a packet tells (None: nothing for us), and how many were dropped before it. Raises `BadMessage`."""
    if len(packet) < _HEADER.size:
        raise BadMessage("shorter than a header")
    size, kind, dropped = _HEADER.unpack_from(packet)
    if not _HEADER.size <= size <= len(packet):
        raise BadMessage(f"a header of {size} bytes")
    body = packet[size:]
    match kind:
        case _Type.EXEC:
            arguments = [value for number, value in _fields(body) if number == 3][:MAX_ARGUMENTS]
            return Seen(kind="exec", what=_text(b" ".join(arguments))), dropped
        case _Type.OPEN:
            found = dict(_fields(body))
            return Seen(kind="open", what=_path(found)), dropped
        case _Type.CONNECT:
            address = _address(dict(_fields(body)).get(6, b""))
            return Seen(kind="connect", what=address) if address else None, dropped
    return None, dropped


def _path(found: Mapping[int, bytes]) -> str:
    path = posixpath.normpath(posixpath.join("/", _text(found.get(5, b"")), _text(found.get(6, b""))))
    return path.replace("/var/run/", "/run/", 1) if path.startswith("/var/run/") else path


def _address(raw: bytes) -> str:
    """An internet address outside the sandbox, "" for any other."""
    if len(raw) < 8:
        return ""
    family, port = struct.unpack_from("<H", raw)[0], struct.unpack_from(">H", raw, 2)[0]
    if family == socket.AF_INET:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.IPv4Address(raw[4:8])
    elif family == socket.AF_INET6 and len(raw) >= 24:
        address = ipaddress.IPv6Address(raw[8:24])
    else:
        return ""
    return "" if address.is_loopback or address.is_unspecified else f"{address} port {port}"


def _text(raw: bytes) -> str:
    return raw[:MAX_TEXT].decode("utf-8", "backslashreplace")


def _fields(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message that hold bytes, by number; numbers are skipped."""
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        match tag & 7:
            case 0:
                _, at = _varint(body, at)
            case 1:
                at += 8
            case 2:
                length, at = _varint(body, at)
                if length > len(body) - at:
                    raise BadMessage("a field longer than its message")
                yield tag >> 3, body[at : at + length]
                at += length
            case 5:
                at += 4
            case _:
                raise BadMessage("an unknown kind of field")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(body):
            raise BadMessage("cut in a number")
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise BadMessage("a number without end")


class GvisorTrace:
    """The trace of one sandbox. Made by `open`; `close` it."""

    def __init__(self, sandbox: Sandbox, command: tuple[str, ...], folder: str, listening: socket.socket) -> None:
        self._sandbox = sandbox
        self._command = command
        self._folder = folder
        self._listening = listening
        self._connection: socket.socket | None = None
        self._waiting: deque[Seen] = deque()
        self._rang = asyncio.Event()
        self.dropped = 0  #: what gVisor and we could not keep up with
        self.failure = ""  #: why it tells nothing any more

    @classmethod
    async def open(cls, sandbox: Sandbox) -> Self | None:
        """None where the sandbox is not gVisor's, or not of this host. Raises `OSError` when gVisor refuses."""
        command = _command(sandbox)
        if command is None:
            return None
        folder = tempfile.mkdtemp(prefix="crucible-trace-")  # only its owner may go in
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        trace = cls(sandbox, command, folder, listening)
        try:
            await trace._begin()
        except BaseException:
            await trace.close()
            raise
        return trace

    async def _begin(self) -> None:
        address = f"{self._folder}/socket"
        self._listening.bind(address)
        self._listening.listen(1)
        points = [{"name": name, **_options(name)} for name in _POINTS]
        sink = {"name": "remote", "config": {"endpoint": address, "retries": 1}}
        config = f"{self._folder}/session.json"
        with open(config, "w") as file:  # noqa: ASYNC230 - a few hundred bytes
            json.dump({"trace_session": {"name": _SESSION, "points": points, "sinks": [sink]}}, file)
        creating = asyncio.create_task(self._runsc("create", "--config", config))
        try:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(WITHIN):
                accepting = asyncio.create_task(loop.sock_accept(self._listening))
                await asyncio.wait({creating, accepting}, return_when=asyncio.FIRST_COMPLETED)
                if not accepting.done():
                    accepting.cancel()
                    await creating
                    raise OSError("gVisor did not connect")
                self._connection = accepting.result()[0]
                hello = await loop.sock_recv(self._connection, 1024)
                await loop.sock_sendall(self._connection, hello[:16])  # the version it speaks
                await creating
            loop.add_reader(self._connection, self._read)
        except TimeoutError as error:
            raise OSError("gVisor did not begin its trace in time") from error
        finally:
            creating.cancel()

    async def seen(self) -> list[Seen]:
        """Wait until something was seen; all of it since the last answer."""
        await self._rang.wait()
        return self.taken()

    def taken(self) -> list[Seen]:
        """What was seen since the last answer."""
        if self._connection is not None and not self.failure:
            self._read()
        self._rang.clear()
        found, self._waiting = list(self._waiting), deque()
        return found

    async def close(self) -> None:
        """End the session. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            asyncio.get_running_loop().remove_reader(connection)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(WITHIN):
                    await self._runsc("delete", "--name", _SESSION)
            connection.close()
        self._listening.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, True)

    async def _runsc(self, *arguments: str) -> None:
        argv = (*self._command, "trace", *arguments, self._sandbox.id)
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            _, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise OSError(f"runsc trace {arguments[0]}: {said[-300:].decode(errors='replace').strip()}")

    def _read(self) -> None:
        connection = self._connection
        if connection is None:
            return
        for _ in range(MAX_AT_ONCE):
            try:
                packet = connection.recv(MAX_MESSAGE)
                if not packet:
                    self._give_up("the sandbox closed it")
                    return
                seen, dropped = read_message(packet)
            except BlockingIOError:
                break
            except (OSError, BadMessage) as error:
                self._give_up(str(error))
                return
            self._keep(seen, dropped)
        if self._waiting:
            self._rang.set()

    def _keep(self, seen: Seen | None, dropped: int) -> None:
        self.dropped = max(self.dropped, dropped)
        if seen is not None and len(self._waiting) < MAX_WAITING:
            self._waiting.append(seen)
        elif seen is not None:
            self.dropped += 1

    def _give_up(self, why: str) -> None:
        self.failure = why
        if self._connection is not None:
            asyncio.get_running_loop().remove_reader(self._connection)
        self._rang.set()


def _options(name: str) -> dict[str, list[str]]:
    return {"optional_fields": ["fd_path"]} if name.startswith("syscall/openat") else {}


def _command(sandbox: Sandbox) -> tuple[str, ...] | None:
    """runsc, as it was called for this sandbox."""
    if sandbox.pid is None or not is_member(sandbox.pid, sandbox.id):
        return None
    try:
        with open(f"/proc/{sandbox.pid}/cmdline", "rb") as file:
            words = file.read(64 * 1024).split(b"\0")
        program = os.readlink(f"/proc/{sandbox.pid}/exe")
    except OSError:
        return None
    root = next((word.decode() for word in words if word.startswith(b"--root=")), None)
    return (program, root) if words[0].startswith(b"runsc") and root is not None else None
