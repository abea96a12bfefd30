"""`crucible doctor`: what it says of gVisor, and how it is laid out."""

from __future__ import annotations

import io
import json

from rich.console import Console

from app.cli.doctor import Check, checks_table, gvisor_check
from app.settings import Settings
from sandbox_runner.fake_driver import FakeDriver, FakeEngine
from sandbox_runner.fake_script import FakeKnobs
from sandbox_runner.runtime_probe import AGENT_CHECKS, ROOT_CHECKS

WORKS = dict.fromkeys((*ROOT_CHECKS, *AGENT_CHECKS), "")


async def checked(answer: dict[str, str], *, room: bool = True, offered: tuple[str, ...] = ("runc", "runsc")) -> Check:
    engine = FakeEngine(runtimes=offered)
    driver = FakeDriver(FakeKnobs(results={"probe": json.dumps(answer).encode()}), engine=engine)
    try:
        return await gvisor_check(Settings(), driver, offered, room_to_try=room)
    finally:
        await engine.close()


async def test_a_gvisor_that_fails_is_told_with_what_to_do_and_without_its_own_words() -> None:
    check = await checked({**WORKS, "shell": "OSError: Invalid argument"})
    assert check.good is None
    assert "does not work here" in check.todo
    assert "Install a newer runsc" in check.todo
    assert "OSError" not in check.todo


async def test_a_gvisor_is_called_good_only_when_it_was_tried() -> None:
    assert (await checked(WORKS)) == Check(name="gVisor", good=True, found="works")
    assert (await checked(WORKS, room=False)).good is None
    assert (await checked(WORKS, offered=("runc",))).found == "not registered"


def lines_at(width: int, *checks: Check) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(checks_table(checks, width=width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_80_columns_are_used_for_what_there_is_to_read() -> None:
    old = Check(name="containerd version", good=None, found="1.6.20~ds1", todo="is older than the fix, " * 12)
    missing = Check(name="base image", good=False, found="no crucible-base:current", todo="Run scripts/bootstrap.")
    first, *below, image, bootstrap = lines_at(80, old, missing)
    assert first == "note     containerd version  1.6.20~ds1"
    assert len(below) <= 6  # 276 characters
    assert all(line.startswith(" " * 29) and len(line) <= 80 for line in below)
    assert image == "MISSING  base image          no crucible-base:current"
    assert bootstrap.strip() == "Run scripts/bootstrap."
    assert "crucible-base:current Run scripts/bootstrap." in " ".join(lines_at(200, missing)[0].split())
