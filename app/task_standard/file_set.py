"""A folder's regular files, read once, bounded, and packed the same way each time."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import Refused

MAX_BYTES = 64 * 1024 * 1024
MAX_FILES = 5000
#: Files and folders, those that are left out too.
MAX_ENTRIES = 20_000
MAX_DEPTH = 64
_LEFT_OUT = frozenset({"__pycache__", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedFile:
    path: str  #: relative, with "/"
    executable: bool
    data: bytes


def read_files(folder: Path, *, label: str) -> tuple[PackedFile, ...]:
    """All regular files below `folder`, by path. Raises `Refused` for links, devices and too much; never follows."""
    found: list[PackedFile] = []
    total = seen = 0
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in sorted([*folders, *names]):
            full = Path(parent, name)
            path = full.relative_to(folder).as_posix()
            status = full.lstat()
            seen += 1
            if path.count("/") >= MAX_DEPTH or seen > MAX_ENTRIES:
                raise Refused(
                    f"is deeper than {MAX_DEPTH} folders, or holds more than {MAX_ENTRIES} files and folders",
                    where=label,
                    todo="Move what is not needed elsewhere.",
                )
            if not _is_text(path):
                raise Refused("has a name that is not UTF-8", where=f"{label}/{path!a}", todo="Rename it.")
            if stat.S_ISDIR(status.st_mode) or name.endswith(".pyc"):
                continue
            if stat.S_ISLNK(status.st_mode):
                raise Refused("is a symbolic link", where=f"{label}/{path}", todo="Put a copy of the file there.")
            if not stat.S_ISREG(status.st_mode):
                raise Refused("is not an ordinary file", where=f"{label}/{path}", todo="Remove it.")
            total += status.st_size
            if total > MAX_BYTES or len(found) >= MAX_FILES:
                raise Refused(
                    f"holds more than {MAX_FILES} files or {MAX_BYTES // 2**20} MiB",
                    where=label,
                    todo="Move what is not needed elsewhere.",
                )
            found.append(PackedFile(path=path, executable=bool(status.st_mode & 0o100), data=full.read_bytes()))
    return tuple(sorted(found, key=lambda file: file.path))


def digest(files: Iterable[PackedFile]) -> str:
    """SHA-256 over paths, executable bits and contents, as hexadecimal text."""
    whole = hashlib.sha256()
    for file in files:
        head = f"{len(file.path.encode())}:{file.path}:{int(file.executable)}:{len(file.data)}:"
        whole.update(head.encode())
        whole.update(file.data)
    return whole.hexdigest()


def pack(files: Iterable[PackedFile]) -> bytes:
    """A tar archive: the same files give the same bytes. Owners and times say nothing about this machine."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            member = tarfile.TarInfo(file.path)
            member.size = len(file.data)
            member.mode = 0o755 if file.executable else 0o644
            archive.addfile(member, io.BytesIO(file.data))
    return buffer.getvalue()


def _raise(error: OSError) -> None:
    raise Refused(f"cannot be read: {error.strerror}", where=str(error.filename)) from error


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
