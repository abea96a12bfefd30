"""The warden's door: one order a connection, as a line of JSON, over a Unix socket in the data folder.

Whoever may write to that folder may stop: the folder is its owner's, and so is the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

NAME = "stop.sock"
#: Bytes of a line.
MOST = 64 * 1024
#: Seconds a connection may take to say its order.
PATIENCE = 5.0

Json = dict[str, Any]


class NoWarden(Exception):
    """Nobody listens at the socket, or whoever does gives no answer."""


def ask(folder: Path, order: Json, *, within: float) -> Json:
    """Say `order` and wait for the answer, without an event loop. Raises `NoWarden`."""
    try:
        with _address(folder) as address, socket.socket(socket.AF_UNIX) as door:
            door.settimeout(within)
            door.connect(f"{address}/{NAME}")
            door.sendall(json.dumps(order).encode() + b"\n")
            said = b""
            while not said.endswith(b"\n"):
                piece = door.recv(MOST)
                if not piece:
                    break
                said += piece
        answer: Json = json.loads(said)
    except (OSError, ValueError) as error:
        raise NoWarden(f"no warden answers at {folder / NAME}: {error}") from None
    return answer


@contextlib.asynccontextmanager
async def listening(folder: Path, obey: Callable[[Json], Awaitable[Json]]) -> AsyncIterator[int]:
    """Take orders while open; answers the socket's inode.

    It takes the place of an older warden's in one step: at each moment somebody answers.
    """
    with _address(folder) as address:
        door = socket.socket(socket.AF_UNIX)
        name = f"{NAME}.{secrets.token_hex(4)}"
        before = os.umask(0o177)
        try:
            door.bind(f"{address}/{name}")
        finally:
            os.umask(before)
    server = await asyncio.start_unix_server(lambda reader, writer: _serve(reader, writer, obey), sock=door, limit=MOST)
    try:
        inode = (folder / name).stat().st_ino
        with _at_the_door(folder):
            (folder / name).rename(folder / NAME)
        yield inode
    finally:
        # Before our own is closed: until then nobody else's can have its inode. The folder may be gone.
        with contextlib.suppress(OSError), _at_the_door(folder):
            if is_current(folder, inode):
                (folder / NAME).unlink()
        server.close()


def is_current(folder: Path, inode: int) -> bool:
    """Whether the socket at the door is still ours: a newer warden puts its own there."""
    try:
        return (folder / NAME).stat().st_ino == inode
    except OSError:
        return False


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, obey: Callable[[Json], Awaitable[Json]]
) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            line = await reader.readline()
        order = json.loads(line)
        answer = await obey(order if isinstance(order, dict) else {})
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
    except (OSError, ValueError, RecursionError, TimeoutError):
        pass  # Whoever asked is gone or says nothing; what was ordered goes on.
    finally:
        writer.close()


@contextlib.contextmanager
def _at_the_door(folder: Path) -> Iterator[None]:
    """One warden at a time: whoever goes must not take away what another has just put there."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _address(folder: Path) -> Iterator[str]:
    """By the folder's descriptor: a path in full may be longer than an address may be."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
