"""The file STOP in a data folder: a latch that needs no server, no database and no engine to be set.

Anybody may make it with `touch STOP`. While it is there, nothing of this folder runs: the warden kills what it finds,
and no server takes anything from its queue. Only a person's release takes it away.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

NAME = "STOP"
#: Bytes of the file that are looked at: it may be anybody's.
MOST = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Latch:
    """Who set it and why, as far as the file tells."""

    actor: str
    text: str
    at: float  #: unix seconds


class StopFile:
    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def read(self) -> Latch | None:
        """The latch, or None while there is none. A file that cannot be read is one all the same."""
        try:
            at = self.path.lstat().st_mtime  # A link that leads nowhere is a file STOP too.
        except FileNotFoundError:
            return None
        except OSError:
            return Latch(actor="file", text="STOP cannot be read", at=0.0)
        try:
            # Whatever was put there: a pipe that nobody writes to must not hold the reader up.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                said = (file.read(MOST) or b"").decode(errors="replace").strip()
        except OSError:
            said = ""
        return _latch(said, at)

    def set(self, *, actor: str, text: str) -> None:
        """Keeps an earlier one as it is. Raises `OSError`."""
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            # In few enough bytes that they are read back whole.
            said = {"actor": actor[:200], "text": text[:1000]}
            file.write(json.dumps(said, ensure_ascii=False))

    def clear(self) -> None:
        """Idempotent. Raises `OSError`."""
        self.path.unlink(missing_ok=True)


def _latch(said: str, at: float) -> Latch:
    try:
        data = json.loads(said)
        return Latch(actor=str(data["actor"])[:200], text=str(data["text"])[:1000], at=at)
    except (ValueError, KeyError, TypeError, RecursionError):
        return Latch(actor="file", text=said[:1000] or "the file STOP was made", at=at)
