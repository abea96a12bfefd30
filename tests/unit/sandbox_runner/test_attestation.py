"""How an engine's answer is compared with a policy, field by field."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sandbox_runner.attestation import differences
from sandbox_runner.policy import KEEPER, HostFeatures, labels_of, policy_of
from sandbox_runner.spec import Role, SandboxSpec

SPEC = SandboxSpec(image="img:1", role=Role.AGENT, instance="here", run="1", deadline=7)
POLICY = policy_of(SPEC, HostFeatures(swappiness=True))
LABELS = labels_of(SPEC, POLICY)
IMAGE = {"Id": "sha256:1", "Config": {"Env": ["PATH=/bin"], "Labels": {"crucible.base": "1", "maintainer": "us"}}}


def told(**changes: Any) -> dict[str, Any]:
    """An honest engine's answer, changed at "Part__Field" or at the top."""
    config = {
        **POLICY.config,
        "Image": "sha256:1",
        "Env": ["PATH=/bin"],
        "Labels": {**IMAGE["Config"]["Labels"], **LABELS},
    }
    answer: dict[str, Any] = {
        "Id": "0" * 64,
        "Image": "sha256:1",
        "Path": KEEPER[0],
        "Args": [*KEEPER[1:], "--grace", "20.0"],
        "State": {"Pid": 5},
        "RestartCount": 0,
        "AppArmorProfile": "",
        "ExecIDs": None,
        "Mounts": [],
        "Config": config,
        "HostConfig": POLICY.host_config,
        "NetworkSettings": {"Networks": {}, "Ports": {}, "IPAddress": ""},
    }
    for name, value in changes.items():
        part, _, field = name.rpartition("__")
        (answer[part] if part else answer)[field] = value
    return answer


def fields(answer: dict[str, Any]) -> list[str]:
    return [each.field for each in differences(POLICY, LABELS, IMAGE, answer)]


def test_what_an_engine_writes_its_own_way_is_the_same() -> None:
    host = POLICY.host_config
    assert fields(told()) == []
    changed = told(
        HostConfig__CapAdd=[f"CAP_{name}" for name in reversed(host["CapAdd"])],
        HostConfig__MaskedPaths=list(reversed(host["MaskedPaths"])),
        HostConfig__Tmpfs={place: ",".join(reversed(text.split(","))) for place, text in host["Tmpfs"].items()},
        HostConfig__Ulimits=list(reversed(host["Ulimits"])),
        HostConfig__Devices=[],
        HostConfig__OomKillDisable=None,
        HostConfig__ConsoleSize=[0, 0],
        HostConfig__Annotations={},
    )
    assert fields(changed) == []


@pytest.mark.parametrize("name", sorted(POLICY.host_config))
def test_no_wall_can_be_another_without_being_named(name: str) -> None:
    wanted = POLICY.host_config[name]
    for other in ("other", True, 987_654_321, ["other"], {"other": 1}):
        if other != wanted:
            assert fields(told(**{f"HostConfig__{name}": other})) == [f"HostConfig.{name}"], other


@pytest.mark.parametrize("name", sorted(POLICY.host_config))
def test_no_wall_can_be_missing_without_being_named(name: str) -> None:
    answer = copy.deepcopy(told())
    wanted = answer["HostConfig"].pop(name)
    assert fields(answer) == ([f"HostConfig.{name}"] if wanted else [])


def test_a_switch_nobody_knows_may_be_off_and_not_on() -> None:
    assert fields(told(HostConfig__NewIn2030=False, Config__NewIn2030=None, NewIn2030={})) == []
    assert fields(told(HostConfig__NewIn2030=True)) == ["HostConfig.NewIn2030"]
    assert fields(told(Config__NewIn2030="x")) == ["Config.NewIn2030"]
    assert fields(told(NewIn2030=["x"])) == ["NewIn2030"]


def test_image_program_labels_mounts_and_networks_are_compared_too() -> None:
    assert fields(told(Image="sha256:2")) == ["Image"]
    assert fields(told(Path="sleep")) == ["Path"]
    assert fields(told(Args=["600"])) == ["Args"]
    assert fields(told(Mounts=[{"Type": "bind", "Source": "/"}])) == ["Mounts"]
    assert fields(told(AppArmorProfile="unconfined")) == ["AppArmorProfile"]
    assert fields(told(NetworkSettings={"Networks": {"bridge": {}}})) == ["NetworkSettings.Networks"]
    assert fields(told(NetworkSettings={"IPAddress": "172.17.0.2"})) == ["NetworkSettings.IPAddress"]
    assert fields(told(Config__Env=["LD_PRELOAD=x"])) == ["Config.Env"]
    labels = {**IMAGE["Config"]["Labels"], **LABELS}
    assert fields(told(Config__Labels={**labels, "crucible.run": "2"})) == ["Config.Labels.crucible.run"]
    assert fields(told(Config__Labels={**labels, "crucible.free": "1"})) == ["Config.Labels.crucible.free"]
    assert fields(told(Config__Labels={**labels, "other": "1"})) == ["Config.Labels.other"]


def test_an_answer_of_any_shape_is_a_difference_and_no_crash() -> None:
    for nonsense in (None, 5, "x", [None], {"a": [1]}):
        assert fields(told(HostConfig__Ulimits=nonsense)) == ["HostConfig.Ulimits"]
        assert fields(told(HostConfig__Tmpfs=nonsense)) == ["HostConfig.Tmpfs"]
