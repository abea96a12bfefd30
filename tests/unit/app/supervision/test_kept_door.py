"""The warden's door is the same after a restart; what cannot be read is made anew."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

from app.supervision.kept_door import NAME, KeptDoor


def opened(folder: Path, wanted: int = -1) -> KeptDoor:
    return KeptDoor.of(folder, host="127.0.0.1", wanted=wanted)


def test_key_and_port_stay_over_a_restart_for_the_owner_alone(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert len(first.key) == 32
    with socket.create_server(("127.0.0.1", first.port)):
        again = opened(tmp_path)
    assert (again.key, again.port) == (first.key, first.port)
    again.moved(4242)
    assert opened(tmp_path).port == 4242
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_a_port_that_is_set_goes_before_the_one_of_before(tmp_path: Path) -> None:
    key = opened(tmp_path).key
    assert opened(tmp_path, 8701).port == 8701
    none = opened(tmp_path, 0)
    assert (none.port, none.key) == (0, key)


def test_a_file_of_nonsense_is_made_anew(tmp_path: Path) -> None:
    for nonsense in ("", "[]", '{"key": "00", "port": 1}', '{"key": null, "port": 1}', '{"port": 70000}'):
        (tmp_path / NAME).write_text(nonsense)
        assert len(opened(tmp_path).key) == 32


def test_a_folder_that_takes_nothing_does_not_keep_a_server_from_starting(tmp_path: Path) -> None:
    assert opened(tmp_path / "gone").port > 0
