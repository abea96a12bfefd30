"""Four bombs at once: each run says what ended it, and a fifth beside them knows nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.events import LimitReached, OutOfMemory, ProcessesRefused
from app.domain.runs import Outcome
from app.store import output
from tests.docker.house import House

BOMBS = {
    "forks": """\
import os, time
until = time.monotonic() + 8
while time.monotonic() < until:
    try:
        os.fork()
    except OSError:
        time.sleep(0.005)
raise SystemExit(1)
""",
    "memory": "kept = []\nwhile True: kept.append(b'x' * (1 << 20))\n",
    "disk": """\
with open("/home/agent/big", "wb", buffering=0) as file:
    while True: file.write(b"x" * (1 << 20))
""",
    "flood": "import os\nwhile True: os.write(1, b'the same line again and again\\n' * 1000)\n",
}
#: Beats twenty times a second for four seconds.
QUIET = """\
import time
for number in range(80):
    print("beat", number, flush=True)
    time.sleep(0.05)
open("/home/agent/submission.txt", "w").write("done")
"""


@pytest.mark.timeout(240)
async def test_four_bombs_at_once_each_say_what_ended_them_and_a_fifth_run_is_untouched(tmp_path: Path) -> None:
    house = House(tmp_path, {**BOMBS, "quiet": QUIET})
    async with house.open() as house:
        played = await house.play(wall_seconds=100, pids=64, output_bytes="4m", cpus=0.4)
        told = {name: await house.events(run) for name, run in played.items()}
        beats = [line.data for line in await output.read(house.db, played["quiet"].id, after=0)]
        assert await house.driver.list_owned(house.instance) == []

    assert {name: run.outcome for name, run in played.items()} == {
        "forks": Outcome.FAILED,
        "memory": Outcome.LIMIT_EXCEEDED,
        "disk": Outcome.FAILED,
        "flood": Outcome.LIMIT_EXCEEDED,
        "quiet": Outcome.SUCCEEDED,
    }
    assert any(isinstance(event, ProcessesRefused) for event in told["forks"])
    assert "pids: it was refused more processes" in played["forks"].detail
    assert any(isinstance(event, OutOfMemory) for event in told["memory"])
    assert "memory_bytes" in played["memory"].detail
    assert [event.limit for event in told["disk"] if isinstance(event, LimitReached)] == ["disk_bytes"]
    assert "disk_bytes: its home was full" in played["disk"].detail
    assert "output_bytes" in played["flood"].detail
    assert beats == [f"beat {number}".encode() for number in range(80)]
    assert played["quiet"].score is not None
    assert played["quiet"].score.value == 4


async def test_a_home_that_is_full_before_scoring_is_collected_and_scored(tmp_path: Path) -> None:
    fill = """\
open("/home/agent/submission.txt", "w").write("four")
try:
    with open("/home/agent/big", "wb", buffering=0) as file:
        while True: file.write(bytes(1 << 20))
except OSError:
    pass
"""
    async with House(tmp_path, {"filler": fill}).open() as house:
        run = (await house.play())["filler"]
    assert run.outcome is Outcome.SUCCEEDED
    assert run.score is not None
    assert run.score.value == 4


async def test_an_agent_that_is_refused_processes_and_gives_up_says_so(tmp_path: Path) -> None:
    spawn = "import subprocess\nkept = []\nwhile True: kept.append(subprocess.Popen(['sleep', '60']))\n"
    async with House(tmp_path, {"spawner": spawn}).open() as house:
        run = (await house.play(pids=32))["spawner"]
    assert run.outcome is Outcome.FAILED
    assert "pids: it was refused more processes" in run.detail


async def test_who_goes_on_with_a_full_home_is_ended_and_scored_where_its_task_wants_that(tmp_path: Path) -> None:
    stay = """\
import time
open("/home/agent/submission.txt", "w").write("four")
try:
    with open("/home/agent/big", "wb", buffering=0) as file:
        while True: file.write(bytes(1 << 20))
except OSError:
    time.sleep(3600)
"""
    house = House(tmp_path, {"stays": stay})
    (tmp_path / "suites/families/stage/manifest.yaml").write_text(
        "tasks:\n  act:\n    scoring: {score_on_usage_limits: true}\n"
    )
    async with house.open() as house:
        run = (await house.play())["stays"]
        told = await house.events(run)
        assert await house.driver.list_owned(house.instance) == []
    assert (run.outcome, run.detail) == (Outcome.LIMIT_EXCEEDED, "disk_bytes: its home was full (16 MiB)")
    assert [event.limit for event in told if isinstance(event, LimitReached)] == ["disk_bytes"]
    assert run.score is not None
    assert run.score.value == 4


async def test_who_fills_its_home_again_and_again_and_makes_room_at_once_goes_on(tmp_path: Path) -> None:
    breathe = """\
import os, time
until = time.monotonic() + 6
while time.monotonic() < until:
    try:
        with open("/home/agent/big", "wb", buffering=0) as file:
            while True: file.write(bytes(1 << 20))
    except OSError:
        os.unlink("/home/agent/big")
        time.sleep(0.2)
"""
    async with House(tmp_path, {"breathes": breathe}).open() as house:
        run = (await house.play())["breathes"]
        told = await house.events(run)
    assert run.outcome is Outcome.SUCCEEDED, run.detail
    assert [event for event in told if isinstance(event, LimitReached)] == []
