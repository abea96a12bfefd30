"""A server as seen from its sandbox: starts one, runs a job in it, stores what it hears, and is killed by the test.

`python -m tests.docker.holder INSTANCE GRACE CODE` prints one JSON object a line: first the sandbox, then each piece.
Acknowledged is only what was printed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys

from sandbox_runner.docker_driver import DockerDriver
from sandbox_runner.driver import OutputChunk, end_of
from sandbox_runner.spec import Role, SandboxSpec
from tests.docker.conftest import IMAGE, python


async def hold(instance: str, grace: float, code: str) -> None:
    driver = DockerDriver()
    spec = SandboxSpec(image=IMAGE, role=Role.AGENT, instance=instance, run="held", grace_seconds=grace)
    sandbox = await driver.start(spec)
    print(json.dumps({"id": sandbox.id}), flush=True)
    async with driver.relay(sandbox) as relay:
        await relay.run(python(code))
        async for item in relay:
            data = item.data if isinstance(item, OutputChunk) else b""
            print(json.dumps({"end": end_of(item), "data": base64.b64encode(data).decode()}), flush=True)
            relay.acknowledge(end_of(item))


if __name__ == "__main__":
    asyncio.run(hold(sys.argv[1], float(sys.argv[2]), sys.argv[3]))
