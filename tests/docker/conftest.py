"""Proofs on real containers. They need an engine and the image crucible-base:current: without, they fail."""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
from asyncio import StreamReader
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest

from sandbox_runner.docker_driver import DockerDriver
from sandbox_runner.driver import JobEnded, OutputChunk, Relay, Relayed, Sandbox, Stream, end_of
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import Job, Role, SandboxSpec
from tests.docker.engine import Engine

IMAGE = "crucible-base:current"
#: Seconds after which a thing that should have come is missed; nothing that is measured.
PATIENCE = 60.0


@dataclass
class Heard:
    """What one job said until it ended."""

    items: list[Relayed] = field(default_factory=list)

    @property
    def ended(self) -> JobEnded:
        assert isinstance(self.items[-1], JobEnded), self.items[-1]
        return self.items[-1]

    def bytes_of(self, stream: Stream) -> bytes:
        return b"".join(item.data for item in self.items if isinstance(item, OutputChunk) and item.stream is stream)

    @property
    def out(self) -> str:
        return self.bytes_of(Stream.STDOUT).decode()

    @property
    def result(self) -> str:
        return self.bytes_of(Stream.RESULT).decode()


class Bench:
    """Sandboxes under a label of this test's own, and nobody else's touched."""

    def __init__(self, driver: DockerDriver) -> None:
        self.driver = driver
        self.instance = f"test-{secrets.token_hex(6)}"

    def spec(self, **changes: Any) -> SandboxSpec:
        return SandboxSpec(**{"image": IMAGE, "role": Role.AGENT, "instance": self.instance, "run": "run-1", **changes})

    async def start(self, **changes: Any) -> Sandbox:
        return await self.driver.start(self.spec(**changes))

    async def run(self, sandbox: Sandbox, job: Job, *, after: Heard | None = None) -> Heard:
        """One job from its start to its end over a relay of its own, which resumes after what was heard before."""
        async with self.driver.relay(sandbox, acknowledged=end_of(after.items[-1]) if after else 0) as relay:
            await relay.run(job)
            return await heard(relay)

    async def only(self, job: Job, **changes: Any) -> Heard:
        """One job in a sandbox of its own."""
        return await self.run(await self.start(**changes), job)


async def heard(relay: Relay, *, job: int | None = None) -> Heard:
    """Everything until the job (or any) ended, acknowledged."""
    told = Heard()
    async with asyncio.timeout(PATIENCE):
        async for item in relay:
            told.items.append(item)
            relay.acknowledge(end_of(item))
            if isinstance(item, JobEnded) and job in (None, item.job):
                break
    return told


def python(code: str, *, number: int = 1, uid: int = 1000, **changes: Any) -> Job:
    return Job(id=number, name="test", argv=("python3", "-uc", code), uid=uid, gid=uid, result=True, **changes)


def shell(code: str, *, number: int = 1, uid: int = 1000, **changes: Any) -> Job:
    return Job(id=number, name="test", argv=("bash", "-c", code), uid=uid, gid=uid, result=True, **changes)


@asynccontextmanager
async def holding(instance: str, grace: float, code: str) -> AsyncIterator[tuple[Process, StreamReader]]:
    """A server in a process of its own (see holder.py), which the test kills; and what it says."""
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.docker.holder", instance, str(grace), code),
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert holder.stdout is not None
    try:
        yield holder, holder.stdout
    finally:
        if holder.returncode is None:
            holder.kill()
        await holder.communicate()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench(DockerDriver())
    try:
        yield bench
        for sandbox in await bench.driver.list_owned(bench.instance):
            await kill_until_verified(bench.driver, sandbox)
        assert await bench.driver.list_owned(bench.instance) == []
    finally:
        await bench.driver.close()


@pytest.fixture
def engine() -> Iterator[docker.APIClient]:
    """A client of the test's own, to see what the driver did."""
    client = docker.APIClient(**docker.utils.kwargs_from_env(), version="auto")
    yield client
    client.close()


@pytest.fixture(scope="session")
def own_engine() -> Iterator[Engine]:
    """An engine that a test may kill, and starts again."""
    engine = Engine(Path(tempfile.mkdtemp(prefix="crucible-engine-")))
    engine.start()
    try:
        engine.bring_image()
        yield engine
    finally:
        engine.end()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that take `runtime` run on every one of ours the engine offers."""
    if "runtime" in metafunc.fixturenames:
        client = docker.APIClient(**docker.utils.kwargs_from_env(), version="auto")
        offered = client.info()["Runtimes"]
        client.close()
        metafunc.parametrize("runtime", [name for name in ("runc", "runsc") if name in offered])
