"""An image's name says what it was made of; an archive of the same files is the same archive."""

from __future__ import annotations

import dataclasses
import io
import re
import tarfile
from pathlib import Path

from app.task_standard.family import Family
from app.task_standard.file_set import PackedFile, digest, pack
from app.task_standard.image import family_archive, image_reference

FILES = (
    PackedFile(path="assets/a.bin", executable=False, data=b"\0\1"),
    PackedFile(path="fam.py", executable=True, data=b"print()"),
)
FAMILY = Family(name="Big__Fam_", folder=Path("x"), digest=digest(FILES), manifest=None, task_names=None, files=FILES)


def test_the_reference_is_one_an_engine_takes() -> None:
    assert re.fullmatch(r"crucible-family/big_fam:[0-9a-f]{16}", image_reference(FAMILY, "sha256:1"))


def test_another_base_or_other_files_give_another_reference() -> None:
    other = dataclasses.replace(FAMILY, digest=digest(FILES[:1]))
    references = {image_reference(FAMILY, "1"), image_reference(FAMILY, "2"), image_reference(other, "1")}
    assert len(references) == 3


def test_a_digest_sees_names_contents_and_the_executable_bit() -> None:
    changed = [
        FILES,
        (dataclasses.replace(FILES[0], path="assets/b.bin"), FILES[1]),
        (dataclasses.replace(FILES[0], data=b"\0\2"), FILES[1]),
        (dataclasses.replace(FILES[0], executable=True), FILES[1]),
        (dataclasses.replace(FILES[0], path="assets/a.bin:0", data=b"\1"), FILES[1]),
    ]
    assert len({digest(files) for files in changed}) == len(changed)


def test_an_archive_is_the_same_each_time_and_names_nobody() -> None:
    assert family_archive(FAMILY) == pack(FILES)
    with tarfile.open(fileobj=io.BytesIO(family_archive(FAMILY))) as archive:
        members = archive.getmembers()
    assert [(member.name, member.mode, member.mtime, member.uid, member.uname) for member in members] == [
        ("assets/a.bin", 0o644, 0, 0, ""),
        ("fam.py", 0o755, 0, 0, ""),
    ]
