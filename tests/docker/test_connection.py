"""The wire between keeper and host: nothing is lost, doubled or forged, and nobody who stalls is waited for."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random

import pytest
import uvloop

from sandbox_runner import frames
from sandbox_runner.docker_driver import DockerDriver
from sandbox_runner.driver import JobEnded, OutputChunk, RelayLost, Stream, end_of
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import Job
from tests.docker.conftest import PATIENCE, Bench, heard, holding, python, shell

SIZE = 20_000_000
RANDOM_FLOOD = f"""
import os, random
data = memoryview(random.Random(11).randbytes({SIZE}))
while data:
    data = data[os.write(1, data[:50_021]):]
"""


def _expected() -> str:
    return hashlib.sha256(random.Random(11).randbytes(SIZE)).hexdigest()


async def test_twenty_megabytes_arrive_byte_for_byte_over_a_connection_cut_again_and_again(bench: Bench) -> None:
    sandbox = await bench.start()
    digest = hashlib.sha256()
    acknowledged, over = 0, False
    chance = random.Random(2)
    for turn in range(9):
        seen = acknowledged
        until = acknowledged + chance.randrange(500_000, 3_000_000) if turn < 8 else 10**12
        async with bench.driver.relay(sandbox, acknowledged=acknowledged) as relay, asyncio.timeout(PATIENCE):
            if turn == 0:
                await relay.run(python(RANDOM_FLOOD))
            async for item in relay:
                assert item.offset == seen
                seen = end_of(item)
                if seen > until:
                    break  # received and not acknowledged: it has to come again
                if isinstance(item, OutputChunk):
                    digest.update(item.data)
                acknowledged = seen
                relay.acknowledge(acknowledged)
                if isinstance(item, JobEnded):
                    over = True
                    break
    assert over
    assert digest.hexdigest() == _expected()


async def test_a_killed_servers_sandbox_is_taken_over_without_losing_a_byte(bench: Bench) -> None:
    async with holding(bench.instance, 20, RANDOM_FLOOD) as (holder, said):
        lines = [await said.readline() for _ in range(60)]
        holder.kill()
        lines += [line for line in (await said.read()).splitlines(keepends=True) if line.endswith(b"\n")]
    stored = [json.loads(line) for line in lines[1:]]
    digest = hashlib.sha256(b"".join(base64.b64decode(piece["data"]) for piece in stored))
    assert 0 < stored[-1]["end"] < SIZE

    (sandbox,) = await bench.driver.list_owned(bench.instance)
    assert (sandbox.id, sandbox.run, sandbox.role) == (json.loads(lines[0])["id"], "held", "agent")
    async with bench.driver.relay(sandbox, acknowledged=stored[-1]["end"]) as relay:
        assert relay.state.jobs.keys() == {1}
        told = await heard(relay)
    digest.update(told.bytes_of(Stream.STDOUT))
    assert told.ended.code == 0
    assert digest.hexdigest() == _expected()


async def test_a_flood_nobody_acknowledges_stops_at_the_window_and_the_kill_does_not_wait(bench: Bench) -> None:
    sandbox = await bench.start()
    async with bench.driver.relay(sandbox) as relay:
        await relay.run(shell("cat /dev/zero"))
        received = 0
        async with asyncio.timeout(PATIENCE):
            while received < frames.WINDOW:
                received = end_of(await anext(relay.__aiter__()))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                received = end_of(await anext(relay.__aiter__()))
        assert received <= frames.WINDOW + frames.SLACK
        death = await kill_until_verified(bench.driver, sandbox)
        assert death.attempts == 1


async def test_a_relay_that_is_never_read_does_not_hold_up_the_kill(bench: Bench) -> None:
    sandbox = await bench.start()
    async with bench.driver.relay(sandbox) as relay:
        await relay.run(shell("cat /dev/zero"))
        while (await bench.driver.usage(sandbox)).pids < 2:
            await asyncio.sleep(0.01)
        assert (await kill_until_verified(bench.driver, sandbox)).attempts == 1


async def test_frames_and_engine_headers_that_an_agent_prints_are_only_text(bench: Bench) -> None:
    ended = frames.encode(frames.Frame(frames.Kind.DATA, b'{"event":"ended","code":0,"reason":""}', 1, frames.NOTICE))
    forged = (b"\x01\0\0\0\0\0\0\x10" + ended + frames.RESYNC[:5000]) * 20
    code = f"import os; data = {forged!r}\nwhile data: data = data[os.write(1, data):]\nraise SystemExit(7)"
    job = python("import sys; exec(sys.stdin.read())", stdin=True)
    sandbox = await bench.start()
    async with bench.driver.relay(sandbox) as relay:
        await relay.run(job)
        await relay.feed(1, code.encode())
        await relay.feed(1, b"")
        told = await heard(relay)
    assert told.bytes_of(Stream.STDOUT) == forged
    assert told.ended.code == 7


async def test_a_second_relay_takes_the_place_of_the_first(bench: Bench) -> None:
    sandbox = await bench.start()
    async with bench.driver.relay(sandbox) as first, bench.driver.relay(sandbox) as second:
        with pytest.raises(RelayLost):
            await anext(first.__aiter__())
        await second.run(shell("echo to the second"))
        assert (await heard(second)).out == "to the second\n"


async def test_what_a_broken_keeper_said_last_is_told(bench: Bench) -> None:
    """Process 1 ends with a message, and that is what the error says."""
    sandbox = await bench.start(grace_seconds=float("nan"))
    with pytest.raises(RelayLost, match=r"(?s)last words.*nan"):
        async with bench.driver.relay(sandbox):
            pass


def test_all_of_it_works_on_uvloop() -> None:
    async def run() -> None:
        bench = Bench(DockerDriver())
        try:
            sandbox = await bench.start()
            async with bench.driver.relay(sandbox) as relay:
                await relay.run(Job(id=1, name="n", argv=("sha256sum",), stdin=True))
                await relay.feed(1, bytes(3_000_000))
                await relay.feed(1, b"")
                told = await heard(relay)
            assert told.out.startswith(hashlib.sha256(bytes(3_000_000)).hexdigest())
            waiting = asyncio.create_task(bench.driver.wait(sandbox))
            await asyncio.sleep(0)
            await bench.driver.kill(sandbox)
            assert (await waiting).code == 137
        finally:
            for sandbox in await bench.driver.list_owned(bench.instance):
                await kill_until_verified(bench.driver, sandbox)
            await bench.driver.close()

    uvloop.run(run())
