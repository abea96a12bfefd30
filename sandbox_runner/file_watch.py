"""Sees a container's files being opened, from the host: inotify through /proc/PID/root, tmpfs included.

Nothing inside can see or end the watch. Not for gVisor, whose files the host's kernel does not open for the program,
nor for an engine on another machine: `FileWatch.open` then watches nothing, and says so by `places`.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Self

from sandbox_runner.docker_cgroups import is_member
from sandbox_runner.driver import Sandbox

_OPENED, _OVERFLOW, _IGNORED = 0x20, 0x4000, 0x8000
_HEAD = struct.Struct("iIII")
_LIBC = ctypes.CDLL(None, use_errno=True)


class FileWatch:
    """Counts how often each watched file was opened. Made by `open`; `close` it."""

    def __init__(self, descriptor: int, places: dict[int, str]) -> None:
        self._descriptor = descriptor
        self._places = places
        self._counts: Counter[str] = Counter()
        self._rang = asyncio.Event()
        self.missed = False  #: the kernel's queue overflowed: there were more opens than were counted
        if descriptor >= 0:
            asyncio.get_running_loop().add_reader(descriptor, self._read)

    @classmethod
    def open(cls, sandbox: Sandbox, paths: Collection[str]) -> Self:
        """Watch those of `paths` that are ordinary files now. No link is followed, whoever made it."""
        descriptor = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC) if sandbox.pid is not None else -1
        if descriptor < 0:
            return cls(-1, {})
        places: dict[int, str] = {}
        for path, file in places_of(sandbox, paths):
            try:
                number = _LIBC.inotify_add_watch(descriptor, f"/proc/self/fd/{file}".encode(), _OPENED)
            finally:
                os.close(file)
            if number >= 0:
                places[number] = path
        return cls(descriptor, places)

    @property
    def places(self) -> tuple[str, ...]:
        """The paths that are watched."""
        return tuple(self._places.values())

    async def opened(self) -> None:
        """Wait until a watched file was opened that `taken` has not told of."""
        await self._rang.wait()

    def taken(self) -> Counter[str]:
        """How often each file was opened since the last call."""
        if self._descriptor >= 0:
            self._read()
        self._rang.clear()
        counts, self._counts = self._counts, Counter()
        return counts

    def close(self) -> None:
        """Idempotent."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 64 * 1024)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            number, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size + length
            self.missed = self.missed or bool(mask & _OVERFLOW)
            if mask & _OPENED and number in self._places:
                self._counts[self._places[number]] += 1
        if self._counts:
            self._rang.set()


def places_of(sandbox: Sandbox, paths: Collection[str]) -> Iterator[tuple[str, int]]:
    """Each path that is there, with a descriptor that only names it."""
    try:
        root = os.open(f"/proc/{sandbox.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        # Asked after the root is held: the number may have come to mean another process.
        if sandbox.pid is None or not is_member(sandbox.pid, sandbox.id):
            return
        for path in paths:
            file = _walk(root, path)
            if file is not None:
                yield path, file
    finally:
        os.close(root)


def _walk(root: int, path: str) -> int | None:
    parts = path.strip("/").split("/")
    at = os.dup(root)
    for part in parts:
        last = part is parts[-1]
        try:
            flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if last else os.O_DIRECTORY)
            below = os.open(part, flags, dir_fd=at)
        except OSError:
            return None
        finally:
            os.close(at)
        at = below
    return at
