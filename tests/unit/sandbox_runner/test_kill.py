from __future__ import annotations

import asyncio

import pytest

from sandbox_runner.driver import ASKED, EngineUnreachable, Sandbox
from sandbox_runner.fake_driver import FakeDriver
from sandbox_runner.fake_script import FakeKnobs
from sandbox_runner.kill import AGAIN, EMPTY, GONE, REMOVED, NotDead, kill_until_verified
from sandbox_runner.spec import Role, SandboxSpec


async def _start(driver: FakeDriver) -> Sandbox:
    return await driver.start(SandboxSpec(image="crucible-base:current", role=Role.AGENT, instance="here", run="run-1"))


async def test_a_sandbox_is_dead_at_the_first_attempt_and_gone_after() -> None:
    driver = FakeDriver()
    sandbox = await _start(driver)

    death = await kill_until_verified(driver, sandbox)

    assert death.attempts == 1
    assert 0 <= death.dead_after <= death.gone_after
    assert await driver.list_owned() == []
    await driver.close()


async def test_a_sandbox_that_survives_kills_is_killed_until_it_does_not() -> None:
    driver = FakeDriver(FakeKnobs(ignore_kill=3))
    sandbox = await _start(driver)

    steps: list[str] = []
    death = await kill_until_verified(driver, sandbox, again=0.01, told=steps.append)

    assert death.attempts == 4
    assert steps == [ASKED, AGAIN, ASKED, AGAIN, ASKED, AGAIN, ASKED, EMPTY, REMOVED, GONE]
    assert not await driver.exists(sandbox)
    await driver.close()


async def test_a_sandbox_that_is_dead_but_still_known_is_removed_until_it_is_not() -> None:
    driver = FakeDriver(FakeKnobs(ignore_remove=2))
    sandbox = await _start(driver)

    death = await kill_until_verified(driver, sandbox)

    assert death.attempts == 3
    assert death.dead_after < death.gone_after
    assert not await driver.exists(sandbox)
    await driver.close()


async def test_a_sandbox_that_cannot_be_killed_is_never_said_to_be_dead() -> None:
    driver = FakeDriver(FakeKnobs(ignore_kill=10**9))
    sandbox = await _start(driver)

    with pytest.raises(NotDead, match="still exists"):
        await kill_until_verified(driver, sandbox, within=0.05, again=0.01)

    assert await driver.alive(sandbox)
    assert await driver.exists(sandbox)
    await driver.close()


async def test_an_engine_that_does_not_answer_is_named_as_the_cause() -> None:
    driver = FakeDriver()
    sandbox = await _start(driver)
    driver.engine_down = True

    with pytest.raises(NotDead) as caught:
        await kill_until_verified(driver, sandbox, within=0.1)

    assert isinstance(caught.value.__cause__, EngineUnreachable)
    await driver.close()


async def test_an_engine_that_comes_back_in_time_is_asked_again() -> None:
    driver = FakeDriver()
    sandbox = await _start(driver)
    driver.engine_down = True
    killing = asyncio.create_task(kill_until_verified(driver, sandbox))
    await asyncio.wait({killing}, timeout=0.1)
    driver.engine_down = False

    death = await killing

    assert death.attempts > 1
    assert not await driver.exists(sandbox)
    await driver.close()


async def test_a_sandbox_that_is_no_longer_there_is_verified_at_once() -> None:
    driver = FakeDriver()
    sandbox = await _start(driver)
    await kill_until_verified(driver, sandbox)

    assert (await kill_until_verified(driver, sandbox)).attempts == 1
    await driver.close()
