"""Hard limits: what an agent cannot use up, and that it takes only itself down in trying."""

from __future__ import annotations

import asyncio
import json

from sandbox_runner.driver import JobEnded, OutputChunk, end_of
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import MIB, SandboxLimits
from tests.docker.conftest import PATIENCE, Bench, python, shell

FILL = """
import json, os
def fill(folder):
    written = 0
    try:
        with open(folder + "/big", "wb", buffering=0) as file:
            while True:
                written += file.write(bytes(1 << 20))
    except OSError as error:
        os.unlink(folder + "/big")
        return written, error.errno
def litter(folder):
    made = 0
    try:
        while made < 100_000:
            os.close(os.open(f"{folder}/{made}", os.O_CREAT | os.O_WRONLY))
            made += 1
    except OSError as error:
        return made, error.errno
    return made, 0
os.write(3, json.dumps([fill("/tmp"), fill("/home/agent"), fill("/dev/shm"), litter("/tmp")]).encode())
"""


async def test_each_writable_place_ends_at_its_size_and_its_number_of_files(bench: Bench) -> None:
    limits = SandboxLimits(tmp_bytes=8 * MIB, home_bytes=16 * MIB)
    tmp, home, shared, files = json.loads((await bench.only(python(FILL), limits=limits)).result)
    assert tmp == [8 * MIB, 28]
    assert home == [16 * MIB, 28]
    assert shared == [16 * MIB, 28]
    assert 4000 < files[0] <= 4096
    assert files[1] == 28


FORK_BOMB = """
import os, time
print("boom", flush=True)
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.005)
"""


async def test_a_fork_bomb_stays_within_its_number_of_processes_and_dies(bench: Bench) -> None:
    sandbox = await bench.start(limits=SandboxLimits(pids=64))
    async with bench.driver.relay(sandbox) as relay:
        await relay.run(python(FORK_BOMB))
        async with asyncio.timeout(PATIENCE):
            async for item in relay:
                if isinstance(item, OutputChunk):
                    break
            while (usage := await bench.driver.usage(sandbox)).pids_refused < 100:
                assert usage.pids <= 64
                await asyncio.sleep(0.01)
        await kill_until_verified(bench.driver, sandbox)
    assert not await bench.driver.alive(sandbox)


async def test_a_memory_bomb_takes_the_job_and_not_the_keeper(bench: Bench) -> None:
    sandbox = await bench.start(
        limits=SandboxLimits.fitting(memory_bytes=96 * MIB, cpus=1.0, pids=256, home_bytes=16 * MIB)
    )
    told = await bench.run(sandbox, python("a = []\nwhile True: a.append(bytes(1 << 20))"))
    assert told.ended.code == 137
    usage = await bench.driver.usage(sandbox)
    assert usage.out_of_memory_kills >= 1
    assert usage.memory_peak_bytes is not None
    assert usage.memory_peak_bytes <= 96 * MIB
    assert (await bench.run(sandbox, shell("echo still here", number=2), after=told)).out == "still here\n"


async def test_processor_time_is_limited(bench: Bench) -> None:
    spin = "import time\nend = time.time() + 2\nwhile time.time() < end: pass"
    sandbox = await bench.start(limits=SandboxLimits(cpus=0.2))
    await bench.run(sandbox, python(spin))
    assert (await bench.driver.usage(sandbox)).cpu_seconds < 1.0


async def test_open_files_are_limited(bench: Bench) -> None:
    code = """
import os
try:
    while True: last = os.dup(1)
except OSError as error:
    os.write(3, f"{last} {error.errno}".encode())
"""
    told = await bench.only(python(code), limits=SandboxLimits(open_files=100))
    assert told.result == "99 24"


async def test_an_endless_line_and_binary_noise_come_through_as_they_are(bench: Bench) -> None:
    sandbox = await bench.start()
    total = 0
    async with bench.driver.relay(sandbox) as relay, asyncio.timeout(PATIENCE):
        await relay.run(shell("head -c 30000000 /dev/zero | tr '\\0' '\\377'"))
        async for item in relay:
            relay.acknowledge(end_of(item))
            if isinstance(item, OutputChunk):
                assert item.data == b"\xff" * len(item.data)
                total += len(item.data)
            elif isinstance(item, JobEnded):
                break
    assert total == 30_000_000


MISLEADS = """
import os, subprocess
def tried(act):
    try:
        act()
        return "did"
    except OSError as error:
        return error.errno
os.chdir("/")
steps = [
    tried(lambda: os.rename("/home/agent", "/home/other")),
    tried(lambda: os.rename("/home", "/away")),
    tried(lambda: os.symlink("/tmp", "/home/more")),
]
for command in (["unshare", "-rm", "true"], ["mount", "-t", "tmpfs", "none", "/home/agent"]):
    steps.append(subprocess.run(command, capture_output=True).returncode or "did")
open("/home/agent/big", "wb").write(bytes(2 << 20))
os.write(3, repr(steps).encode())
"""


async def test_what_lies_in_a_home_is_seen_from_outside_whatever_the_agent_tries_to_lead_the_look_away(
    bench: Bench, runtime: str
) -> None:
    sandbox = await bench.start(runtime=runtime)
    told = await bench.run(sandbox, python(MISLEADS))
    assert told.ended.code == 0, told
    assert "did" not in told.result
    used = (await bench.driver.usage(sandbox, fresh=True)).disk_used_bytes
    # gVisor's kernel has a home of its own, of which the host sees nothing: that is told, and no other figure.
    assert used is None if runtime == "runsc" else used == 2 * MIB
