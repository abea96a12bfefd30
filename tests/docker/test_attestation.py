"""What the engine made is held against what was asked for, before the start and at an adoption."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from typing import Any

import docker
import pytest

from sandbox_runner.docker_config import create_body, features_of
from sandbox_runner.docker_driver import DockerDriver
from sandbox_runner.driver import NotAttested, Sandbox
from sandbox_runner.policy import policy_of
from sandbox_runner.spec import MIB, Role, SandboxSpec
from tests.docker.conftest import IMAGE, Bench


async def test_every_role_and_runtime_comes_out_as_its_policy_says(bench: Bench, runtime: str) -> None:
    for role, debug in ((Role.AGENT, False), (Role.AGENT, True), (Role.SETUP, False)):
        sandbox = await bench.start(role=role, debug=debug, runtime=runtime, deadline=1_900_000_000)
        attested = sandbox.attestation
        assert attested is not None
        assert attested.runtime == runtime
        assert attested.isolation == ("T0.H2.N2" if runtime == "runsc" else "T0.H1.N2")
        assert attested.profile == bench.spec(role=role, debug=debug).profile.name
        assert attested.witnessed
        again = await bench.driver.attest(sandbox, bench.spec(role=role, debug=debug, runtime=runtime))
        assert again == attested


async def test_a_sandbox_of_another_policy_is_not_taken_for_one_of_this(bench: Bench) -> None:
    sandbox = await bench.start()
    for changes, field in (
        ({"debug": True}, "HostConfig.SecurityOpt"),
        ({"grace_seconds": 99.0}, "Config.Cmd"),
        ({"role": Role.SETUP}, "HostConfig.CapAdd"),
        ({"run": "another"}, "Config.Labels.crucible.run"),
        ({"deadline": 1}, "Config.Labels.crucible.deadline"),
    ):
        with pytest.raises(NotAttested) as caught:
            await bench.driver.attest(sandbox, bench.spec(**changes))
        assert field in {each.field for each in caught.value.differences}


class Tamper:
    """A client that asks for something else than it was told to, as a proxy or an engine gone bad would."""

    def __init__(self, client: docker.APIClient, part: str, field: str, value: Any) -> None:
        self._client = client
        self._change = (part, field, value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def create_container_from_config(self, config: dict[str, Any], name: str) -> Any:
        part, field, value = self._change
        changed = copy.deepcopy(config)
        (changed["HostConfig"] if part == "HostConfig" else changed)[field] = value
        return self._client.create_container_from_config(changed, name)


class TamperedDriver(DockerDriver):
    """The driver over such a client."""

    def tamper(self, part: str, field: str, value: Any) -> None:
        call = self._calls.call
        self._calls.call = lambda work: call(lambda client: work(Tamper(client, part, field, value)))  # type: ignore[method-assign]


@pytest.fixture
async def tampered(bench: Bench) -> AsyncIterator[TamperedDriver]:
    driver = TamperedDriver()
    yield driver
    await driver.close()


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("HostConfig", "Privileged", True),
        ("HostConfig", "Binds", ["/tmp:/host:ro"]),
        ("HostConfig", "CapAdd", ["KILL", "SETGID", "SETPCAP", "SETUID", "NET_RAW"]),
        ("HostConfig", "SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]),
        ("HostConfig", "PidMode", "host"),
        ("HostConfig", "Tmpfs", {"/tmp": "rw,size=1g"}),
        ("HostConfig", "Memory", 256 * MIB),
        ("HostConfig", "PidsLimit", 0),
        ("HostConfig", "ReadonlyRootfs", False),
        ("HostConfig", "MaskedPaths", []),
        ("HostConfig", "Ulimits", None),
        ("HostConfig", "ExtraHosts", ["metadata:169.254.169.254"]),
        ("HostConfig", "Runtime", "runsc"),
        ("Config", "User", "1000"),
        ("Config", "Entrypoint", ["sleep", "600"]),
        ("Config", "Env", ["LD_PRELOAD=/tmp/evil.so"]),
        ("Config", "Volumes", {"/data": {}}),
    ],
)
async def test_a_wall_the_engine_left_out_is_named_and_nothing_is_started(
    bench: Bench, engine: docker.APIClient, tampered: TamperedDriver, part: str, field: str, value: Any
) -> None:
    if field == "Runtime" and value not in engine.info()["Runtimes"]:
        pytest.fail("this engine has no second runtime")
    tampered.tamper(part, field, value)
    with pytest.raises(NotAttested) as caught:
        await tampered.start(bench.spec())
    assert any(each.field.startswith(f"{part}.{field}") for each in caught.value.differences), caught.value
    assert await bench.driver.list_owned(bench.instance) == []


async def test_a_network_is_seen_from_the_host_whatever_the_engine_says(
    bench: Bench, engine: docker.APIClient, tampered: TamperedDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = bench.spec()
    body = _body(spec, engine)
    body["NetworkDisabled"] = False
    body["HostConfig"]["NetworkMode"] = "bridge"
    made = engine.create_container_from_config(body, None)
    engine.start(made["Id"])
    [sandbox] = await bench.driver.list_owned(bench.instance)
    honest = engine.inspect_container(made["Id"])
    honest["HostConfig"]["NetworkMode"], honest["Config"]["NetworkDisabled"] = "none", True
    honest["NetworkSettings"] = {}

    async def lie(_sandbox: Sandbox) -> dict[str, Any]:
        return dict(honest)

    monkeypatch.setattr(tampered, "_told", lie)
    with pytest.raises(NotAttested, match="the host's view of its network"):
        await tampered.attest(sandbox, spec)


async def test_a_hand_made_container_with_our_labels_is_not_adopted(bench: Bench, engine: docker.APIClient) -> None:
    spec = bench.spec()
    body = _body(spec, engine)
    twin = engine.create_container_from_config(body, None)
    engine.start(twin["Id"])
    [same] = await bench.driver.list_owned(bench.instance)
    await bench.driver.attest(same, spec)  # one that differs in nothing is one of ours
    engine.remove_container(twin["Id"], force=True)
    body["HostConfig"]["OomScoreAdj"] = 0
    changed = engine.create_container_from_config(body, None)
    engine.start(changed["Id"])
    [other] = await bench.driver.list_owned(bench.instance)
    with pytest.raises(NotAttested) as caught:
        await bench.driver.attest(other, spec)
    assert [each.field for each in caught.value.differences] == ["HostConfig.OomScoreAdj"]


async def test_an_image_that_brings_a_volume_or_our_labels_is_refused(bench: Bench, engine: docker.APIClient) -> None:
    base = engine.create_container(IMAGE, ["true"])
    tag = f"crucible-test:{bench.instance}"
    try:
        engine.commit(base["Id"], *tag.split(":"), changes=["VOLUME /data", "LABEL crucible.more=1"])
        with pytest.raises(NotAttested) as caught:
            await bench.start(image=tag)
        assert {"Config.Volumes", "Mounts", "Config.Labels.crucible.more"} <= {
            each.field for each in caught.value.differences
        }
    finally:
        engine.remove_container(base["Id"])
        engine.remove_image(tag)


def _body(spec: SandboxSpec, engine: docker.APIClient) -> dict[str, Any]:
    image = engine.inspect_image(IMAGE)["Id"]
    return create_body(spec, policy_of(spec, features_of(engine.info())), image)
