"""`crucible doctor`: what it says of gVisor."""

from __future__ import annotations

import json

from app.cli.doctor import Check, gvisor_check
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
