"""Every line of `crucible doctor --prove`: each attack, on each runtime of ours that the engine offers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from app.domain.proofs import Verdict
from app.proof.attack import Attack, Broke, Untestable
from app.proof.attacks import ATTACKS
from app.proof.ground import Box, Ground
from app.proof.proof import plan, played, prove, refused_runtimes
from sandbox_runner.driver import EngineUnreachable
from sandbox_runner.spec import Role
from tests.docker.conftest import IMAGE, Bench, shell


def ground(bench: Bench, runtime: str) -> Ground:
    return Ground(driver=bench.driver, image=IMAGE, instance=bench.instance, runtime=runtime)


ORDINARY = "ordinary-work"


@pytest.mark.parametrize("attack", [each for each in ATTACKS if each.name != ORDINARY], ids=lambda attack: attack.name)
async def test_an_attack_is_held(bench: Bench, runtime: str, attack: Attack) -> None:
    line = await played(attack, ground(bench, runtime))
    assert line.verdict is Verdict.HELD, line.happened
    assert line.happened
    assert await bench.driver.list_owned(bench.instance) == []


async def test_a_runtime_on_which_programs_do_not_work_is_told_so(bench: Bench, runtime: str) -> None:
    works = (await bench.only(shell("ls / > /dev/null"), runtime=runtime)).ended.code == 0
    (attack,) = (each for each in ATTACKS if each.name == ORDINARY)
    line = await played(attack, ground(bench, runtime))
    assert works or runtime != "runc"
    assert line.verdict is (Verdict.HELD if works else Verdict.BROKE), line.happened
    assert works or "list" in line.happened


class Writable(Ground):
    """Gives out sandboxes whose root can be written to, as a task's setup has them."""

    def box(self, **changes: Any) -> AbstractAsyncContextManager[Box]:
        return super().box(**{**changes, "role": Role.SETUP})


async def test_a_sandbox_that_does_not_hold_is_told_so(bench: Bench) -> None:
    (attack,) = (attack for attack in ATTACKS if attack.name == "root-disk")
    loose = Writable(driver=bench.driver, image=IMAGE, instance=bench.instance, runtime="runc")
    line = await played(attack, loose)
    assert line.verdict is Verdict.BROKE
    assert "it can write in" in line.happened


async def test_what_cannot_be_tried_is_said_and_not_counted_as_held(bench: Bench) -> None:
    async def broke(_: Ground) -> str:
        raise Broke("it went through")

    async def untestable(_: Ground) -> str:
        raise Untestable("no such thing here")

    async def unreachable(_: Ground) -> str:
        raise EngineUnreachable("no answer")

    verdicts = []
    for play in (broke, untestable, unreachable):
        attack = Attack(name="x", title="x", should="y", play=play)
        verdicts.append((await played(attack, ground(bench, "runc"))).verdict)
    assert verdicts == [Verdict.BROKE, Verdict.UNTESTED, Verdict.UNTESTED]


async def test_a_proof_that_is_given_up_leaves_no_sandbox(bench: Bench) -> None:
    before = {sandbox.id for sandbox in await bench.driver.list_owned()}
    lines = prove(bench.driver, IMAGE, plan(["runc"], runtime="runc", only=["network", "noise"]))
    assert (await anext(lines)).attack == "network"
    await lines.aclose()
    mine = [each for each in await bench.driver.list_owned() if each.instance.startswith("proof-")]
    assert [each for each in mine if each.id not in before] == []


async def test_a_runtime_that_is_not_offered_fails_the_command_only_when_it_is_named(
    bench: Bench, tmp_path: Path
) -> None:
    offered = (await bench.driver.check()).runtimes
    refused = await refused_runtimes(bench.driver, IMAGE, offered)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRUCIBLE_")}

    def done(*arguments: str) -> tuple[int, dict[str, str]]:
        command = [str(Path(sys.executable).parent / "crucible"), "doctor", "--prove", "--json", *arguments]
        ended = subprocess.run(
            command, env={**clean, "CRUCIBLE_DATA": str(tmp_path)}, capture_output=True, text=True, check=False
        )
        return ended.returncode, {line["runtime"]: line["verdict"] for line in json.loads(ended.stdout)["lines"]}

    code, verdicts = await asyncio.to_thread(done, "--only", ORDINARY)
    assert (code, verdicts["runc"]) == (0, "held")
    assert ("runsc" in verdicts) == ("runsc" in offered)
    for name in refused:
        assert verdicts[name] == "not offered here"
        assert await asyncio.to_thread(done, "--only", ORDINARY, "--runtime", name) == (1, {name: "did NOT hold"})


def test_the_command_prints_the_table_as_json_and_ends_with_0(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRUCIBLE_")}
    (tmp_path / "instance").write_text("a server was here\n")
    command = [str(Path(sys.executable).parent / "crucible"), "doctor", "--prove", "--runtime", "runc", "--json"]
    done = subprocess.run(
        [*command, "--only", "noise", "--only", "manifests"],
        env={**clean, "CRUCIBLE_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [(line["attack"], line["verdict"]) for line in told["lines"]] == [("noise", "held"), ("manifests", "held")]
    assert "only a whole proof" in done.stderr
    assert not (tmp_path / "crucible.db").exists()
