"""One suite over every driver.

The docker driver needs an engine and the image crucible-base:current: without, its half fails.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable

import pytest

from sandbox_runner.driver import Driver, Sandbox
from sandbox_runner.fake_driver import FakeDriver
from sandbox_runner.fake_script import FakeKnobs
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import Role, SandboxSpec
from tests.contract.plays import PLAYS

IMAGE = "crucible-base:current"


class House:
    """Starts sandboxes of one instance label, so that nobody else's are touched."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.instance = f"contract-{secrets.token_hex(6)}"

    def spec(
        self,
        *,
        run: str = "run-1",
        role: Role = Role.AGENT,
        image: str = IMAGE,
        grace_seconds: float = 20.0,
        runtime: str = "runc",
    ) -> SandboxSpec:
        return SandboxSpec(
            image=image, role=role, instance=self.instance, run=run, grace_seconds=grace_seconds, runtime=runtime
        )

    async def start(self, *, role: Role = Role.AGENT, image: str = IMAGE, grace_seconds: float = 20.0) -> Sandbox:
        return await self.driver.start(self.spec(role=role, image=image, grace_seconds=grace_seconds))

    async def owned(self) -> list[Sandbox]:
        return await self.driver.list_owned(self.instance)


@pytest.fixture(params=["fake", "docker"])
def open_driver(request: pytest.FixtureRequest) -> Callable[[], Driver]:
    """Makes drivers of one engine: a second one is what a restarted server has."""
    if request.param == "docker":
        from sandbox_runner.docker_driver import DockerDriver

        return DockerDriver
    first = FakeDriver(FakeKnobs(jobs={play.name: play.fake for play in PLAYS}, start_delay=0.03))
    opened: list[FakeDriver] = []

    def open_fake() -> Driver:
        opened.append(first if not opened else FakeDriver(first.knobs, engine=first.engine))
        return opened[-1]

    return open_fake


@pytest.fixture
async def driver(open_driver: Callable[[], Driver]) -> AsyncIterator[Driver]:
    driver = open_driver()
    yield driver
    await driver.close()


@pytest.fixture
async def house(driver: Driver) -> AsyncIterator[House]:
    house = House(driver)
    yield house
    for sandbox in await house.owned():
        await kill_until_verified(driver, sandbox)
    assert await house.owned() == []
