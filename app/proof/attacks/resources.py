"""Using up the host: processes, memory, disk, files, processor."""

from __future__ import annotations

import asyncio
import dataclasses
import time

from app.proof.attack import Attack, require
from app.proof.ground import LIMITS, Box, Ground
from sandbox_runner.driver import SandboxError, SandboxGone, Usage
from sandbox_runner.policy import TMP_INODES
from sandbox_runner.spec import MIB, SandboxLimits

FORKS = """
import os, time
print("begun", flush=True)
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.005)
"""


async def fork_bomb(ground: Ground) -> str:
    limit = LIMITS.pids
    most = refused = 0
    async with ground.box() as box:
        await box.start(FORKS)
        end = time.monotonic() + 3.0
        while time.monotonic() < end:
            usage = await _usage(box)
            if usage is None:
                require(ground.gvisor, "the sandbox ended by itself")
                return "the sandbox itself fell over and took nothing with it (known of gVisor: issue 2490)"
            most, refused = max(most, usage.pids), usage.pids_refused
            await asyncio.sleep(0.05)
        death = await box.kill()
    allowed = 64 + 8 * limit if ground.gvisor else limit
    require(most <= allowed, f"{most} processes where {allowed} are allowed")
    return f"{most} processes at most, {refused} refused; all gone {death.dead_after * 1000:.0f} ms after the kill"


EAT = "kept = []\nwhile True: kept.append(b'x' * (1 << 20))"
EAT_TMPFS = """
import json, os
written = {}
for number, folder in enumerate(("/tmp", "/home/agent", "/dev/shm")):
    try:
        with open(folder + "/big", "wb", buffering=0) as file:
            while True:
                written[folder] = written.get(folder, 0) + file.write(bytes(1 << 20))
    except OSError as error:
        written[folder + " error"] = error.errno
os.write(3, json.dumps(written).encode())
"""


async def memory_bomb(ground: Ground) -> str:
    async with ground.box() as box:
        try:
            told = await box.run(EAT)
        except SandboxError:
            return "the whole sandbox was ended by the kernel"
        usage = await _usage(box)
        if usage is None:
            return "the whole sandbox was ended by the kernel"
        peak = usage.memory_peak_bytes
        require(told.code in (137, 1), f"it ended with exit code {told.code}")
        require(peak is None or peak <= LIMITS.memory_bytes, f"it had {peak} bytes")
        shown = "" if peak is None else f" at {peak / MIB:.0f} of {LIMITS.memory_bytes / MIB:.0f} MiB"
        return f"the program was ended{shown}; the sandbox goes on"


async def disk(ground: Ground) -> str:
    limits = SandboxLimits(memory_bytes=128 * MIB, cpus=0.5, pids=64, home_bytes=16 * MIB, tmp_bytes=8 * MIB)
    async with ground.box(limits=limits) as box:
        written = (await box.run(EAT_TMPFS)).answer
    allowed = {"/tmp": limits.tmp_bytes, "/home/agent": limits.home_bytes, "/dev/shm": limits.shared_bytes}
    for folder, most in allowed.items():
        require(written.get(folder, 0) <= most, f"{written.get(folder)} bytes in {folder} where {most} are allowed")
    return ", ".join(f"{folder} {written.get(folder, 0) / MIB:.0f} MiB" for folder in allowed)


WRITE_EVERYWHERE = """
import json, os
written = []
for top in ["/"] + ["/" + name for name in os.listdir("/")]:
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if not os.path.join(folder, name).startswith(("/proc", "/sys"))]
        try:
            path = os.path.join(folder, "probe")
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            os.unlink(path)
            written.append(folder)
        except OSError:
            pass
os.write(3, json.dumps(sorted(set(written))).encode())
"""


async def root_disk(ground: Ground) -> str:
    written = await ground.answer(WRITE_EVERYWHERE)
    more = [folder for folder in written if not folder.startswith(("/dev", "/home/agent", "/tmp", "/run/shm"))]
    require(not more, f"it can write in {', '.join(more)}, without a limit")
    return f"writable are only {', '.join(written)}: memory with limits"


INODES = """
import json, os
made = 0
try:
    while made < 100_000:
        os.close(os.open(f"/tmp/{made}", os.O_CREAT | os.O_WRONLY))
        made += 1
except OSError:
    pass
os.write(3, json.dumps(made).encode())
"""


async def inodes(ground: Ground) -> str:
    async with ground.box() as box:
        try:
            made = (await box.run(INODES)).answer
            used = (await box.usage()).memory_bytes
        except SandboxError:
            require(ground.gvisor, "the sandbox ended by itself")
            return "this gVisor counts no files; the sandbox was ended at its limit of memory, and took nothing with it"
    if ground.gvisor:
        require(used <= LIMITS.memory_bytes, f"{used} bytes of memory")
        return f"{made} files: this gVisor counts none, but what they take is memory with a limit"
    require(made <= TMP_INODES, f"{made} files in /tmp")
    return f"no more than {made} files in /tmp"


FILES = """
import json, os, socket
opened = 0
try:
    while opened < 100_000:
        os.dup(1)
        opened += 1
except OSError:
    pass
os.write(3, json.dumps(opened).encode())
"""


async def open_files(ground: Ground) -> str:
    limits = dataclasses.replace(LIMITS, open_files=256)
    async with ground.box(limits=limits) as box:
        opened = (await box.run(FILES)).answer
    require(opened <= 256, f"{opened} files open at once")
    return f"{opened} at most"


SPIN = """
import os, time
for _ in range(3): os.fork() == 0 or None
end = time.monotonic() + 2.0
while time.monotonic() < end: pass
"""


async def processor(ground: Ground) -> str:
    limits = dataclasses.replace(LIMITS, cpus=0.3)
    async with ground.box(limits=limits) as box:
        before, begun = await box.usage(), time.monotonic()
        await box.start(SPIN)
        await asyncio.sleep(1.8)
        after, seconds = await box.usage(), time.monotonic() - begun
    used = (after.cpu_seconds - before.cpu_seconds) / seconds
    # The kernel gives out time by tenths of a second, and the first may be used at once.
    require(used <= 0.3 * 1.4, f"{used:.2f} cores where 0.3 are allowed")
    return f"8 spinning processes had {used:.2f} cores of 0.3"


async def _usage(box: Box) -> Usage | None:
    """None when the sandbox is gone."""
    try:
        return await box.usage()
    except SandboxGone:
        return None


ATTACKS = (
    Attack(
        name="fork-bomb",
        title="Fork without end",
        should="stays within its number of processes, and dies",
        play=fork_bomb,
    ),
    Attack(
        name="memory-bomb",
        title="Take memory without end",
        should="ended within its limit",
        play=memory_bomb,
    ),
    Attack(
        name="disk-fill",
        title="Fill every place it may write to",
        should="no space left at each one's size",
        play=disk,
    ),
    Attack(
        name="root-disk",
        title="Write to the host's disk through the image's folders",
        should="read-only but for memory",
        play=root_disk,
    ),
    Attack(
        name="inodes",
        title="Make files without end",
        should="no more than 4096",
        play=inodes,
    ),
    Attack(
        name="open-files",
        title="Hold files open without end",
        should="no more than its limit",
        play=open_files,
    ),
    Attack(
        name="processor",
        title="Spin on every core",
        should="no more than its share",
        play=processor,
    ),
)
