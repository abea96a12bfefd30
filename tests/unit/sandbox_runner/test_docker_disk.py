from __future__ import annotations

import os

import pytest

from sandbox_runner.docker_disk import disk_of, room_of

HERE = {"Name": os.uname().nodename, "DockerRootDir": "/"}


def test_the_folder_of_an_engine_of_this_machine_is_its_disk() -> None:
    assert disk_of(HERE) == "/"


@pytest.mark.parametrize(
    "changes",
    [
        {"Name": "another"},
        {"Name": None},
        {"DockerRootDir": "/no/such/folder"},
        {"DockerRootDir": ""},
        {"DockerRootDir": "tmp"},
    ],
)
def test_an_engine_elsewhere_has_no_disk_that_we_see(changes: dict[str, str | None]) -> None:
    assert disk_of({**HERE, **changes}) is None


def test_room_is_what_anybody_may_use() -> None:
    room, told = room_of("/"), os.statvfs("/")
    assert room is not None
    assert 0 <= room.bytes <= told.f_blocks * told.f_frsize
    assert room_of("/no/such/folder") is None
