"""Starting: all of it or nothing, whenever it is broken off, and whatever the engine does."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from sandbox_runner.docker_driver import DockerDriver
from sandbox_runner.driver import EngineUnreachable, ImageMissing, StartFailed
from sandbox_runner.spec import Network, Role
from tests.docker.conftest import Bench, shell


@pytest.mark.parametrize("after", [0.0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06])
async def test_a_start_broken_off_at_any_moment_leaves_nothing(bench: Bench, after: float) -> None:
    starting = asyncio.create_task(bench.start())
    await asyncio.sleep(after)
    starting.cancel()
    starting.cancel()
    try:
        await starting
    except asyncio.CancelledError:
        assert await bench.driver.list_owned(bench.instance) == []


async def test_a_start_that_the_engine_refuses_leaves_nothing(bench: Bench) -> None:
    with pytest.raises(ImageMissing, match="no-such-image"):
        await bench.start(image="no-such-image:1")
    with pytest.raises(StartFailed):
        await bench.start(runtime="no-such-runtime")
    with pytest.raises(StartFailed):
        await bench.start(network=Network.BRIDGE)
    assert await bench.driver.list_owned(bench.instance) == []


async def test_an_image_build_may_be_given_a_network(bench: Bench) -> None:
    sandbox = await bench.start(role=Role.BUILD, network=Network.BRIDGE)
    assert "eth0" in (await bench.run(sandbox, shell("ls /sys/class/net", uid=0))).out


async def test_a_driver_works_as_soon_as_its_engine_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's socket comes up after the driver was made."""
    real = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    place = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}")
    bench = Bench(DockerDriver())
    try:
        for _ in range(2):
            with pytest.raises(EngineUnreachable):
                await bench.driver.check()
        with pytest.raises(EngineUnreachable):
            await bench.start()
        with pytest.raises(EngineUnreachable):
            await bench.driver.list_owned()
        place.symlink_to(real)
        assert (await bench.driver.check()).name == "docker"
        place.unlink()
    finally:
        await bench.driver.close()
