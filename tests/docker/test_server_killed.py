"""The server killed with -9 in the middle of five runs: adopted without a lost byte, or gone."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0
GRACE = 6
RUNS = 5
LINES = 200

FAMILY = """\
class TaskFamily:
    @staticmethod
    def get_tasks():
        return {"talk": {}}

    @staticmethod
    def get_instructions(t):
        return "talk"

    @staticmethod
    def score(t, submission):
        return 1.0
"""
#: Prints for about ten seconds, some of it not UTF-8, and says at the end what it printed.
AGENT = f"""\
import hashlib, sys, time
digest = hashlib.sha256()
for number in range({LINES}):
    line = b"line %d \\xff\\x00" % number + b"x" * (number * 7 % 300) + b"\\n"
    digest.update(line)
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    time.sleep(0.05)
open("/home/agent/submission.txt", "w").write(digest.hexdigest())
"""
SUITE = """\
title: Talk
description: Agents that talk for a while.
tasks:
  - {task: talker/talk, agent: talker, limits: {memory_bytes: 128m, disk_bytes: 16m, cpus: 0.3}}
"""


class Servers:
    """Servers over one data folder, one after another."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.suites = folder / "suites"
        for path, text in {
            "families/talker/talker.py": FAMILY,
            "agents/talker/main.py": AGENT,
            "talk.yaml": SUITE,
        }.items():
            (self.suites / path).parent.mkdir(parents=True, exist_ok=True)
            (self.suites / path).write_text(text)
        self.log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.data / "server.json").unlink(missing_ok=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CRUCIBLE_")}
        settings = {
            "CRUCIBLE_DATA": str(self.data),
            "CRUCIBLE_SUITES": str(self.suites),
            "CRUCIBLE_PORT": "0",
            "CRUCIBLE_SLOTS": str(RUNS),
            "CRUCIBLE_GRACE_SECONDS": str(GRACE),
        }
        with self.log.open("ab") as output:
            crucible = str(Path(sys.executable).parent / "crucible")
            self.process = subprocess.Popen(
                [crucible, "serve"], env={**clean, **settings}, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
            )
        self.until(lambda: (self.data / "server.json").exists(), "the server starts")

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        found = json.loads((self.data / "server.json").read_text())
        headers = {"Authorization": f"Bearer {found['token']}"}
        answer = httpx.request(
            method, f"{found['url']}/api/v1{path}", headers=headers, timeout=30, trust_env=False, **options
        )
        answer.raise_for_status()
        return answer

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/runs").json()["runs"]
        return found

    def containers(self, *, alive: bool) -> list[str]:
        instance = (self.data / "instance").read_text().strip()
        argv = ["docker", "ps", "--quiet", "--filter", f"label=crucible.instance={instance}"]
        argv += [] if alive else ["--all"]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.split()

    def until(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, f"not reached: {what}\n{self.log.read_text()[-4000:]}"
            assert self.process is None or self.process.poll() is None, self.log.read_text()[-4000:]
            time.sleep(0.05)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path)
    servers.start()
    yield servers
    if servers.process is not None and servers.process.poll() is None:
        servers.process.terminate()
        servers.process.wait(40)
    assert servers.containers(alive=False) == []


def five_at_work(servers: Servers) -> None:
    servers.ask("POST", "/evaluations", json={"suite": "talk", "epochs": RUNS})
    servers.until(lambda: all(run["lines"] > 5 for run in servers.runs()), "five agents talk")
    assert len(servers.containers(alive=True)) == RUNS


@pytest.mark.timeout(240)
def test_a_server_that_returns_within_the_grace_adopts_all_five_and_no_byte_is_lost(servers: Servers) -> None:
    five_at_work(servers)
    for times in (1, 2):
        servers.kill()
        servers.start()
        servers.until(lambda times=times: all(adoptions(servers, run) == times for run in servers.runs()), "adopted")  # type: ignore[misc]
    servers.until(lambda: all(run["state"] == "ended" for run in servers.runs()), "all end")

    for run in servers.runs():
        assert (run["outcome"], run["lines"]) == ("succeeded", LINES), run["detail"]
        whole = servers.ask("GET", f"/runs/{run['id']}").json()
        lines = [json.loads(line) for line in servers.ask("GET", f"/runs/{run['id']}/output").text.splitlines()]
        assert [line["number"] for line in lines] == list(range(1, LINES + 1))
        assert hashlib.sha256(printed(lines)).hexdigest() == whole["submission"]
    assert servers.containers(alive=False) == []


def adoptions(servers: Servers, run: dict[str, Any]) -> int:
    events = servers.ask("GET", f"/runs/{run['id']}/events").json()["events"]
    return [each["kind"] for each in events].count("RunAdopted")


def printed(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(
        (base64.b64decode(line["base64"]) if "base64" in line else line["text"].encode())
        + (b"\n" if line["complete"] else b"")
        for line in lines
    )


@pytest.mark.timeout(240)
def test_without_a_server_every_agent_ends_after_the_grace_and_the_next_server_says_so(servers: Servers) -> None:
    five_at_work(servers)
    servers.kill()
    servers.process = None
    servers.until(lambda: servers.containers(alive=True) == [], "the keepers end everything")

    servers.start()
    servers.until(lambda: all(run["state"] == "ended" for run in servers.runs()), "all end")

    assert {run["outcome"] for run in servers.runs()} == {"lost"}
    assert all("longer than the grace" in run["detail"] for run in servers.runs())
    servers.until(lambda: servers.containers(alive=False) == [], "nothing is left")
