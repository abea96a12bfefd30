"""Outliving the end: ignored signals, orphans, daemons, a server that is gone."""

from __future__ import annotations

import asyncio

from app.proof.attack import Attack, require
from app.proof.ground import Ground, until

STUBBORN = """
import os, signal
for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    try: signal.signal(number, signal.SIG_IGN)
    except OSError: pass
print("here", flush=True)
if os.fork() == 0:
    os.setsid()
    os.kill(os.getpid(), signal.SIGSTOP)
while True: pass
"""


async def stubborn(ground: Ground) -> str:
    async with ground.box() as box:
        await box.start(STUBBORN)
        await box.listen(until=lambda told: b"here" in told.out)
        death = await box.kill()
    require(death.dead_after < 5.0, f"it lived {death.dead_after:.1f} s")
    return f"gone {death.dead_after * 1000:.0f} ms after the kill, removed after {death.gone_after * 1000:.0f} ms"


DAEMONS = """
import os, time
for _ in range(20):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
for _ in range(20):
    os.wait()
print("begun", flush=True)
"""

COUNT = """
import json, os
states = []
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (1, os.getpid()):
        try:
            states.append(open(f"/proc/{name}/stat").read().rsplit(")", 1)[1].split()[0])
        except OSError:
            pass
os.write(3, json.dumps(states).encode())
"""


async def daemons(ground: Ground) -> str:
    async with ground.box() as box:
        await box.run(DAEMONS)
        left = (await box.run(COUNT)).answer
    require(not left, f"{len(left)} processes outlived their job, in states {sorted(set(left))}")
    return "20 daemons ended with the job that began them; no orphan, no zombie is left"


async def unattended(ground: Ground) -> str:
    """The server is gone: no heartbeat comes any more."""
    async with ground.box(grace=1.0) as box:
        await box.start(STUBBORN)
        await box.listen(until=lambda told: b"here" in told.out)
        await box.relay.__aexit__(None, None, None)

        async def dead() -> bool:
            return not await box.alive()

        begun = asyncio.get_running_loop().time()
        await until(12.0, dead, "its agent worked on without a server")
        seconds = asyncio.get_running_loop().time() - begun
    return f"everything in it ended {seconds:.1f} s after the last heartbeat, with a grace of 1 s"


ATTACKS = (
    Attack(
        name="stubborn",
        title="Ignore every signal, stop itself, spin",
        should="dead and removed at once, proven",
        play=stubborn,
    ),
    Attack(
        name="daemons",
        title="Leave daemons, orphans and zombies behind",
        should="nothing outlives its job",
        play=daemons,
    ),
    Attack(
        name="unattended",
        title="Go on without a server",
        should="the keeper ends everything after its grace",
        play=unattended,
    ),
)
