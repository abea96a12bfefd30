"""Every way a sandbox ends, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from base64 import b64encode

import docker

from sandbox_runner import cgroups
from sandbox_runner.docker_cgroups import KnownCgroups
from sandbox_runner.driver import FreezeFailed, OutputChunk, Relay, RelayLost, Sandbox
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import Job
from tests.docker.conftest import PATIENCE, Bench, holding, python, shell

REFUSES = """
import os, signal, time
for number in set(range(1, 65)) - {9, 19, 32, 33}:
    signal.signal(number, signal.SIG_IGN)
print("here", flush=True)
while True:
    try:
        if os.fork() == 0:
            os.setsid()
            time.sleep(0.01)
    except OSError:
        time.sleep(0.01)
"""


async def _started(relay: Relay, job: Job) -> None:
    await relay.run(job)
    async with asyncio.timeout(PATIENCE):
        while not isinstance(await anext(relay.__aiter__()), OutputChunk):
            pass


async def _lost(relay: Relay) -> None:
    """Once the relay says that it is lost, as it must after its sandbox's end."""
    try:
        async with asyncio.timeout(PATIENCE):
            async for _ in relay:
                pass
    except RelayLost:
        return
    raise AssertionError("a relay never ends by itself")


async def test_a_job_that_refuses_and_forks_is_dead_when_it_is_said_to_be(bench: Bench) -> None:
    sandbox = await bench.start()
    assert sandbox.pid is not None
    cgroup = cgroups.locate(sandbox.pid, sandbox.id)
    assert cgroup is not None
    async with bench.driver.relay(sandbox) as relay:
        await _started(relay, python(REFUSES))
        while len(cgroup.procs()) < 50:
            await asyncio.sleep(0.01)
        await kill_until_verified(bench.driver, sandbox)
        assert cgroup.procs() == []
        assert not os.path.exists(f"/proc/{sandbox.pid}")
        await _lost(relay)


async def test_a_frozen_sandbox_is_killed_at_the_first_attempt(bench: Bench, runtime: str) -> None:
    sandbox = await bench.start(runtime=runtime)
    async with bench.driver.relay(sandbox) as relay:
        await _started(relay, python(REFUSES))
        await bench.driver.freeze(sandbox)
        death = await kill_until_verified(bench.driver, sandbox)
    assert death.attempts == 1
    assert not await bench.driver.exists(sandbox)


async def test_a_frozen_sandbox_uses_no_time_and_goes_on_when_it_thaws(bench: Bench, runtime: str) -> None:
    sandbox = await bench.start(runtime=runtime)
    async with bench.driver.relay(sandbox) as relay:
        await _started(relay, python("print('here', flush=True)\nwhile True: pass"))
        for _ in range(5):
            await bench.driver.freeze(sandbox)
            before = (await bench.driver.usage(sandbox)).cpu_seconds
            await asyncio.sleep(0.2)
            assert (await bench.driver.usage(sandbox)).cpu_seconds == before
            await bench.driver.thaw(sandbox)
            async with asyncio.timeout(PATIENCE):
                while (await bench.driver.usage(sandbox)).cpu_seconds == before:
                    await asyncio.sleep(0.01)


async def test_what_forks_without_end_is_called_frozen_only_when_it_uses_no_time(bench: Bench) -> None:
    sandbox = await bench.start()
    async with bench.driver.relay(sandbox) as relay:
        await _started(relay, python(REFUSES))
        for _ in range(4):
            try:
                await bench.driver.freeze(sandbox)
            except FreezeFailed:
                continue  # said honestly: it is not frozen
            before = (await bench.driver.usage(sandbox)).cpu_seconds
            await asyncio.sleep(0.3)
            assert (await bench.driver.usage(sandbox)).cpu_seconds == before
            await bench.driver.thaw(sandbox)


async def test_a_dead_servers_sandbox_ends_itself_after_its_grace(bench: Bench) -> None:
    code = "import signal, time\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\nprint('here')\ntime.sleep(600)"
    async with holding(bench.instance, 2, code) as (holder, said):
        async with asyncio.timeout(PATIENCE):
            while b64encode(b"here")[:4] not in await said.readline():
                pass
        (sandbox,) = await bench.driver.list_owned(bench.instance)
        await asyncio.sleep(3)
        assert await bench.driver.alive(sandbox)  # its heartbeats hold it
        holder.kill()
        async with asyncio.timeout(PATIENCE):
            ended = await bench.driver.wait(sandbox)
    assert ended.code == 75
    assert not await bench.driver.alive(sandbox)


