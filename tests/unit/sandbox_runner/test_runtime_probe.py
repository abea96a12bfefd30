"""Trying a runtime: what is offered was played through, and silence is not consent."""

from __future__ import annotations

import json

import pytest

from sandbox_runner.fake_driver import FakeDriver, FakeEngine
from sandbox_runner.fake_script import FakeJob, FakeKnobs
from sandbox_runner.gvisor import crashed, host_pids
from sandbox_runner.runtime_probe import AGENT_CHECKS, ROOT_CHECKS, RuntimeProbe, probe_runtime

WORKS = dict.fromkeys((*ROOT_CHECKS, *AGENT_CHECKS), "")


async def probed(knobs: FakeKnobs, runtime: str = "runsc") -> RuntimeProbe:
    engine = FakeEngine(runtimes=("runc", "runsc"))
    driver = FakeDriver(knobs, engine=engine)
    found = await probe_runtime(driver, runtime, image="crucible-base:current", instance="here")
    assert await driver.list_owned() == []
    assert await driver.list_images("crucible-probe") == []
    await engine.close()
    return found


async def test_a_runtime_that_does_every_step_works_and_nothing_is_left() -> None:
    found = await probed(FakeKnobs())
    assert found.works
    assert found.problem == found.sentence == ""
    assert len(found.checks) == len(ROOT_CHECKS) + len(AGENT_CHECKS)


async def test_what_a_probe_that_was_cut_off_left_is_removed_by_the_next_and_nobody_elses() -> None:
    engine = FakeEngine(runtimes=("runc", "runsc"))
    engine.images |= {"crucible-probe/here:0001", "crucible-probe/there:0001"}
    driver = FakeDriver(FakeKnobs(), engine=engine)
    assert (await probe_runtime(driver, "runsc", image="crucible-base:current", instance="here")).works
    assert await driver.list_images("crucible-probe/") == ["crucible-probe/there:0001"]
    await engine.close()


@pytest.mark.parametrize("name", sorted(WORKS))
async def test_one_step_that_fails_is_named(name: str) -> None:
    found = await probed(
        FakeKnobs(results={"probe": json.dumps({**WORKS, name: "OSError: Invalid\nargument"}).encode()})
    )
    assert not found.works
    assert f"{name}: OSError: Invalid argument" in found.problem
    assert "does not work here" in found.sentence
    assert f'{name}". Install a newer runsc' in found.sentence
    assert "OSError" not in found.sentence


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b"nonsense", b"\xff", json.dumps({"shell": ""}).encode()])
async def test_a_runtime_that_does_not_answer_everything_does_not_work(answer: bytes) -> None:
    assert not (await probed(FakeKnobs(results={"probe": answer}))).works


async def test_a_runtime_that_does_not_start_or_falls_over_does_not_work() -> None:
    assert "start: no room" in (await probed(FakeKnobs(start_error="no room"))).problem
    assert "no runtime nope" in (await probed(FakeKnobs(), "nope")).problem
    falls = FakeKnobs(jobs={"probe": FakeJob(run_for=600)}, crash_after=0.05)
    assert not (await probed(falls)).works


def test_a_crash_of_gvisors_kernel_is_not_the_end_of_what_ran_in_it() -> None:
    assert [code for code in range(256) if crashed("runsc", code)] == [2, 134, 139]
    assert not any(crashed("runc", code) for code in range(256))
    assert host_pids(256) == 64 + 8 * 256
