"""What only the fake can do: its knobs, in virtual time. The promises of every driver are in tests/contract."""

from __future__ import annotations

import asyncio
import contextlib
import io
import math
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from sandbox_runner.driver import (
    EngineUnreachable,
    FreezeFailed,
    JobEnded,
    OutputChunk,
    Relay,
    Relayed,
    RelayLost,
    RelayRefused,
    Sandbox,
    StartFailed,
    Stream,
    Usage,
    end_of,
)
from sandbox_runner.fake_driver import FakeDriver, FakeEngine
from sandbox_runner.fake_script import FakeJob, FakeKnobs, Stdin
from sandbox_runner.spec import Job, Role, SandboxSpec

#: Minutes pass in no time, and always the same.
pytestmark = pytest.mark.looptime


def _spec(run: str = "run-1", grace_seconds: float = 20.0) -> SandboxSpec:
    return SandboxSpec(
        image="crucible-base:current", role=Role.AGENT, instance="here", run=run, grace_seconds=grace_seconds
    )


def _job(number: int = 1, name: str = "agent", *, stdin: bool = False, result: bool = False) -> Job:
    return Job(id=number, name=name, argv=("true",), stdin=stdin, result=result)


async def _until_end(relay: Relay) -> list[Relayed]:
    """Everything up to the next end of a job, acknowledged as it comes."""
    heard: list[Relayed] = []
    async for item in relay:
        heard.append(item)
        relay.acknowledge(end_of(item))
        if isinstance(item, JobEnded):
            return heard
    raise AssertionError("a relay never just stops")


@contextlib.asynccontextmanager
async def _sandbox(knobs: FakeKnobs) -> AsyncIterator[tuple[FakeDriver, Sandbox]]:
    driver = FakeDriver(knobs)
    yield driver, await driver.start(_spec())
    await driver.close()


async def test_the_agent_prints_its_lines_at_their_time_and_ends_with_its_code() -> None:
    knobs = FakeKnobs(
        lines=((10.0, Stream.STDOUT, b"one\n"), (5.0, Stream.STDERR, b"two\n")), run_for=60.0, exit_code=4
    )

    async with _sandbox(knobs) as (driver, sandbox):
        async with driver.relay(sandbox) as relay:
            await relay.run(_job())
            started, one, two, ended = await _until_end(relay)
        assert [round(item.at - started.at, 3) for item in (one, two, ended)] == [10.0, 15.0, 60.0]
        assert isinstance(one, OutputChunk)
        assert isinstance(two, OutputChunk)
        assert isinstance(ended, JobEnded)
        assert (one.data, two.data, two.stream, ended.code) == (b"one\n", b"two\n", Stream.STDERR, 4)


async def test_operations_answer_by_the_name_of_their_job() -> None:
    def score(job: Job, fed: bytes) -> bytes:
        return job.name.encode() + b" of " + fed

    knobs = FakeKnobs(results={"setup": b"{}", "score": score}, job_codes={"setup": 3})

    async with _sandbox(knobs) as (driver, sandbox):
        async with driver.relay(sandbox) as relay:
            await relay.run(_job(1, "setup", result=True))
            _, result, ended = await _until_end(relay)
            assert isinstance(result, OutputChunk)
            assert isinstance(ended, JobEnded)
            assert (result.stream, result.data, ended.code) == (Stream.RESULT, b"{}", 3)
            await relay.run(_job(2, "score", stdin=True, result=True))
            await relay.feed(2, b"sub")
            await relay.feed(2, b"mission")
            await relay.feed(2, b"")
            _, result, _ = await _until_end(relay)
            assert isinstance(result, OutputChunk)
            assert result.data == b"score of submission"
        assert driver.fed[sandbox.id, 2] == b"submission"
        assert [(ident, job.name) for ident, job in driver.engine.ran] == [
            (sandbox.id, "setup"),
            (sandbox.id, "score"),
        ]


async def test_what_is_collected_is_an_empty_archive_unless_the_knobs_say_otherwise() -> None:
    async with _sandbox(FakeKnobs()) as (driver, sandbox):
        async with driver.relay(sandbox) as relay:
            await relay.run(_job(name="collect", result=True))
            heard = await _until_end(relay)
        data = b"".join(item.data for item in heard if isinstance(item, OutputChunk))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            assert archive.getmembers() == []