async def test_a_stop_by_hand_is_noticed(bench: Bench, engine: docker.APIClient) -> None:
    sandbox = await bench.start()
    async with bench.driver.relay(sandbox) as relay:
        await _started(relay, shell("echo here; sleep 600"))
        waiting = asyncio.create_task(bench.driver.wait(sandbox))
        await asyncio.to_thread(engine.stop, sandbox.id, 30)
        assert (await waiting).code == 143
        await _lost(relay)


async def _kill_all(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox_runner", "kill-all", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_kill_all_ends_every_sandbox_of_an_instance_and_says_so(bench: Bench) -> None:
    sandboxes = await asyncio.gather(*(bench.start(run=f"run-{number}") for number in range(4)))
    await bench.driver.freeze(sandboxes[0])
    await bench.driver.kill(sandboxes[1])
    other = Bench(bench.driver)
    bystander = await other.start()
    try:
        code, out, _ = await _kill_all("--instance", bench.instance, "--dry-run", "--json")
        assert code == 0
        assert {json.loads(line)["id"] for line in out.splitlines()} == {sandbox.id for sandbox in sandboxes}
        assert len(await bench.driver.list_owned(bench.instance)) == 4

        code, out, _ = await _kill_all("--instance", bench.instance)
        assert code == 0
        lines = out.splitlines()
        assert len(lines) == 5
        for sandbox in sandboxes:
            (line,) = [line for line in lines if sandbox.id[:12] in line]
            assert f"run {sandbox.run}" in line
            assert " ms" in line
        assert await bench.driver.list_owned(bench.instance) == []
        assert await bench.driver.alive(bystander)
    finally:
        await kill_until_verified(other.driver, bystander)


async def test_kill_all_without_an_engine_does_not_claim_success() -> None:
    code, out, err = await _kill_all("--engine", "unix:///no/such/engine.sock")
    assert code == 3
    assert out == ""
    assert "no container engine listens at /no/such/engine.sock" in err


async def test_a_container_whose_engine_hangs_on_it_is_killed_all_the_same(
    bench: Bench, engine: docker.APIClient, runtime: str
) -> None:
    """Frozen behind the engine's back: gVisor never answers its kill, and the engine answers nothing about it then."""
    sandbox = await bench.start(runtime=runtime)
    cgroup = KnownCgroups().find(sandbox)
    assert cgroup is not None
    async with asyncio.timeout(PATIENCE):
        while not cgroup.frozen():
            cgroup.freeze()
            await asyncio.sleep(0.01)
    hanging = asyncio.create_task(asyncio.to_thread(engine.kill, sandbox.id))
    await asyncio.sleep(0.3)
    fresh = type(bench.driver)()
    try:
        (found,) = await fresh.list_owned(bench.instance)
        await kill_until_verified(fresh, found)
        assert cgroup.procs() == []
    finally:
        await asyncio.gather(hanging, return_exceptions=True)
        await fresh.close()


async def test_killing_reaches_a_sandbox_whose_pid_nobody_remembers(bench: Bench) -> None:
    known = await bench.start()
    sandbox = Sandbox(id=known.id, run=known.run, instance=known.instance, role=known.role)
    found, expected = KnownCgroups().search(sandbox), KnownCgroups().find(known)
    assert found is not None
    assert expected is not None
    assert found.directories == expected.directories
    fresh = type(bench.driver)()
    try:
        await fresh.kill(sandbox)
        assert not await fresh.alive(sandbox)
        assert not await bench.driver.alive(known)
    finally:
        await fresh.close()


async def test_a_reused_process_number_is_never_struck(bench: Bench) -> None:
    sandbox = await bench.start()
    bystander = await asyncio.create_subprocess_exec("sleep", "600")
    lie = Sandbox(id=sandbox.id, run="r", instance=bench.instance, role="agent", pid=bystander.pid)
    fresh = type(bench.driver)()
    try:
        await fresh.kill(lie)
        assert bystander.returncode is None
        assert os.path.exists(f"/proc/{bystander.pid}")
    finally:
        bystander.kill()
        await bystander.wait()
        await fresh.close()
