"""The disk of the engine's images and layers, full: who fills it is ended with the cause, and nobody else notices."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox_runner.docker_driver import DockerDriver
from sandbox_runner.driver import EngineDiskFull
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import MIB, Role
from tests.docker.conftest import IMAGE, Bench, shell
from tests.docker.engine import Engine
from tests.docker.test_server_killed import LINES, Servers, printed

pytestmark = pytest.mark.timeout(300)

DISK, RESERVE = 900 * MIB, 200 * MIB
ALERT = "engine-disk-full"

#: What a family's root does in `setup`, by task. What is left on the engine's disk is seen inside, at "/".
FAMILY = f"""\
import os, time

def room():
    told = os.statvfs("/")
    return told.f_bavail * told.f_frsize

def fill():
    with open("/root/fill", "ab") as file:
        while True:
            try:
                file.write(b"x" * 65536)
            except OSError:
                time.sleep(0.1)

def litter():
    number = 0
    while True:
        number += 1
        try:
            open(f"/root/{{number}}", "x").close()
        except OSError:
            time.sleep(0.1)

def wait():
    "Until less than the reserve was left, and there is more again."
    while room() > {RESERVE}:
        time.sleep(0.01)
    while room() < {RESERVE}:
        time.sleep(0.1)

def copy():
    "Until an image of what it wrote finds no room."
    with open("/root/large", "wb") as file:
        file.write(bytes({100 * MIB}))
    print("wrote", flush=True)
    while room() > {RESERVE + 50 * MIB}:
        time.sleep(0.05)

def holes():
    "Takes no room, and more than there is as soon as it is copied."
    with open("/root/holes", "wb") as file:
        file.truncate({3 * 1024 * MIB})

class TaskFamily:
    @staticmethod
    def get_tasks():
        return {{name: name for name in ("fill", "litter", "wait", "copy", "holes")}}

    @staticmethod
    def get_instructions(t):
        globals()[t]()
        return t

    @staticmethod
    def score(t, submission):
        return 1.0
