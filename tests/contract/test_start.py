"""Starting, listing, describing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from sandbox_runner.driver import Driver, ImageMissing, NotAttested, StartFailed
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import MIB, Role, SandboxLimits
from tests.contract.conftest import House
from tests.contract.listener import Listener
from tests.contract.plays import BUSY, FILLS_ITS_HOME, TRIES_DISK_AND_NETWORK


async def test_the_engine_names_itself_and_its_runtimes(driver: Driver) -> None:
    engine = await driver.check()

    assert engine.name in ("docker", "fake")
    assert engine.version
    assert engine.runtimes


async def test_a_started_sandbox_is_alive_and_listed_as_what_its_labels_say(driver: Driver, house: House) -> None:
    before = time.time()
    sandbox = await house.start(role=Role.SCORING)

    assert (sandbox.run, sandbox.instance, sandbox.role) == ("run-1", house.instance, "scoring")
    assert abs(sandbox.started_at - before) < 60
    assert await driver.alive(sandbox)
    assert await driver.exists(sandbox)
    [listed] = await house.owned()
    assert (listed.id, listed.run, listed.instance, listed.role) == (
        sandbox.id,
        "run-1",
        house.instance,
        "scoring",
    )
    assert abs(listed.started_at - sandbox.started_at) < 2


async def test_two_sandboxes_of_one_run_live_side_by_side(driver: Driver, house: House) -> None:
    one, two = await asyncio.gather(house.start(), house.start())

    assert {sandbox.id for sandbox in await house.owned()} == {one.id, two.id}
    await kill_until_verified(driver, one)
    assert [sandbox.id for sandbox in await house.owned()] == [two.id]
    assert await driver.alive(two)


async def test_sandboxes_of_other_instances_are_listed_only_when_all_are_asked_for(
    driver: Driver, house: House
) -> None:
    stranger = House(driver)
    mine, theirs = await house.start(), await stranger.start()
    try:
        assert [sandbox.id for sandbox in await house.owned()] == [mine.id]
        assert {mine.id, theirs.id} <= {sandbox.id for sandbox in await driver.list_owned()}
    finally:
        await kill_until_verified(driver, theirs)


async def test_another_driver_of_the_same_engine_sees_and_ends_the_sandbox(
    driver: Driver, house: House, open_driver: Callable[[], Driver]
) -> None:
    sandbox = await house.start()
    other = open_driver()
    try:
        [found] = await other.list_owned(house.instance)
        assert found.id == sandbox.id
        assert await other.alive(found)
        await kill_until_verified(other, found)
    finally:
        await other.close()
    assert not await driver.exists(sandbox)


async def test_a_missing_image_is_said_to_be_missing_and_nothing_is_left(driver: Driver, house: House) -> None:
    with pytest.raises(ImageMissing):
        await driver.start(house.spec(image="crucible-no-such-image:latest"))
    assert await house.owned() == []


async def test_a_runtime_the_engine_does_not_have_is_a_failed_start_and_nothing_is_left(
    driver: Driver, house: House
) -> None:
    with pytest.raises(StartFailed):
        await driver.start(house.spec(runtime="no-such-runtime"))
    assert await house.owned() == []


@pytest.mark.parametrize("after", [0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16])
async def test_a_start_cancelled_at_any_moment_leaves_nothing(driver: Driver, house: House, after: float) -> None:
    start = asyncio.create_task(house.start())
    await asyncio.wait({start}, timeout=after)
    start.cancel()
    try:
        sandbox = await start
    except asyncio.CancelledError:
        pass
    else:  # it was done before it could be cancelled
        assert await driver.alive(sandbox)
        await kill_until_verified(driver, sandbox)
    assert await house.owned() == []


async def test_usage_says_what_a_busy_job_takes(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(BUSY.job(1))
        await listener.hears()
        first = await driver.usage(sandbox)
        assert abs(first.at - time.time()) < 60
        assert first.memory_bytes > 0
        assert first.pids >= 2
        async with asyncio.timeout(30):
            while (await driver.usage(sandbox)).cpu_seconds <= first.cpu_seconds:
                await asyncio.sleep(0.02)


async def test_usage_says_what_went_to_a_disk_and_how_often_a_network_was_tried(driver: Driver, house: House) -> None:
    sandbox = await house.start(role=Role.SETUP)
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        before = await driver.usage(sandbox)
        assert before.disk_written_bytes is not None  # the engine itself may have written a little
        assert before.network_attempts == 0
        await relay.run(TRIES_DISK_AND_NETWORK.job(1, uid=0))
        await listener.ended(1)
        async with asyncio.timeout(30):
            while ((usage := await driver.usage(sandbox)).network_attempts or 0) < 2:
                await asyncio.sleep(0.02)
    assert usage.disk_written_bytes is not None
    assert 2_000_000 <= usage.disk_written_bytes - before.disk_written_bytes < 2_900_000
    assert usage.network_attempts == 2  # a name is asked of the sandbox itself


async def test_usage_says_how_much_lies_in_an_agent_s_home_and_no_other_sandbox_has_one(
    driver: Driver, house: House
) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        assert (await driver.usage(sandbox, fresh=True)).disk_used_bytes == 0
        await relay.run(FILLS_ITS_HOME.job(1))
        await listener.ended(1)
        used = (await driver.usage(sandbox, fresh=True)).disk_used_bytes
    assert used is not None
    assert 3_000_000 <= used < 3_100_000
    assert (await driver.usage(await house.start(role=Role.SETUP))).disk_used_bytes is None


async def test_a_started_sandbox_was_compared_with_its_policy_and_can_be_again(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    attested = sandbox.attestation
    assert attested is not None
    assert (attested.profile, attested.isolation, attested.runtime) == ("strict", "T0.H1.N2", "runc")
    assert attested.image_id.startswith("sha256:")
    [found] = await house.owned()
    assert await driver.attest(found, house.spec()) == attested


async def test_a_sandbox_of_another_policy_is_named_field_by_field(driver: Driver, house: House) -> None:
    await house.start(role=Role.SCORING)
    [found] = await house.owned()
    with pytest.raises(NotAttested) as caught:
        await driver.attest(found, house.spec())
    named = {each.field for each in caught.value.differences}
    assert {"HostConfig.CapAdd", "HostConfig.ReadonlyRootfs", "Config.Labels.crucible.role"} <= named


async def test_a_sandbox_that_may_have_more_in_its_memory_than_half_of_it_is_not_started(
    driver: Driver, house: House
) -> None:
    spec = replace(house.spec(), limits=SandboxLimits(memory_bytes=256 * MIB, home_bytes=200 * MIB))
    with pytest.raises(StartFailed, match="more than half of the memory"):
        await driver.start(spec)
    assert await house.owned() == []
