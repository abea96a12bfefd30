"""The file STOP may be anybody's: whatever lies there is a latch, and reading it neither hangs nor fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox_runner.stop_file import StopFile


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def nested(path: Path) -> None:
    path.write_text("[" * 100_000)


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\x00" * 50_000)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [os.mkfifo, dangling, to_itself, nested, no_text, endless, Path.mkdir, Path.touch])
def test_whatever_is_called_stop_is_a_latch(tmp_path: Path, make: Callable[[Path], None]) -> None:
    latch = StopFile(tmp_path)
    make(latch.path)
    assert (found := latch.read()) is not None
    assert found.actor == "file"
    latch.set(actor="a person", text="")
    assert latch.read() is not None


def test_who_set_it_is_read_back_whatever_was_said(tmp_path: Path) -> None:
    latch = StopFile(tmp_path)
    latch.set(actor="\N{SKULL}" * 500, text='\N{SKULL}\x01"' * 500)
    found = latch.read()
    assert found is not None
    assert (found.actor, found.text) == ("\N{SKULL}" * 200, ('\N{SKULL}\x01"' * 500)[:1000])
