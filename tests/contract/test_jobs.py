"""What a job prints, answers, reads, leaves behind and ends with."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import time

import pytest

from sandbox_runner.driver import Driver, JobEnded, JobStarted, OutputChunk, RelayRefused, Stream
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import Role
from tests.contract.conftest import House
from tests.contract.listener import PATIENCE, Listener
from tests.contract.plays import (
    ANSWERS,
    COPIES,
    COPIES_NOTHING,
    COUNTS_PROCESSES,
    DIES_BY_SIGNAL,
    ENDS_WITH_3,
    LEAVES_A_CHILD,
    MISSING,
    SLEEPS,
    SLEEPS_ON_STDIN,
    SPEAKS,
    TELLS_WHO,
    Play,
)


async def test_a_new_keeper_has_produced_nothing_and_knows_no_job(driver: Driver, house: House) -> None:
    async with driver.relay(await house.start()) as relay:
        assert relay.state.protocol >= 1
        assert relay.state.produced == 0
        assert dict(relay.state.jobs) == {}


async def test_a_job_is_heard_from_its_start_over_all_it_writes_to_its_end(driver: Driver, house: House) -> None:
    async with driver.relay(await house.start()) as relay, Listener(relay) as listener:
        await relay.run(SPEAKS.job(7))
        ended = await listener.ended(7)

    started, *outputs, last = listener.items
    assert isinstance(started, JobStarted)
    assert started.job == 7
    assert started.pid > 1
    assert last is ended
    assert (ended.code, ended.reason) == (0, "")
    assert all(isinstance(item, OutputChunk) for item in outputs)
    assert listener.bytes_of(Stream.STDOUT, job=7) == b"to stdout\n\x00\xff no newline"
    assert listener.bytes_of(Stream.STDERR, job=7) == b"to stderr\n"
    assert [item.stream for item in outputs] == [Stream.STDOUT, Stream.STDERR, Stream.STDOUT]
    times = [item.at for item in listener.items]
    assert times == sorted(times)
    assert abs(times[0] - time.time()) < 60


async def test_a_result_comes_on_its_own_stream_and_cannot_be_printed(driver: Driver, house: House) -> None:
    async with driver.relay(await house.start()) as relay, Listener(relay) as listener:
        await relay.run(ANSWERS.job(1))
        await listener.ended(1)

    assert listener.bytes_of(Stream.RESULT) == b'{"score": 0}'
    assert listener.bytes_of(Stream.STDOUT) == b'{"score": 1}\n'


@pytest.mark.parametrize(("uid", "groups"), [(1000, ()), (1000, (4, 7)), (0, ())])
async def test_a_job_is_who_and_where_it_was_said_to_be(
    driver: Driver, house: House, uid: int, groups: tuple[int, ...]
) -> None:
    job = dataclasses.replace(TELLS_WHO.job(1, uid=uid), groups=groups, cwd="/tmp", env={"COLOUR": "grün\n="})
    async with driver.relay(await house.start(role=Role.SETUP)) as relay, Listener(relay) as listener:
        await relay.run(job)
        await listener.ended(1)

    assert json.loads(listener.bytes_of(Stream.RESULT)) == [uid, uid, list(groups), "/tmp", "grün\n="]


@pytest.mark.parametrize(("play", "code"), [(ENDS_WITH_3, 3), (DIES_BY_SIGNAL, 137)], ids=lambda value: str(value)[:8])
async def test_a_job_ends_with_its_code_or_128_and_its_signal(
    driver: Driver, house: House, play: Play, code: int
) -> None:
    async with driver.relay(await house.start()) as relay, Listener(relay) as listener:
        await relay.run(play.job(1))
        ended = await listener.ended(1)

    assert (ended.code, ended.reason) == (code, "")


async def test_a_program_that_is_not_there_ends_with_127_and_says_why(driver: Driver, house: House) -> None:
    async with driver.relay(await house.start()) as relay, Listener(relay) as listener:
        await relay.run(MISSING.job(1))
        ended = await listener.ended(1)

    assert ended.code == 127
    assert ended.reason
    assert listener.items == [ended]  # it never started


async def test_jobs_run_one_after_the_other_and_the_offsets_go_on(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        for number, play in enumerate((ENDS_WITH_3, SPEAKS, MISSING), start=1):
            await relay.run(play.job(number))
            await listener.ended(number)
        end = listener.end

    assert [item.job for item in listener.items] == sorted(item.job for item in listener.items)
    async with driver.relay(sandbox, acknowledged=end) as relay:
        assert relay.state.produced == end
        assert dict(relay.state.jobs) == {1: 3, 2: 0, 3: 127}


async def test_a_second_job_at_the_same_time_is_refused_and_the_first_goes_on(driver: Driver, house: House) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(SLEEPS.job(1))
        with pytest.raises(RelayRefused):
            await relay.run(SPEAKS.job(2))
        await listener.hears()
        with pytest.raises(RelayRefused):
            await relay.run(SPEAKS.job(2))
    async with driver.relay(sandbox, acknowledged=listener.end) as relay:
        assert dict(relay.state.jobs) == {1: None}
        with pytest.raises(RelayRefused):
            await relay.run(SPEAKS.job(2))


async def test_the_number_of_a_job_is_used_once(driver: Driver, house: House) -> None:
    async with driver.relay(await house.start()) as relay, Listener(relay) as listener:
        await relay.run(ENDS_WITH_3.job(1))
        await listener.ended(1)
        with pytest.raises(RelayRefused):
            await relay.run(ENDS_WITH_3.job(1))


async def test_what_a_job_leaves_behind_dies_with_it(driver: Driver, house: House) -> None:
    async with driver.relay(await house.start()) as relay, Listener(relay) as listener:
        await relay.run(LEAVES_A_CHILD.job(1))
        await listener.ended(1)
        await relay.run(COUNTS_PROCESSES.job(2))
        await listener.ended(2)

    assert listener.bytes_of(Stream.STDOUT, job=1) == b"child is here\n"
    assert listener.bytes_of(Stream.STDOUT, job=2) == b"2\n"
    assert not any(item.job == 1 for item in listener.items if item.offset > _end_of_job(listener, 1))


def _end_of_job(listener: Listener, job: int) -> int:
    return next(item.offset for item in listener.items if isinstance(item, JobEnded) and item.job == job)


async def test_what_is_fed_is_read_byte_for_byte_and_ends_when_it_is_closed(driver: Driver, house: House) -> None:
    data = random.Random(3).randbytes(1_500_000)
    async with driver.relay(await house.start()) as relay, Listener(relay) as listener:
        await relay.run(COPIES.job(1))
        await relay.feed(1, data[:1])
        await relay.feed(1, data[1:])
        await relay.feed(1, b"")
        ended = await listener.ended(1)

    assert ended.code == 0
    assert listener.bytes_of(Stream.STDOUT) == data


async def test_a_job_that_asked_for_no_stdin_finds_it_at_its_end(driver: Driver, house: House) -> None:
    async with driver.relay(await house.start()) as relay, Listener(relay) as listener:
        await relay.run(COPIES_NOTHING.job(1))
        ended = await listener.ended(1)

    assert ended.code == 0
    assert listener.bytes_of(Stream.STDOUT) == b""


async def test_feeding_waits_for_a_job_that_does_not_read_and_a_kill_ends_the_wait(
    driver: Driver, house: House
) -> None:
    sandbox = await house.start()
    async with driver.relay(sandbox) as relay, Listener(relay) as listener:
        await relay.run(SLEEPS_ON_STDIN.job(1))
        await listener.hears()
        feeding = asyncio.create_task(relay.feed(1, bytes(4_000_000)))
        done, _ = await asyncio.wait({feeding}, timeout=0.5)
        assert not done
        await kill_until_verified(driver, sandbox)
        done, _ = await asyncio.wait({feeding}, timeout=30)
        assert done
        await asyncio.gather(feeding, return_exceptions=True)


async def test_a_job_that_was_never_started_cannot_be_fed_and_one_that_ended_takes_nothing(
    driver: Driver, house: House
) -> None:
    async with driver.relay(await house.start()) as relay, Listener(relay) as listener:
        with pytest.raises(RelayRefused):
            await relay.feed(1, b"too early")
        await relay.run(ENDS_WITH_3.job(1))
        await listener.ended(1)
        async with asyncio.timeout(PATIENCE):
            await relay.feed(1, bytes(1_000_000))
            await relay.feed(1, b"")
        assert listener.lost is None
