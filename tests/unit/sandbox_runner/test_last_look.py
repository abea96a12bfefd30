from __future__ import annotations

import time
from pathlib import Path

from sandbox_runner.last_look import BUDGET, look_at


def _put(proc: Path, pid: int, stat: str) -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "stat").write_text(stat)


def test_a_name_may_hold_brackets_blanks_and_newlines(tmp_path: Path) -> None:
    _put(tmp_path, 7, "7 (a) R 1 (b\n) S 3 0 0")

    look = look_at([7], begun=time.monotonic(), proc=str(tmp_path))

    (process,) = look.processes
    assert (process.name, process.state, process.parent) == ("a) R 1 (b\n", "S", 3)


def test_a_process_that_is_gone_or_not_readable_is_left_out(tmp_path: Path) -> None:
    _put(tmp_path, 7, "")

    look = look_at([7, 8], begun=time.monotonic(), proc=str(tmp_path))

    assert look.processes == ()
    assert look.unseen == 0


def test_when_the_budget_is_used_up_the_others_are_counted(tmp_path: Path) -> None:
    _put(tmp_path, 7, "7 (a) S 1 0")

    look = look_at([7, 8, 9], begun=time.monotonic() - BUDGET - 0.001, proc=str(tmp_path))

    assert look.processes == ()
    assert look.unseen == 3
