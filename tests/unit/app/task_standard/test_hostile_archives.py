"""Archives made to do harm: what comes of each is ordinary files within limits, and never much work."""

from __future__ import annotations

import io
import tarfile

import pytest

from app.task_standard.collected import CollectLimits, parse_collected

LIMITS = CollectLimits(bytes=1024 * 1024, files=100)


def member(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **changes: object) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, len(data)
    for key, value in changes.items():
        setattr(entry, key, value)
    return entry.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512)


def claims(name: str, size: int) -> bytes:
    """A header that claims more than follows."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry.tobuf(tarfile.GNU_FORMAT)


ARCHIVES: dict[str, bytes] = {
    "parents": member("../../etc/passwd", data=b"x") + member("a/../../b", data=b"x"),
    "absolute": member("/etc/passwd", data=b"x") + member("//etc/passwd", data=b"x"),
    "links": member("s", tarfile.SYMTYPE, linkname="/etc/passwd")
    + member("h", tarfile.LNKTYPE, linkname="/etc/shadow"),
    "through a link": member("d", tarfile.SYMTYPE, linkname="/etc") + member("d/passwd", data=b"x"),
    "pipe and devices": member("p", tarfile.FIFOTYPE)
    + member("c", tarfile.CHRTYPE, devmajor=1, devminor=1)
    + member("b", tarfile.BLKTYPE, devmajor=8),
    "a tebibyte of holes": claims("sparse", 1 << 40),
    "old gnu sparse": member("sparse", b"S", data=b"x"),
    "a size that is no number": claims("x", 1).replace(b"00000000001\0", b"-0000000001\0"),
    "setuid": member("s", data=b"x", mode=0o6777),
    "many members": b"".join(member(f"f{number}") for number in range(5000)),
    "one name again and again": member("same", data=b"x") * 3000,
    "odd names": member("new\nline", data=b"x") + member("-rf", data=b"x") + member("\u202etxt", data=b"x"),
    "long names": member("n" * 5000, data=b"x") + member("/".join("d" * 60), data=b"x"),
    "too much": b"".join(member(f"big{number}", data=bytes(512 * 1024)) for number in range(8)),
    "a file as a folder": member("a", data=b"x") + member("a/b", data=b"x"),
    "headers that never end": member("x", b"x", data=b"30 path=" + b"a" * 21 + b"\n") * 2000,
    "a long pax record": member("x", b"x", data=b"999999 path=" + b"a" * 100),
    "a name of a long link": member("././@LongLink", b"L", data=b"../../x") + member("y", data=b"x"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_made_to_do_harm_gives_ordinary_files_within_limits(name: str) -> None:
    collected = parse_collected(ARCHIVES[name] + bytes(1024), LIMITS)
    with tarfile.open(fileobj=io.BytesIO(collected.archive)) as archive:
        members = archive.getmembers()
    assert all(each.isreg() or each.isdir() for each in members)
    assert not [each.name for each in members if each.name.startswith("/") or ".." in each.name.split("/")]
    assert not [each.name for each in members if each.mode & 0o7022]
    assert len(members) <= LIMITS.files
    assert collected.bytes <= LIMITS.bytes
    assert len({each.name for each in members}) == len(members)


@pytest.mark.parametrize("name", ["parents", "absolute", "links", "pipe and devices", "too much", "many members"])
def test_what_is_left_out_of_it_is_counted(name: str) -> None:
    assert parse_collected(ARCHIVES[name] + bytes(1024), LIMITS).left_out > 0