async def test_a_job_without_a_result_pipe_answers_nothing() -> None:
    async with _sandbox(FakeKnobs(results={"setup": b"{}"})) as (driver, sandbox), driver.relay(sandbox) as relay:
        await relay.run(_job(name="setup"))
        assert len(await _until_end(relay)) == 2


async def test_knobs_of_a_run_go_before_those_of_the_driver() -> None:
    driver = FakeDriver(by_run={"bad": FakeKnobs(start_error="no room")})
    with pytest.raises(StartFailed, match="no room"):
        await driver.start(_spec("bad"))
    good = await driver.start(_spec("good"))
    assert await driver.list_owned() == [good]
    await driver.close()


async def test_a_slow_start_that_is_removed_meanwhile_fails() -> None:
    driver = FakeDriver(FakeKnobs(start_delay=5.0))
    starting = asyncio.create_task(driver.start(_spec()))
    await asyncio.sleep(1)
    [half] = await driver.list_owned()
    assert not await driver.alive(half)
    await driver.remove(half)
    with pytest.raises(StartFailed):
        await starting
    assert await driver.list_owned() == []


async def test_kills_are_ignored_as_often_as_the_knobs_say() -> None:
    async with _sandbox(FakeKnobs(ignore_kill=2)) as (driver, sandbox):
        for _ in range(2):
            await driver.kill(sandbox)
            assert await driver.alive(sandbox)
        await driver.kill(sandbox)
        assert not await driver.alive(sandbox)


async def test_removals_are_ignored_as_often_as_the_knobs_say() -> None:
    async with _sandbox(FakeKnobs(ignore_remove=1)) as (driver, sandbox):
        await driver.remove(sandbox)
        assert await driver.exists(sandbox)
        await driver.remove(sandbox)
        assert not await driver.exists(sandbox)


async def test_a_relay_is_cut_once_after_so_many_bytes_and_can_be_resumed() -> None:
    knobs = FakeKnobs(lines=[(0.1, Stream.STDOUT, b"%02d\n" % number) for number in range(99)], lose_stream=100)

    async with _sandbox(knobs) as (driver, sandbox):
        heard, end, cuts, ended = b"", 0, 0, False
        async with driver.relay(sandbox) as relay:
            await relay.run(_job())
        while not ended:
            try:
                async with driver.relay(sandbox, acknowledged=end) as relay:
                    async for item in relay:
                        assert item.offset == end
                        end = end_of(item)
                        heard += item.data if isinstance(item, OutputChunk) else b""
                        ended = isinstance(item, JobEnded)
                        if ended:
                            break
            except RelayLost:
                cuts += 1
        assert cuts == 1
        assert heard == b"".join(b"%02d\n" % number for number in range(99))


async def test_a_second_relay_takes_the_place_of_the_first() -> None:
    async with (
        _sandbox(FakeKnobs()) as (driver, sandbox),
        driver.relay(sandbox) as first,
        driver.relay(sandbox) as second,
    ):
        with pytest.raises(RelayLost):
            await first.run(_job())
        with pytest.raises(RelayLost):
            await anext(aiter(first))
        await second.run(_job())
        assert await _until_end(second)


async def test_a_second_job_at_the_same_time_is_refused() -> None:
    async with _sandbox(FakeKnobs(run_for=math.inf)) as (driver, sandbox), driver.relay(sandbox) as relay:
        await relay.run(_job(1))
        with pytest.raises(RelayRefused):
            await relay.run(_job(2))


async def test_an_engine_that_is_down_answers_nothing_and_its_sandboxes_go_on() -> None:
    async with _sandbox(FakeKnobs()) as (driver, sandbox):
        waiting = asyncio.create_task(driver.wait(sandbox))
        async with driver.relay(sandbox) as relay:
            await relay.run(_job())
            driver.engine_down = True
            with pytest.raises(RelayLost):
                await _until_end(relay)
        with pytest.raises(EngineUnreachable):
            await waiting
        calls: list[Callable[[], Awaitable[object]]] = [
            driver.check,
            lambda: driver.start(_spec()),
            lambda: driver.wait(sandbox),
            lambda: driver.usage(sandbox),
            lambda: driver.freeze(sandbox),
            lambda: driver.thaw(sandbox),
            lambda: driver.commit(sandbox, "image:1"),
            lambda: driver.image_id("image:1"),
            lambda: driver.remove_image("image:1"),
            lambda: driver.list_images(""),
            lambda: driver.list_owned(),
            lambda: driver.kill(sandbox),
            lambda: driver.alive(sandbox),
            lambda: driver.remove(sandbox),
            lambda: driver.exists(sandbox),
            lambda: driver.relay(sandbox).__aenter__(),
        ]
        for call in calls:
            with pytest.raises(EngineUnreachable):
                await call()
        driver.engine_down = False
        async with driver.relay(sandbox) as relay:
            assert relay.state.jobs == {1: None}
            assert await _until_end(relay)


