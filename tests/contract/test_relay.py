"""Nothing is lost, nothing comes twice, whatever happens to the connection; and nobody can flood us."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import pytest

from sandbox_runner.driver import (
    Driver,
    OutputChunk,
    RelayLost,
    RelayRefused,
    Sandbox,
    SandboxGone,
    Stream,
    end_of,
)
from sandbox_runner.kill import kill_until_verified
from tests.contract.conftest import House
from tests.contract.listener import PATIENCE, Listener
from tests.contract.plays import ENDS_WITH_3, FLOODS, RANDOM, RANDOM_BYTES, SLEEPS, SPEAKS, TICKS

#: The keeper keeps at most this much for which it has no acknowledgement.
MOST_KEPT = 1024 * 1024


async def _hear_some(driver: Driver, sandbox: Sandbox, *, acknowledged: int, store: bytearray, most: int) -> int | None:
    """Store output for one connection, then leave it in mid-flood; the offset stored up to, None after the job's end.

    Only what is stored is acknowledged, and the last piece is stored in part.
    """
    heard = 0
    async with driver.relay(sandbox, acknowledged=acknowledged) as relay, asyncio.timeout(PATIENCE):
        async for item in relay:
            assert item.offset == acknowledged
            if not isinstance(item, OutputChunk):
                acknowledged = end_of(item)
                if item.job == 1 and hasattr(item, "code"):
                    return None
                continue
            heard += len(item.data)
            if heard > most:
                half = len(item.data) // 2
                store += item.data[:half]
                return acknowledged + half
            store += item.data
            acknowledged = end_of(item)
            relay.acknowledge(acknowledged)
    raise AssertionError("the relay ended without an error")


async def test_output_is_byte_exact_over_connections_that_break_in_mid_flood(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay:
        await relay.run(RANDOM.job(1))
    stored = bytearray()
    acknowledged: int | None = 0
    for most in (1, 100_000, 333_333, 700_000, 50_000, 10_000_000):
        assert acknowledged is not None
        acknowledged = await _hear_some(driver, sandbox, acknowledged=acknowledged, store=stored, most=most)

    assert acknowledged is None
    assert hashlib.sha256(stored).hexdigest() == hashlib.sha256(RANDOM_BYTES).hexdigest()


async def test_a_restarted_server_hears_what_was_said_while_nobody_listened(
    driver: Driver, house: House, open_driver: Callable[[], Driver]
) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(TICKS.job(1))
        await listener.hears(5)
    other = open_driver()
    try:
        [found] = await other.list_owned(house.instance)
        async with other.relay(found, acknowledged=listener.end) as relay:
            assert dict(relay.state.jobs) == {1: None}
            assert relay.state.produced >= listener.end
            async with Listener(relay, start=listener.end) as again:
                await again.hears(5)
    finally:
        await other.close()
    heard = listener.bytes_of(Stream.STDOUT) + again.bytes_of(Stream.STDOUT)
    assert heard == (b"tick\n" * len(heard))[: len(heard)]


async def test_what_was_not_acknowledged_comes_again(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay, acknowledging=False) as first:
        await relay.run(SPEAKS.job(1))
        await first.ended(1)
    async with driver.relay(sandbox) as relay, Listener(relay) as second:
        await second.ended(1)

    for stream in (Stream.STDOUT, Stream.STDERR):
        assert second.bytes_of(stream) == first.bytes_of(stream)
    assert second.end == first.end


async def test_what_was_acknowledged_cannot_be_asked_for_again(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(ENDS_WITH_3.job(1))
        await listener.ended(1)
    async with driver.relay(sandbox, acknowledged=listener.end) as relay:
        relay.acknowledge(0)  # never goes back
    with pytest.raises(RelayRefused):
        async with driver.relay(sandbox, acknowledged=0):
            pass


async def test_what_was_never_produced_cannot_be_acknowledged(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    with pytest.raises(RelayRefused):
        async with driver.relay(sandbox, acknowledged=10):
            pass


async def test_what_was_not_received_cannot_be_acknowledged(driver: Driver, house: House) -> None:
    async with driver.relay(await house.start()) as relay, Listener(relay) as listener:
        with pytest.raises(ValueError, match="not received"):
            relay.acknowledge(1)
        await relay.run(SPEAKS.job(1))
        await listener.ended(1)
        relay.acknowledge(listener.end)
        with pytest.raises(ValueError, match="not received"):
            relay.acknowledge(listener.end + 1)


async def test_a_reader_that_does_not_acknowledge_stops_the_job_and_can_let_it_go_on(
    driver: Driver, house: House
) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay, acknowledging=False) as listener:
        await relay.run(FLOODS.job(1))
        await listener.hears()
        await listener.is_quiet(0.5)
        stopped_at = listener.end
        assert 64 * 1024 <= stopped_at <= MOST_KEPT
        relay.acknowledge(stopped_at)
        await listener.hears()
        await listener.is_quiet(0.5)
        assert stopped_at < listener.end <= stopped_at + MOST_KEPT


@pytest.mark.parametrize("reading", [True, False], ids=["reader-does-not-acknowledge", "nobody-reads"])
async def test_a_flood_that_nobody_takes_does_not_hold_up_a_kill(driver: Driver, house: House, reading: bool) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay:
        await relay.run(FLOODS.job(1))
        if reading:
            async with Listener(relay, acknowledging=False) as listener:
                await listener.hears()
                await listener.is_quiet(0.3)
                await kill_until_verified(driver, sandbox, within=10)
        else:
            await kill_until_verified(driver, sandbox, within=10)
    assert not await driver.exists(sandbox)


async def test_the_end_of_the_sandbox_is_a_lost_relay(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(SLEEPS.job(1))
        await listener.hears()
        await kill_until_verified(driver, sandbox)
        assert isinstance(await listener.is_lost(), RelayLost)


async def test_a_dead_sandbox_has_no_relay_and_a_removed_one_is_gone(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    await driver.kill(sandbox)
    await driver.wait(sandbox)
    with pytest.raises(RelayLost):
        async with driver.relay(sandbox):
            pass
    await driver.remove(sandbox)
    with pytest.raises(SandboxGone):
        async with driver.relay(sandbox):
            pass


async def test_relays_of_many_sandboxes_run_at_the_same_time(driver: Driver, house: House) -> None:
    async def hear(number: int) -> bytes:
        sandbox = await house.start()
        async with driver.relay(sandbox) as relay, Listener(relay) as listener:
            await relay.run(SPEAKS.job(number))
            await listener.ended(number)
        return listener.bytes_of(Stream.STDOUT)

    heard = await asyncio.gather(*(hear(number) for number in range(1, 5)))
    assert heard == [b"to stdout\n\x00\xff no newline"] * 4
