"""Runtimes as they are on this engine: tried, told apart, and their crash no failure of what ran in them."""

from __future__ import annotations

import asyncio

import docker
import pytest

from sandbox_runner.kill import kill_until_verified
from sandbox_runner.runtime_probe import AGENT_CHECKS, ROOT_CHECKS, probe_runtime
from sandbox_runner.spec import SandboxLimits
from tests.docker.conftest import IMAGE, PATIENCE, Bench, python, shell


async def test_the_hosts_runtime_does_every_step_of_a_run(bench: Bench) -> None:
    found = await probe_runtime(bench.driver, "runc", image=IMAGE, instance=bench.instance)
    assert found.problem == ""
    assert len(found.checks) == len(ROOT_CHECKS) + len(AGENT_CHECKS)
    assert await bench.driver.list_images(f"crucible-probe/{bench.instance}") == []


async def test_a_runtime_is_offered_exactly_when_ordinary_programs_run_on_it(bench: Bench, runtime: str) -> None:
    found = await probe_runtime(bench.driver, runtime, image=IMAGE, instance=bench.instance)
    listed = await bench.only(shell("ls -la / && stat /etc/passwd"), runtime=runtime)
    if listed.ended.code != 0:
        assert "list and stat" in found.problem
        assert not found.works
    else:
        assert "list and stat" not in found.problem
    assert await bench.driver.list_images(f"crucible-probe/{bench.instance}") == []


FORK_BOMB = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"


async def test_gvisor_that_falls_over_is_not_taken_for_the_end_of_what_ran_in_it(
    bench: Bench, engine: docker.APIClient
) -> None:
    if "runsc" not in engine.info()["Runtimes"]:
        pytest.fail("this engine has no gVisor to be felled")
    sandbox = await bench.start(runtime="runsc", limits=SandboxLimits(pids=16))
    async with asyncio.timeout(PATIENCE), bench.driver.relay(sandbox) as relay:
        await relay.run(python(FORK_BOMB))
        ended = await bench.driver.wait(sandbox)
    assert ended.sandbox_crashed, ended
    await kill_until_verified(bench.driver, sandbox)


async def test_the_end_of_a_keeper_is_no_crash(bench: Bench, runtime: str) -> None:
    sandbox = await bench.start(runtime=runtime, grace_seconds=2.0)
    async with asyncio.timeout(PATIENCE):
        ended = await bench.driver.wait(sandbox)  # nobody sends it a heartbeat
    assert not ended.sandbox_crashed
    assert ended.code == 75
