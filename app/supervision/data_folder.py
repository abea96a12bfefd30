"""The data folder: one server at a time, and the name by which its containers are known."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from app.domain.errors import Unavailable

#: Changes with every start of the machine.
BOOT = Path("/proc/sys/kernel/random/boot_id")
#: Held by the server of a folder for as long as it lives.
LOCK = "server.lock"


@contextlib.contextmanager
def hold_data_folder(folder: Path) -> Iterator[str]:
    """Hold the folder for this process; answers the instance name. Raises `Unavailable` when another server has it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(
                f"another Crucible server holds {folder}; stop it, or choose another folder with CRUCIBLE_DATA"
            ) from None
        yield _instance(folder / "instance")
    finally:
        os.close(descriptor)


def _instance(file: Path) -> str:
    """A name that stays with the folder, so that a restarted server knows its own containers."""
    if not file.exists():
        file.write_text(secrets.token_hex(6) + "\n")
    return file.read_text().strip()


def started_anew(folder: Path) -> bool:
    """Whether the machine was started since a server of this folder asked last. Not where nobody can tell."""
    try:
        boot, told = BOOT.read_text().strip(), folder / "boot"
        before = told.read_text().strip() if told.exists() else boot
        told.write_text(boot + "\n")
    except OSError:
        return False
    return boot != before
