"""The warden's door for pages, kept over restarts: open pages know its port and hold leaves signed with its key."""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

log = logging.getLogger(__name__)

NAME = "stop.door"
#: Bytes of the key.
KEY = 32


@dataclass(slots=True)
class KeptDoor:
    """`key` signs what pages ask with; `port` is where they ask, 0: nowhere. For the owner of the data folder only."""

    file: Path
    key: bytes
    port: int

    @classmethod
    def of(cls, folder: Path, *, host: str, wanted: int) -> Self:
        """As it was before; a new one where there was none. `wanted` -1: the port of before, or any that is free."""
        file = folder / NAME
        key, before = _read(file)
        door = cls(file=file, key=key, port=wanted if wanted >= 0 else before or _free(host))
        door._write()
        return door

    def moved(self, port: int) -> None:
        """The warden listens at another port than was meant."""
        if port != self.port:
            self.port = port
            self._write()

    def _write(self) -> None:
        """On a full disk it is not kept, and holds nothing up: pages are then told to load again after a restart."""
        new = self.file.with_name(f"{NAME}.new")
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as out:
                json.dump({"key": self.key.hex(), "port": self.port}, out)
            new.replace(self.file)
        except OSError as error:
            log.warning("%s could not be kept: %s", self.file, error)


def _read(file: Path) -> tuple[bytes, int]:
    try:
        said = json.loads(file.read_text())
        key, port = bytes.fromhex(said["key"]), int(said["port"])
        if len(key) == KEY and 0 <= port <= 65535:
            return key, port
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return secrets.token_bytes(KEY), 0


def _free(host: str) -> int:
    """One that is free now; should it be taken by then, the warden takes another and says so."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as place:
            place.bind((host, 0))
            port: int = place.getsockname()[1]
            return port
    except OSError:
        return 0
