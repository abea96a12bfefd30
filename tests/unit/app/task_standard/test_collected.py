"""An agent's archive is re-packed in memory: only plain names, plain files, within the limits."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.task_standard.collected import Collected, CollectLimits, parse_collected

LIMITS = CollectLimits(bytes=10_000, files=20)


def entry(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def archive(*entries: tuple[tarfile.TarInfo, bytes], headers: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers or {}) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def contents(collected: Collected) -> dict[str, bytes | None]:
    """Path -> contents, None for a folder, read by the library's own reader."""
    with tarfile.open(fileobj=io.BytesIO(collected.archive)) as tar:
        found: dict[str, bytes | None] = {}
        for member in tar:
            source = tar.extractfile(member)
            found[member.name] = source.read() if source else None
            assert member.isreg() or member.isdir()
            assert member.mode & ~0o755 == 0
            assert (member.uid, member.gid) == (1000, 1000)
        return found


def test_files_and_folders_come_through_as_they_are() -> None:
    collected = parse_collected(
        archive(
            entry("submission.txt", b"42\n"),
            entry("out", type=tarfile.DIRTYPE, mode=0o700),
            entry("out/report.json", b"{}", mode=0o4777),
            entry("out/" + "n" * 150 + "/é\n.txt", b"long names too"),
        ),
        LIMITS,
    )
    assert contents(collected) == {
        "submission.txt": b"42\n",
        "out": None,
        "out/report.json": b"{}",
        "out/" + "n" * 150 + "/é\n.txt": b"long names too",
    }
    assert (collected.files, collected.bytes, collected.left_out) == (3, 3 + 2 + 14, 0)
    assert collected.submission == "42\n"


def test_a_submission_is_kept_as_it_is_and_decoded_with_care() -> None:
    assert parse_collected(archive(entry("submission.txt", b" 2 \n\xff\x00")), LIMITS).submission == " 2 \n\ufffd\x00"
    assert parse_collected(archive(entry("x", b"")), LIMITS).submission == ""
    assert parse_collected(archive(entry("submission.txt", type=tarfile.DIRTYPE)), LIMITS).submission == ""


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "a/../../up",
        "/abs",
        "a//b",
        "./a",
        "a/./b",
        "..",
        ".",
        "a\0b",
        "x" * 256,
        "/".join("abcdefghi" * 4),
        "a/" * 600 + "b",
    ],
)
def test_a_name_that_leads_elsewhere_is_left_out(name: str) -> None:
    info, data = entry("placeholder", b"x")
    info.pax_headers = {"path": name}
    collected = parse_collected(archive((info, data), entry("kept", b"y")), LIMITS)
    assert contents(collected) == {"kept": b"y"}
    assert collected.left_out == 1


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE,
                                  tarfile.GNUTYPE_SPARSE, b"9"])  # fmt: skip
def test_what_is_not_a_file_or_folder_is_left_out(kind: bytes) -> None:
    collected = parse_collected(
        archive(entry("strange", type=kind, linkname="/etc/passwd"), entry("kept", b"y")), LIMITS
    )
    assert contents(collected) == {"kept": b"y"}
    assert collected.left_out == 1


def test_the_same_name_twice_is_taken_once_and_a_file_is_no_folder() -> None:
    collected = parse_collected(
        archive(entry("a", b"first"), entry("a", b"second"), entry("a/b", b"below a file")), LIMITS
    )
    assert contents(collected) == {"a": b"first"}
    assert collected.left_out == 2


def test_limits_of_size_and_number_hold() -> None:
    large = parse_collected(archive(entry("a", b"x" * 9_000), entry("b", b"x" * 2_000), entry("c", b"x")), LIMITS)
    assert list(contents(large)) == ["a", "c"]
    assert (large.bytes, large.left_out) == (9_001, 1)
    many = parse_collected(archive(*[entry(f"f{number}") for number in range(25)]), LIMITS)
    assert (many.files, many.left_out) == (20, 5)


def test_what_was_left_out_inside_is_counted_too() -> None:
    collected = parse_collected(archive(entry("a"), headers={"crucible.left_out": "41"}), LIMITS)
    assert collected.left_out == 41
    lying = parse_collected(archive(entry("a"), headers={"crucible.left_out": "9" * 4000}), LIMITS)
    assert lying.left_out == 0


def test_a_cut_archive_gives_what_is_whole_in_it() -> None:
    whole = archive(entry("a", b"x" * 600), entry("b", b"y" * 600))
    assert contents(parse_collected(whole[: 512 + 1024 + 512 + 100], LIMITS)) == {"a": b"x" * 600}
    assert contents(parse_collected(b"", LIMITS)) == {}


def test_a_header_that_lies_about_its_size_ends_the_reading() -> None:
    data = bytearray(archive(entry("a", b"x" * 600)))
    for size in (b"77777777777\0", b"-0000000001\0", b"\x80" + b"\xff" * 11):
        data[124:136] = size
        data[148:156] = b"%06o\0 " % (sum(data[:148]) + 8 * 32 + sum(data[156:512]))
        assert contents(parse_collected(bytes(data), LIMITS)) == {}


def test_an_extended_header_that_lies_is_not_followed() -> None:
    info, data = entry("a", b"12345")
    info.pax_headers = {"size": "99999999999999999999"}
    assert contents(parse_collected(archive((info, data)), LIMITS)) == {}


@settings(deadline=None)
@given(st.binary(max_size=4000))
def test_any_bytes_are_borne(data: bytes) -> None:
    assert contents(parse_collected(data, LIMITS)) == {}


@settings(deadline=None)
@given(st.data())
def test_a_spoiled_archive_gives_only_safe_names(data: st.DataObject) -> None:
    spoiled = bytearray(archive(entry("a/b", b"x" * 700), entry("é" * 80, b"y"), entry("l", type=tarfile.SYMTYPE)))
    for _ in range(data.draw(st.integers(1, 8))):
        spoiled[data.draw(st.integers(0, len(spoiled) - 1))] = data.draw(st.integers(0, 255))
    collected = parse_collected(bytes(spoiled), LIMITS)
    for name in contents(collected):
        assert not name.startswith("/")
        assert ".." not in name.split("/")
