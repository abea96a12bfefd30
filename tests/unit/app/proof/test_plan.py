"""What is attacked: the runtimes of ours that runs are given."""

from __future__ import annotations

import json

import pytest

from app.domain.errors import Refused
from app.domain.proofs import Verdict
from app.proof.proof import plan, prove, refused_runtimes
from sandbox_runner.fake_driver import FakeDriver, FakeEngine
from sandbox_runner.fake_script import FakeKnobs
from sandbox_runner.runtime_probe import AGENT_CHECKS, ROOT_CHECKS

IMAGE = "crucible-base:current"
BOTH = ("runc", "runsc", "other")
BAD = json.dumps({**dict.fromkeys((*ROOT_CHECKS, *AGENT_CHECKS), ""), "shell": "OSError: Invalid argument"}).encode()
WHY = "setup: shell: OSError: Invalid argument"


async def test_a_runtime_that_its_probe_refuses_is_told_as_not_offered_and_not_attacked() -> None:
    driver = FakeDriver(FakeKnobs(results={"probe": BAD}), engine=FakeEngine(runtimes=BOTH))
    refused = await refused_runtimes(driver, IMAGE, BOTH)
    assert refused == {"runsc": WHY}
    wanted = plan(BOTH, only=["manifests"], refused=refused)
    lines = [line async for line in prove(driver, IMAGE, wanted)]
    assert [(line.runtime, line.attack, line.verdict) for line in lines] == [
        ("runc", "manifests", Verdict.HELD),
        ("runsc", "probe", Verdict.NOT_OFFERED),
    ]
    assert lines[-1].happened == WHY
    assert len(lines) == wanted.size
    assert await driver.list_owned() == []
    await driver.close()


async def test_a_runtime_that_works_is_attacked() -> None:
    driver = FakeDriver(FakeKnobs(), engine=FakeEngine(runtimes=BOTH))
    refused = await refused_runtimes(driver, IMAGE, BOTH)
    assert plan(BOTH, refused=refused).runtimes == ("runc", "runsc")
    await driver.close()


def test_a_runtime_that_is_named_is_attacked_whatever_its_probe_says() -> None:
    wanted = plan(BOTH, runtime="runsc", refused={"runsc": WHY})
    assert (wanted.runtimes, dict(wanted.refused)) == (("runsc",), {})
    with pytest.raises(Refused, match="runs"):
        plan(BOTH, runtime="runs")
