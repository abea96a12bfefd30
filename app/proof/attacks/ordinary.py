"""No attack: walls that keep ordinary programs from working would be taken down by those who need to work."""

from __future__ import annotations

from app.proof.attack import Attack, require
from app.proof.ground import Ground

WORK = """
import asyncio, json, os, socket, subprocess, sys, threading
failed = []
def check(name, act):
    try:
        act()
    except Exception as error:
        failed.append(f"{name}: {str(error)[:120]}")
def shell(command):
    told = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    if told.returncode:
        raise RuntimeError(told.stderr.strip() or f"exit code {told.returncode}")
def serve():
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((address, 0), family=family) as server:
            with socket.create_connection(server.getsockname()[:2], 2) as client:
                server.accept()[0].close()
def thread():
    done = []
    each = [threading.Thread(target=done.append, args=(number,)) for number in range(8)]
    for one in each: one.start()
    for one in each: one.join()
    assert len(done) == 8
check("list", lambda: shell("ls -l / /home/agent > /dev/null"))
check("stat", lambda: shell("stat /etc/passwd > /dev/null"))
check("find and pipes", lambda: shell("find /etc -maxdepth 1 2>/dev/null | sort | tail -1 > /dev/null"))
check("write and run", lambda: shell("echo 'echo hi' > /tmp/run && chmod +x /tmp/run && /tmp/run > /dev/null"))
check("servers on loopback", serve)
check("threads", thread)
check("asyncio", lambda: asyncio.run(asyncio.sleep(0)))
os.write(3, json.dumps(failed).encode())
"""


async def ordinary(ground: Ground) -> str:
    failed = await ground.answer(WORK)
    require(not failed, f"runs cannot do their work on it: {'; '.join(failed)}")
    return "listing, pipes, scripts, threads, asyncio and servers on loopback work"


ATTACKS = (
    Attack(
        name="ordinary-work",
        title="No attack: ordinary programs",
        should="work",
        play=ordinary,
    ),
)
