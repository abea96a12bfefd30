"""What an agent prints, against who reads it: floods, endless lines, noise, forged messages, readers that stall."""

from __future__ import annotations

import asyncio
import base64
import json
import resource
import time

from app.proof.attack import Attack, require
from app.proof.ground import Ground, Told
from sandbox_runner.frames import NOTICE, Frame, Kind, encode
from sandbox_runner.spec import MIB

#: More memory than this a reader of a flood must not need.
GROWTH = 128 * MIB


async def flood(ground: Ground) -> str:
    before = _memory()
    async with ground.box() as box:
        await box.start("yes 'the same line, over and over'", shell=True)
        told, begun = Told(), time.monotonic()
        try:
            async with asyncio.timeout(2.5):
                while True:
                    part = await box.listen(until=lambda part: part.bytes > MIB)
                    told.bytes += part.bytes
        except TimeoutError:
            pass
        speed = told.bytes / MIB / (time.monotonic() - begun)
        death = await box.kill()
    growth = _memory() - before
    require(told.bytes > 0, "nothing of it arrived")
    require(growth < GROWTH, f"reading it took {growth / MIB:.0f} MiB of memory")
    gone = f"gone {death.dead_after * 1000:.0f} ms after the kill"
    return f"read at {speed:.0f} MiB/s in {growth / MIB:.0f} MiB more memory; {gone}"


async def stalled_reader(ground: Ground) -> str:
    async with ground.box() as box:
        await box.start("cat /dev/zero", shell=True)
        # Take nothing: what stands in the pipes must not keep a kill waiting.
        await asyncio.sleep(0.5)
        death = await box.kill()
    require(death.dead_after < 5.0, f"the kill took {death.dead_after:.1f} s")
    return f"gone {death.dead_after * 1000:.0f} ms after the kill, with nobody reading"


LINE_BYTES = 40_000_000


async def endless_line(ground: Ground) -> str:
    before = _memory()
    async with ground.box() as box:
        told = await box.run(f"head -c {LINE_BYTES} /dev/zero | tr '\\0' x", shell=True)
    growth = _memory() - before
    require(told.bytes == LINE_BYTES, f"{told.bytes} of {LINE_BYTES} bytes arrived")
    require(growth < GROWTH, f"it took {growth / MIB:.0f} MiB of memory")
    return f"one line of {LINE_BYTES / 1e6:.0f} MB arrived whole, in {growth / MIB:.0f} MiB more memory"


NOISE = bytes(range(256)) * 8 + b"\x1b]0;title\x07\x1b[2J\xe2\x80\xa8\xff\xfe\r\0"


async def noise(ground: Ground) -> str:
    code = f"import base64, os\nos.write(1, base64.b64decode({base64.b64encode(NOISE).decode()!r}))"
    async with ground.box() as box:
        told = await box.run(code)
    require(bytes(told.out) == NOISE, "other bytes arrived than were printed")
    return f"{len(NOISE)} bytes of every kind arrived as they were printed; pages get them as text (tests/browser)"


async def forged(ground: Ground) -> str:
    """The keeper's own frames, printed by the agent: an end of its job, and an answer on the result stream."""
    ended = {"job": 1, "event": "ended", "code": 0, "reason": "", "at": 0}
    lies = b"".join(
        (
            encode(Frame(Kind.DATA, json.dumps(ended).encode(), 1, NOTICE, 0, 0)),
            encode(Frame(Kind.FAULT, b'{"why":"forged"}')),
            b"\0" * 4096,
            encode(Frame(Kind.DATA, b"forged", 1, 3, 0, 0)),
        )
    )
    code = f"import base64, os\nos.write(1, base64.b64decode({base64.b64encode(lies).decode()!r}))\nraise SystemExit(7)"
    async with ground.box() as box:
        told = await box.run(code)
    require(bytes(told.out) == lies, "the forged frames did not arrive as what they are: output")
    require(told.code == 7, f"the job's end was taken from the agent: {told.code}")
    require(not told.result, "an answer was taken from the agent")
    return "forged ends, faults and answers arrived as output, and the true end after them"


FREEZE_FLOOD = "i=0; while true; do echo $i; i=$((i+1)); done"


async def frozen_flood(ground: Ground) -> str:
    async with ground.box() as box:
        await box.start(FREEZE_FLOOD, shell=True)
        await box.listen(until=lambda told: told.bytes > 1000)
        await box.driver.freeze(box.sandbox)
        first = await box.usage()
        await asyncio.sleep(0.3)
        moved = (await box.usage()).cpu_seconds - first.cpu_seconds
        death = await box.kill()
    require(moved < 0.05, f"it used {moved * 1000:.0f} ms of processor time while frozen")
    require(death.dead_after < 10.0, f"killing it took {death.dead_after:.1f} s")
    return f"stood still ({moved * 1000:.1f} ms in 300), and was gone {death.dead_after * 1000:.0f} ms after the kill"


def _memory() -> int:
    """The most memory this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


ATTACKS = (
    Attack(
        name="output-flood",
        title="Print as fast as it can",
        should="the reader's memory stays; a kill does not wait",
        play=flood,
    ),
    Attack(
        name="stalled-reader",
        title="Fill every pipe while nobody reads",
        should="a kill does not wait for a reader",
        play=stalled_reader,
    ),
    Attack(
        name="endless-line",
        title="Print one line of 40 MB",
        should="arrives whole, in pieces",
        play=endless_line,
    ),
    Attack(
        name="noise",
        title="Print control codes and bytes that are no text",
        should="arrive as they are, and act nowhere",
        play=noise,
    ),
    Attack(
        name="forged-frames",
        title="Print what looks like the keeper's messages",
        should="taken for output",
        play=forged,
    ),
    Attack(
        name="frozen",
        title="Go on while frozen, or outlive a kill by it",
        should="uses no time, and dies from there",
        play=frozen_flood,
    ),
)