"""
SUITE = """\
title: Root
description: Root at work.
tasks:
"""
TASK = "  - {{task: root/{0}, agent: talker, limits: {{memory_bytes: 128m, disk_bytes: 16m, cpus: 0.3}}}}\n"


@pytest.fixture(scope="module")
def small_engine() -> Iterator[Engine]:
    """With its images and layers on a small disk of their own."""
    engine = Engine(Path(tempfile.mkdtemp(prefix="crucible-engine-")), disk_bytes=DISK)
    try:
        engine.start()
        engine.bring_image()
        yield engine
    finally:
        engine.end()


@pytest.fixture
def servers(tmp_path: Path, small_engine: Engine) -> Iterator[Servers]:
    servers = Servers(tmp_path, engine=small_engine.address, CRUCIBLE_ENGINE_RESERVE_BYTES=str(RESERVE))
    names = ("fill", "litter", "wait", "copy", "holes")
    files = {"families/root/root.py": FAMILY, "root.yaml": SUITE + "".join(TASK.format(name) for name in names)}
    for path, text in files.items():
        (servers.suites / path).parent.mkdir(parents=True, exist_ok=True)
        (servers.suites / path).write_text(text)
    servers.start()
    yield servers
    assert servers.process is not None
    servers.process.terminate()
    servers.process.wait(60)
    assert nothing_is_left(small_engine)


@pytest.fixture
async def small_bench(small_engine: Engine) -> AsyncIterator[Bench]:
    bench = Bench(DockerDriver(small_engine.address))
    yield bench
    for sandbox in await bench.driver.list_owned(bench.instance):
        await kill_until_verified(bench.driver, sandbox)
    await bench.driver.close()
    assert nothing_is_left(small_engine)


def nothing_is_left(engine: Engine) -> bool:
    """No container, and no image but the base and those of families."""
    images = {name for name in engine.images() if not name.startswith("crucible-family/")}
    return engine.containers() == [] and images == {IMAGE}


@contextlib.contextmanager
def filled(engine: Engine, *, but: int = 0) -> Iterator[None]:
    """Somebody else has filled the disk, but for so many bytes."""
    path = engine.data / "somebody-elses"
    try:
        with path.open("wb", buffering=0) as file:
            told = os.statvfs(path)
            if but:
                os.posix_fallocate(file.fileno(), 0, told.f_bavail * told.f_frsize - but)
            for block in () if but else (MIB, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(block))
        yield
    finally:
        path.unlink()


def begin(servers: Servers, suite: str, *tasks: str) -> list[int]:
    """Ids of the runs, in the order of `tasks`."""
    queued = servers.ask("POST", "/evaluations", json={"suite": suite, "tasks": list(tasks)}).json()["runs"]
    ids = {run["task"]: run["id"] for run in queued}
    return [ids[task] for task in tasks]


def run_of(servers: Servers, number: int) -> dict[str, Any]:
    found: dict[str, Any] = servers.ask("GET", f"/runs/{number}").json()
    return found


def until_ended(servers: Servers, number: int) -> dict[str, Any]:
    servers.until(lambda: run_of(servers, number)["state"] == "ended", f"run {number} ends")
    return run_of(servers, number)


def until_it_talks(servers: Servers) -> int:
    (talk,) = begin(servers, "talk", "talker/talk")
    servers.until(lambda: run_of(servers, talk)["lines"] > 5, "an agent talks")
    return talk


def alerts(servers: Servers, status: str) -> list[str]:
    return [each["rule"] for each in servers.ask("GET", "/alerts", params={"status": status}).json()["alerts"]]


def assert_healthy(servers: Servers) -> None:
    url = json.loads((servers.data / "server.json").read_text())["url"]
    assert httpx.get(f"{url}/healthz", timeout=30, trust_env=False).status_code == 200


def assert_whole(servers: Servers, run: dict[str, Any]) -> None:
    """It came to its own end, and all that its agent printed is stored."""
    assert (run["outcome"], run["lines"]) == ("succeeded", LINES), run["detail"]
    lines = [json.loads(line) for line in servers.ask("GET", f"/runs/{run['id']}/output").text.splitlines()]
    assert hashlib.sha256(printed(lines)).hexdigest() == run["submission"]


def doctor(servers: Servers) -> str:
    """What it says. There is something to do."""
    crucible = str(Path(sys.executable).parent / "crucible")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRUCIBLE_")}
    settings = {"CRUCIBLE_DATA": str(servers.data), "CRUCIBLE_DOCKER_HOST": servers.engine, **servers.settings}
    told = subprocess.run([crucible, "doctor"], env={**clean, **settings}, capture_output=True, text=True, timeout=60)
    assert told.returncode == 3, told.stderr
    return told.stdout


def assert_names_the_disk(text: str) -> None:
    assert "the container engine's disk" in text
    assert "docker system df" in text


@pytest.mark.parametrize("task", ["fill", "litter"])
def test_root_that_fills_the_disk_is_ended_at_the_reserve_and_others_go_on(
    servers: Servers, small_engine: Engine, task: str
) -> None:
    talk = until_it_talks(servers)
    wait, hog = begin(servers, "root", "root/wait", f"root/{task}")

    ended = until_ended(servers, hog)
    assert_healthy(servers)
    assert ended["outcome"] == "broken"
    assert_names_the_disk(ended["detail"])
    servers.until(lambda: alerts(servers, "resolved") == [ALERT], "there is room again")
    assert_whole(servers, until_ended(servers, talk))
    if task == "fill":  # Who made the many files cannot be told.
        assert_whole(servers, until_ended(servers, wait))
    else:
        assert_names_the_disk(until_ended(servers, wait)["detail"])
    (later,) = begin(servers, "talk", "talker/talk")
    assert_whole(servers, until_ended(servers, later))


@pytest.mark.parametrize("task", ["copy", "holes"])
def test_an_image_for_which_there_is_no_room_is_not_begun(servers: Servers, small_engine: Engine, task: str) -> None:
    talk = until_it_talks(servers)
    (run,) = begin(servers, "root", f"root/{task}")
    servers.until(lambda: run_of(servers, run)["lines"] > 0 or task == "holes", "it wrote")
    with filled(small_engine, but=RESERVE + 40 * MIB) if task == "copy" else contextlib.nullcontext():
        ended = until_ended(servers, run)

    assert_healthy(servers)
    assert ended["outcome"] == "broken"
    assert_names_the_disk(ended["detail"])
    assert "an image" in ended["detail"]
    assert_whole(servers, until_ended(servers, talk))
    assert alerts(servers, "open") == []  # The disk itself is well.


def test_a_full_disk_is_not_noticed_by_an_agent_and_is_told_of_what_cannot_begin(
    servers: Servers, small_engine: Engine
) -> None:
    talk = until_it_talks(servers)
    with filled(small_engine):
        (refused,) = begin(servers, "talk", "talker/talk")
        said = until_ended(servers, refused)
        assert said["outcome"] == "broken"
        assert_names_the_disk(said["detail"])
        assert_healthy(servers)
        assert alerts(servers, "open") == [ALERT]
        assert re.search(r"MISSING +engine's disk +0\.0 GiB free +Free space there", doctor(servers))

        whole = until_ended(servers, talk)
        assert_whole(servers, whole)
        assert whole["score"]["status"] == "failed"
        assert_names_the_disk(whole["score"]["explanation"])
    servers.until(lambda: alerts(servers, "open") == [], "there is room again")
    (later,) = begin(servers, "talk", "talker/talk")
    scored = until_ended(servers, later)
    assert_whole(servers, scored)
    assert scored["score"]["value"] == 1.0


async def test_an_engine_without_room_refuses_by_that_name_and_leaves_nothing(
    small_engine: Engine, small_bench: Bench
) -> None:
    driver = small_bench.driver
    setup = await small_bench.start(role=Role.SETUP)
    await small_bench.run(setup, shell(f"head -c {20 * MIB} /dev/zero > /root/large", uid=0))
    assert (await driver.layer_bytes([setup]))[setup.id] >= 20 * MIB
    with filled(small_engine):
        room = await driver.disk_room()
        assert room is not None
        assert room.bytes < MIB
        with pytest.raises(EngineDiskFull, match="disk is full"):
            await driver.commit(setup, "crucible-run/full:1")
        for role in (Role.SETUP, Role.AGENT):
            with pytest.raises(EngineDiskFull, match="disk is full"):
                await small_bench.start(role=role)
        assert small_engine.containers() == [setup.id]
        await kill_until_verified(driver, setup)
        assert nothing_is_left(small_engine)
    agent = await small_bench.start()
    assert (await small_bench.run(agent, shell("echo here"))).out == "here\n"
