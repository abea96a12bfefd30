"""Freezing, killing, dying: in every state, proven."""

from __future__ import annotations

import asyncio
import time

import pytest

from sandbox_runner.driver import ASKED, Driver, FreezeFailed, JobStarted, Sandbox, SandboxGone, Stream
from sandbox_runner.kill import EMPTY, GONE, REMOVED, kill_until_verified
from tests.contract.conftest import House
from tests.contract.listener import PATIENCE, Listener
from tests.contract.plays import BUSY, FLOODS, REFUSES_TO_DIE, SLEEPS, SPEAKS, TICKS


async def _assert_nothing_is_left(driver: Driver, house: House, sandbox: Sandbox) -> None:
    assert not await driver.alive(sandbox)
    assert not await driver.exists(sandbox)
    assert await house.owned() == []


async def test_a_frozen_sandbox_says_nothing_and_goes_on_when_it_thaws(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(TICKS.job(1))
        await listener.hears(3)
        await driver.freeze(sandbox)
        await listener.is_quiet(0.2)  # what was on its way has arrived
        heard = len(listener.items)
        await asyncio.sleep(0.3)
        assert len(listener.items) == heard
        assert await driver.alive(sandbox)
        await driver.thaw(sandbox)
        await listener.hears(3)
    said = listener.bytes_of(Stream.STDOUT)
    assert said == (b"tick\n" * len(said))[: len(said)], "nothing lost, nothing twice; a last line may be half here"


async def test_a_flood_falls_silent_when_it_is_frozen(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(FLOODS.job(1))
        await listener.hears(3)
        await driver.freeze(sandbox)
        async with asyncio.timeout(PATIENCE):
            await listener.is_quiet(0.3)
        assert await driver.frozen(sandbox)
        await driver.thaw(sandbox)
        await listener.hears(3)
        assert not await driver.frozen(sandbox)


async def test_a_frozen_sandbox_takes_no_processor_time(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(BUSY.job(1))
        await listener.hears()
        await driver.freeze(sandbox)
        first = await driver.usage(sandbox)
        await asyncio.sleep(0.3)
        second = await driver.usage(sandbox)
        assert second.cpu_seconds - first.cpu_seconds < 0.02


async def test_freezing_twice_and_thawing_twice_is_harmless(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    await driver.thaw(sandbox)
    await driver.freeze(sandbox)
    await driver.freeze(sandbox)
    assert await driver.frozen(sandbox)
    await driver.thaw(sandbox)
    await driver.thaw(sandbox)
    assert not await driver.frozen(sandbox)
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(SPEAKS.job(1))
        assert (await listener.ended(1)).code == 0


async def test_a_sandbox_frozen_for_longer_than_its_grace_lives_on_when_it_thaws(driver: Driver, house: House) -> None:
    sandbox = await house.start(grace_seconds=1.0)
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(TICKS.job(1))
        await listener.hears(3)
        await driver.freeze(sandbox)
        await asyncio.sleep(2.5)
        await driver.thaw(sandbox)
        await listener.hears(20)
        assert await driver.alive(sandbox)


async def test_a_sandbox_frozen_while_nobody_was_there_can_be_taken_up_again(driver: Driver, house: House) -> None:
    sandbox = await house.start(grace_seconds=2.0)
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(TICKS.job(1))
        await listener.hears(3)
    await driver.freeze(sandbox)
    await asyncio.sleep(4.0)
    await driver.thaw(sandbox)
    async with driver.relay(sandbox, acknowledged=listener.end) as relay, Listener(relay, start=listener.end) as again:
        await again.hears(3)
        assert await driver.alive(sandbox)


async def test_a_dead_sandbox_cannot_be_frozen(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    await driver.kill(sandbox)
    await driver.wait(sandbox)
    with pytest.raises(FreezeFailed):
        await driver.freeze(sandbox)
    await driver.remove(sandbox)
    with pytest.raises(SandboxGone):
        await driver.freeze(sandbox)


async def test_an_idle_sandbox_is_killed(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    await kill_until_verified(driver, sandbox)
    await _assert_nothing_is_left(driver, house, sandbox)


async def test_a_working_sandbox_is_killed(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(SLEEPS.job(1))
        await listener.hears()
        death = await kill_until_verified(driver, sandbox)
    assert 0 <= death.dead_after <= death.gone_after
    assert death.attempts == 1
    await _assert_nothing_is_left(driver, house, sandbox)


async def test_an_agent_that_ignores_signals_and_forks_without_end_is_killed(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(REFUSES_TO_DIE.job(1))
        await listener.hears(2)
        await kill_until_verified(driver, sandbox)
    await _assert_nothing_is_left(driver, house, sandbox)


async def test_a_frozen_sandbox_is_killed(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(BUSY.job(1))
        await listener.hears()
        await driver.freeze(sandbox)
        await kill_until_verified(driver, sandbox)
    await _assert_nothing_is_left(driver, house, sandbox)


async def test_a_dead_sandbox_is_killed_again_and_a_removed_one_too(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    await driver.kill(sandbox)
    await driver.wait(sandbox)
    await driver.kill(sandbox)
    assert not await driver.alive(sandbox)
    assert [listed.id for listed in await house.owned()] == [sandbox.id]
    await kill_until_verified(driver, sandbox)
    await kill_until_verified(driver, sandbox)
    await driver.remove(sandbox)
    await _assert_nothing_is_left(driver, house, sandbox)


async def test_kills_of_one_sandbox_at_the_same_time_do_not_disturb_each_other(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    await asyncio.gather(*(kill_until_verified(driver, sandbox) for _ in range(4)))
    await _assert_nothing_is_left(driver, house, sandbox)


async def test_waiting_answers_how_the_sandbox_ended_as_often_as_asked(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    waiting = asyncio.create_task(driver.wait(sandbox))
    await asyncio.wait({waiting}, timeout=0.1)
    assert not waiting.done()
    before = time.time()
    await driver.kill(sandbox)
    async with asyncio.timeout(PATIENCE):
        ended = await waiting
    assert ended.code == 137
    assert ended.at is not None
    assert before <= ended.at <= time.time()
    assert not ended.out_of_memory
    assert await driver.wait(sandbox) == ended


async def test_the_end_of_a_job_is_not_the_end_of_the_sandbox(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(SPEAKS.job(1))
        await listener.ended(1)
        assert await driver.alive(sandbox)
        waiting = asyncio.create_task(driver.wait(sandbox))
        done, _ = await asyncio.wait({waiting}, timeout=0.1)
        assert not done
        waiting.cancel()


async def test_a_removed_sandbox_is_gone_for_everything_that_needs_it(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    await kill_until_verified(driver, sandbox)
    with pytest.raises(SandboxGone):
        await driver.usage(sandbox)
    with pytest.raises(SandboxGone):
        await driver.wait(sandbox)
    with pytest.raises(SandboxGone):
        await driver.thaw(sandbox)
    with pytest.raises(SandboxGone):
        await driver.commit(sandbox, "crucible-contract:never")


async def test_usage_of_a_dead_sandbox_is_refused(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    await driver.kill(sandbox)
    await driver.wait(sandbox)
    with pytest.raises(SandboxGone):
        await driver.usage(sandbox)


async def test_a_sandbox_nobody_ever_talks_to_ends_itself(driver: Driver, house: House) -> None:
    sandbox = await house.start(grace_seconds=1.0)
    async with asyncio.timeout(PATIENCE):
        ended = await driver.wait(sandbox)
    assert ended.code == 75
    assert not await driver.alive(sandbox)


async def test_a_sandbox_whose_relay_was_left_ends_itself_with_its_job(driver: Driver, house: House) -> None:
    sandbox = await house.start(grace_seconds=1.0)
    async with driver.relay(sandbox) as relay:
        await relay.run(REFUSES_TO_DIE.job(1))
    async with asyncio.timeout(PATIENCE):
        ended = await driver.wait(sandbox)
    assert ended.code == 75
    assert not await driver.alive(sandbox)


async def test_an_open_relay_keeps_a_silent_sandbox_alive_beyond_its_grace(driver: Driver, house: House) -> None:
    sandbox = await house.start(grace_seconds=1.0)
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(SLEEPS.job(1))
        await asyncio.sleep(2.5)
        assert await driver.alive(sandbox)
        assert listener.lost is None


async def test_the_way_a_kill_goes_can_be_tried_without_one(house: House) -> None:
    sandbox = await house.start()
    await house.driver.ready()
    assert await house.driver.alive(sandbox)


async def test_who_is_in_a_sandbox_is_seen_at_once_and_nobody_after_its_end(house: House) -> None:
    sandbox = await house.start()
    async with house.driver.relay(sandbox) as relay:
        await relay.run(SLEEPS.job(1))
        async for relayed in relay:
            if isinstance(relayed, JobStarted):
                break
        assert house.driver.last_look(sandbox).processes
    await kill_until_verified(house.driver, sandbox)
    assert house.driver.last_look(sandbox).processes == ()


async def test_each_step_of_a_kill_is_told(house: House) -> None:
    sandbox = await house.start()
    steps: list[str] = []
    await kill_until_verified(house.driver, sandbox, told=steps.append)
    assert [step for step in steps if step in {ASKED, EMPTY, REMOVED, GONE}] == [ASKED, EMPTY, REMOVED, GONE]
