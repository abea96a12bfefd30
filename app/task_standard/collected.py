"""The files an agent left, re-packed. The archive is an adversary's; nothing of it is ever unpacked on the host."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = 512
MAX_DEPTH = 32
MAX_PATH = 1024
MAX_SUBMISSION = 1024 * 1024
_MAX_EXTENDED = 64 * 1024
_RECORD = re.compile(rb"(\d{1,6}) ([^=\n]{1,64})=")


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectLimits:
    """Most that is taken over. Sizes in bytes of file contents."""

    bytes: int = 64 * 1024 * 1024
    files: int = 10_000  #: files and folders together


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    archive: bytes  #: a tar archive of our own making: safe relative names, ordinary files and folders, no setuid
    files: int
    bytes: int
    left_out: int  #: links, devices, unusable names, too many or too large
    submission: str  #: submission.txt as it is, "" when there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    name: bytes
    kind: bytes
    mode: int
    mtime: int
    data: memoryview


def parse_collected(data: bytes, limits: CollectLimits) -> Collected:
    """Never raises: what cannot be read is left out and counted, a cut archive gives what is whole in it."""
    buffer = io.BytesIO()
    kinds: dict[str, bool] = {}  # path -> whether it is a folder
    files = size = left_out = 0
    submission = ""
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in _members(data):
            if member.kind == b"g":
                left_out += _left_out_inside(member.data)
                continue
            path = _safe_path(member.name)
            is_folder = member.kind == b"5"
            usable = path is not None and path not in kinds and _parents_are_folders(path, kinds)
            if not usable or member.kind not in b"05" or len(kinds) >= limits.files:
                left_out += 1
                continue
            assert path is not None
            if size + len(member.data) > limits.bytes:
                left_out += 1
                continue
            kinds[path] = is_folder
            archive.addfile(_entry(path, member, is_folder), io.BytesIO(member.data))
            if not is_folder:
                files += 1
                size += len(member.data)
            if path == "submission.txt" and not is_folder:
                submission = bytes(member.data[:MAX_SUBMISSION]).decode("utf-8", "replace")
    return Collected(archive=buffer.getvalue(), files=files, bytes=size, left_out=left_out, submission=submission)


def _entry(path: str, member: _Member, is_folder: bool) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type = tarfile.DIRTYPE if is_folder else tarfile.REGTYPE
    entry.size = len(member.data)
    entry.mode = (member.mode & 0o755) | (0o700 if is_folder else 0o600)
    entry.mtime = member.mtime
    entry.uid = entry.gid = 1000
    return entry


def _parents_are_folders(path: str, kinds: dict[str, bool]) -> bool:
    parts = path.split("/")
    return all(kinds.get("/".join(parts[:count]), True) for count in range(1, len(parts)))


def _safe_path(raw: bytes) -> str | None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    text = text.rstrip("/")
    parts = text.split("/")
    if "\0" in text or len(raw) > MAX_PATH or len(parts) > MAX_DEPTH:
        return None
    # An empty part is a leading or a doubled slash.
    if any(part in {"", ".", ".."} or len(part.encode()) > 255 for part in parts):
        return None
    return text


def _members(data: bytes) -> Iterator[_Member]:
    """The archive's members, by our own small reader: the library's follows extensions (sparse maps, chained headers,
    numbers of any size) that only a hostile archive would use here, and each had its own ways to hang or to bloat.
    """
    view, at = memoryview(data), 0
    extended: dict[str, bytes] = {}
    while at + BLOCK <= len(view):
        header = bytes(view[at : at + BLOCK])
        size = _octal(header[124:136])
        if size is None or not _checksum_holds(header):
            return  # the end mark, or nothing that can be believed from here on
        kind = header[156:157].replace(b"\0", b"0")
        at += BLOCK
        if kind in b"05" and "size" in extended:
            size = int(extended["size"]) if extended["size"].isdigit() and len(extended["size"]) < 16 else len(view) + 1
        if at + size > len(view):
            return
        body = view[at : at + size]
        at += -(-size // BLOCK) * BLOCK
        if kind == b"x":
            extended = _records(body)
            continue
        prefix = header[345:500].split(b"\0")[0]
        name = header[:100].split(b"\0")[0]
        name = extended.get("path", prefix + b"/" + name if prefix else name)
        mode, mtime = _octal(header[100:108]) or 0, _octal(header[136:148]) or 0
        yield _Member(name=name, kind=kind, mode=mode, mtime=mtime, data=body)
        extended = {}


def _records(body: memoryview) -> dict[str, bytes]:
    """A pax header's records; nothing when it is malformed."""
    if len(body) > _MAX_EXTENDED:
        return {}
    data, at, found = bytes(body), 0, {}
    while match := _RECORD.match(data, at):
        end = at + int(match[1])
        if end <= match.end() or end > len(data):
            return {}
        found[match[2].decode("ascii", "replace")] = data[match.end() : end - 1]
        at = end
    return found


def _left_out_inside(body: memoryview) -> int:
    count = _records(body).get("crucible.left_out", b"0")
    return int(count) if count.isdigit() and len(count) < 10 else 0


def _octal(field: bytes) -> int | None:
    """A header's number; None when it is not plain octal (and then the header is not believed)."""
    digits = field.strip(b" \0")
    if not digits or len(digits) > 12 or digits.strip(b"01234567"):
        return None
    return int(digits, 8)


def _checksum_holds(header: bytes) -> bool:
    return _octal(header[148:156]) == sum(header) - sum(header[148:156]) + 8 * 0x20
