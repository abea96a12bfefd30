"""Images made from sandboxes."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from sandbox_runner.driver import Driver, Stream
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import Role
from tests.contract.conftest import IMAGE, House
from tests.contract.listener import Listener
from tests.contract.plays import READS_THE_MARK, SPEAKS, WRITES_A_MARK


@pytest.fixture
async def reference(driver: Driver) -> AsyncIterator[str]:
    """To be asked for before `house`, so that its image goes after all that uses it."""
    reference = f"crucible-contract-{secrets.token_hex(6)}:latest"
    yield reference
    await driver.remove_image(reference)


async def test_the_base_image_is_there_and_a_strange_one_is_not(driver: Driver) -> None:
    assert await driver.image_id(IMAGE)
    assert await driver.image_id("crucible-no-such-image:latest") is None


async def test_what_root_made_in_one_sandbox_is_there_in_one_started_from_its_image(
    driver: Driver, reference: str, house: House
) -> None:
    setup = await house.start(role=Role.SETUP)
    async with driver.relay(setup) as relay, Listener(relay) as listener:
        await relay.run(WRITES_A_MARK.job(1, uid=0))
        assert (await listener.ended(1)).code == 0
        image = await driver.commit(setup, reference)
    await kill_until_verified(driver, setup)

    assert await driver.image_id(reference) == image
    assert await driver.list_images(reference.partition(":")[0]) == [reference]
    agent = await house.start(image=reference)
    async with driver.relay(agent) as relay, Listener(relay) as listener:
        await relay.run(READS_THE_MARK.job(1))
        assert (await listener.ended(1)).code == 0
    assert listener.bytes_of(Stream.STDOUT) == b"mark\n"


async def test_a_dead_sandbox_can_still_be_committed(driver: Driver, reference: str, house: House) -> None:
    setup = await house.start(role=Role.SETUP)
    await driver.kill(setup)
    await driver.wait(setup)
    assert await driver.commit(setup, reference) == await driver.image_id(reference)


async def test_an_image_is_removed_once_and_removing_it_again_is_harmless(
    driver: Driver, reference: str, house: House
) -> None:
    setup = await house.start(role=Role.SETUP)
    await driver.commit(setup, reference)
    await driver.remove_image(reference)
    assert await driver.image_id(reference) is None
    assert await driver.list_images(reference) == []
    await driver.remove_image(reference)


async def test_an_image_a_sandbox_runs_from_can_lose_its_name_and_the_sandbox_goes_on(
    driver: Driver, reference: str, house: House
) -> None:
    setup = await house.start(role=Role.SETUP)
    image = await driver.commit(setup, reference)
    agent = await house.start(image=reference)
    await driver.remove_image(reference)

    assert await driver.image_id(reference) is None
    async with driver.relay(agent) as relay, Listener(relay) as listener:
        await relay.run(SPEAKS.job(1))
        assert (await listener.ended(1)).code == 0
    for sandbox in (agent, setup):
        await kill_until_verified(driver, sandbox)
    await driver.remove_image(image)  # nameless, it can only go now


async def test_what_an_image_of_a_sandbox_would_take_is_told_of_those_that_are_there(
    driver: Driver, house: House
) -> None:
    setup, gone = await house.start(role=Role.SETUP), await house.start(role=Role.SETUP)
    await kill_until_verified(driver, gone)
    told = await driver.layer_bytes([setup, gone])
    assert told.keys() == {setup.id}
    assert told[setup.id] >= 0


async def test_room_on_the_engines_disk_is_told(driver: Driver) -> None:
    room = await driver.disk_room()
    assert room is not None
    assert room.bytes > 0