async def test_an_engine_outlives_its_drivers() -> None:
    engine = FakeEngine()
    first = FakeDriver(engine=engine)
    sandbox = await first.start(_spec())
    await first.close()
    second = FakeDriver(engine=engine)
    assert await second.list_owned("here") == [sandbox]
    assert await second.alive(sandbox)
    await engine.close()
    assert not await second.alive(sandbox)


async def test_without_a_relay_the_grace_ends_the_sandbox_and_a_relay_starts_it_anew() -> None:
    async with _sandbox(FakeKnobs()) as (driver, sandbox):
        loop = asyncio.get_running_loop()
        await asyncio.sleep(19)
        async with driver.relay(sandbox):
            await asyncio.sleep(1000)
        left = loop.time()
        assert (await driver.wait(sandbox)).code == 75
        assert round(loop.time() - left, 3) == 20.0


async def test_a_frozen_sandbox_ages_only_when_it_thaws() -> None:
    async with _sandbox(FakeKnobs(run_for=10.0)) as (driver, sandbox):
        loop = asyncio.get_running_loop()
        async with driver.relay(sandbox) as relay:
            await relay.run(_job())
            await asyncio.sleep(4)
            before = await driver.usage(sandbox)
            await driver.freeze(sandbox)
            await asyncio.sleep(1000)
            assert (await driver.usage(sandbox)).cpu_seconds == pytest.approx(before.cpu_seconds)
            await driver.thaw(sandbox)
            thawed = loop.time()
            await _until_end(relay)
        assert round(loop.time() - thawed, 3) == 6.0


async def test_a_frozen_keeper_does_not_answer_a_new_relay() -> None:
    async with _sandbox(FakeKnobs()) as (driver, sandbox):
        await driver.freeze(sandbox)
        with pytest.raises(RelayLost, match="frozen"):
            async with driver.relay(sandbox):
                pass


async def test_a_freeze_can_fail() -> None:
    async with _sandbox(FakeKnobs(freeze_error="unable to freeze")) as (driver, sandbox):
        with pytest.raises(FreezeFailed, match="unable"):
            await driver.freeze(sandbox)


async def test_usage_follows_a_script_and_stays_at_its_last_reading() -> None:
    readings = [Usage(at=0.0, cpu_seconds=cpu, memory_bytes=1, pids=1) for cpu in (1.0, 2.0)]

    async with _sandbox(FakeKnobs(usage=readings)) as (driver, sandbox):
        seen = [await driver.usage(sandbox) for _ in range(3)]
        assert [usage.cpu_seconds for usage in seen] == [1.0, 2.0, 2.0]
        assert seen[0].at > 0


async def test_an_end_for_want_of_memory_is_told() -> None:
    async with _sandbox(FakeKnobs(out_of_memory=True)) as (driver, sandbox):
        await driver.kill(sandbox)
        assert (await driver.wait(sandbox)).out_of_memory


async def test_a_script_whose_function_fails_ends_the_sandbox_and_is_told_at_the_close() -> None:
    def broken(job: Job, fed: bytes) -> bytes:
        raise LookupError("no such task")

    driver = FakeDriver(FakeKnobs(results={"setup": broken}))
    sandbox = await driver.start(_spec())
    async with driver.relay(sandbox) as relay:
        await relay.run(_job(name="setup", result=True))
        with pytest.raises(RelayLost):
            await _until_end(relay)
    with pytest.raises(LookupError, match="no such task"):
        await driver.close()


async def test_a_job_that_takes_its_stdin_does_not_wait_for_its_end() -> None:
    async with _sandbox(FakeKnobs(jobs={"agent": FakeJob(run_for=1.0, stdin=Stdin.TAKE)})) as (driver, sandbox):
        async with driver.relay(sandbox) as relay:
            await relay.run(_job(stdin=True))
            await relay.feed(1, b"early")
            await _until_end(relay)
            await relay.feed(1, b"late")
        assert driver.fed[sandbox.id, 1] == b"early"
