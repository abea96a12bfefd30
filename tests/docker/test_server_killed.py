"""The server killed with -9 in the middle of five runs: adopted without a lost byte, or gone."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
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
#: Where a server has to be back in time, however busy the machine is.
LONG_GRACE = 60
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


#: Prints binary noise, endings without a newline and lines of every length as fast as it is taken.
FLOOD_BYTES = 48 * 1024 * 1024
FLOOD = f"""\
import hashlib, os, random
dice, digest, left = random.Random(5), hashlib.sha256(), {FLOOD_BYTES}
noise = dice.randbytes(1 << 20).replace(b"\\n", b" ")
while left:
    text = bytearray()
    while len(text) < 60_000:
        start, size = dice.randrange(1 << 19), dice.choice((0, 1, 80, 100, 120, 3000))
        text += noise[start : start + size] + (b"\\n" if dice.random() < 0.9 else b"\\r\\xe2\\x80\\xa8")
    text = bytes(text[:left])
    digest.update(text)
    left -= len(text)
    while text:
        text = text[os.write(1, text):]
open("/home/agent/submission.txt", "w").write(digest.hexdigest())
"""
FLOOD_SUITE = """\
title: Flood
description: An agent that prints without a pause.
tasks:
  - {task: talker/talk, agent: flooder, limits: {memory_bytes: 128m, disk_bytes: 16m, output_bytes: 128m}}
"""
#: Says so while it is set up, and takes a while for it.
SLOW = (
    FAMILY
    + """
    @staticmethod
    def start(t):
        import time
        print("setting up", flush=True)
        time.sleep(8)
"""
)
SLOW_SUITE = """\
title: Slow
description: A task that is long in its setup.
tasks:
  - {task: slow/talk, agent: quick, limits: {memory_bytes: 128m, disk_bytes: 16m}}
"""
QUICK = 'open("/home/agent/submission.txt", "w").write("done")\n'
LINK = re.compile(r"/welcome/\S+")


class Servers:
    """Servers over one data folder, one after another."""

    def __init__(self, folder: Path, *, grace: int = GRACE, engine: str = "", **settings: str) -> None:
        """`engine`: its address, where it is not the one of all tests. `settings`: more of them, by variable."""
        self.grace = grace
        self.engine = engine
        self.settings = settings
        self.data = folder / "data"
        self.suites = folder / "suites"
        for path, text in {
            "families/talker/talker.py": FAMILY,
            "agents/talker/main.py": AGENT,
            "talk.yaml": SUITE,
            "agents/flooder/main.py": FLOOD,
            "flood.yaml": FLOOD_SUITE,
            "families/slow/slow.py": SLOW,
            "agents/quick/main.py": QUICK,
            "slow.yaml": SLOW_SUITE,
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
            "CRUCIBLE_GRACE_SECONDS": str(self.grace),
            "CRUCIBLE_DOCKER_HOST": self.engine,
            **self.settings,
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

    @contextlib.contextmanager
    def person(self) -> Iterator[httpx.Client]:
        """A browser that has signed in."""
        crucible = str(Path(sys.executable).parent / "crucible")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CRUCIBLE_")}
        made = subprocess.run(
            [crucible, "sign-in-link"],
            env={**clean, "CRUCIBLE_DATA": str(self.data)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        found = LINK.search(made.stdout)
        assert found is not None, made.stdout
        url = json.loads((self.data / "server.json").read_text())["url"]
        headers = {"Sec-Fetch-Site": "same-origin"}
        with httpx.Client(base_url=url, timeout=60, trust_env=False, headers=headers) as browser:
            word = "a flood of forty-eight"
            answer = browser.post(found[0], data={"password": word, "again": word})
            assert answer.status_code == 303, answer.text
            yield browser

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/runs").json()["runs"]
        return found

    def containers(self, *, alive: bool) -> list[str]:
        instance = (self.data / "instance").read_text().strip()
        host = ["--host", self.engine] if self.engine else []
        argv = ["docker", *host, "ps", "--quiet", "--filter", f"label=crucible.instance={instance}"]
        argv += [] if alive else ["--all"]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.split()

    def images(self) -> list[str]:
        """Those of its runs."""
        instance = (self.data / "instance").read_text().strip()
        host = ["--host", self.engine] if self.engine else []
        argv = ["docker", *host, "images", "--quiet", f"crucible-run/{instance}"]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.split()

    def runs_with_a_container(self) -> set[str]:
        """Ids of the runs that have a container in any state; a probe of a runtime is none."""
        known = {str(run["id"]) for run in self.runs()}
        told = subprocess.run(
            ["docker", "inspect", "--format", '{{index .Config.Labels "crucible.run"}}', *self.containers(alive=False)],
            capture_output=True,
            text=True,
            timeout=30,
        )  # One that has just gone is an error and no container.
        return known & set(told.stdout.split())

    def until(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, f"not reached: {what}\n{self.log.read_text()[-4000:]}"
            assert self.process is None or self.process.poll() is None, self.log.read_text()[-4000:]
            time.sleep(0.05)


@pytest.fixture
def servers(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Servers]:
    servers = Servers(tmp_path, grace=getattr(request, "param", GRACE))
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
@pytest.mark.parametrize("servers", [LONG_GRACE], indirect=True)
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


@pytest.mark.timeout(240)
@pytest.mark.parametrize("servers", [LONG_GRACE], indirect=True)
def test_what_is_downloaded_is_what_was_printed_though_the_server_was_killed_three_times_in_mid_flood(
    servers: Servers,
) -> None:
    servers.ask("POST", "/evaluations", json={"suite": "flood"})
    servers.until(lambda: bool(servers.runs()), "it is queued")
    for times, share in ((1, 0.1), (2, 0.35), (3, 0.6)):
        servers.until(lambda share=share: servers.runs()[0]["bytes"] > share * FLOOD_BYTES, "it floods")  # type: ignore[misc]
        assert servers.runs()[0]["bytes"] < FLOOD_BYTES
        servers.kill()
        servers.start()
        servers.until(lambda times=times: adoptions(servers, servers.runs()[0]) == times, "adopted")  # type: ignore[misc]
    servers.until(lambda: servers.runs()[0]["state"] == "ended", "it ends")

    (run,) = servers.runs()
    assert (run["outcome"], run["bytes"]) == ("succeeded", FLOOD_BYTES), run["detail"]
    digest = hashlib.sha256()
    with servers.person() as browser, browser.stream("GET", f"/runs/{run['id']}/output.txt") as file:
        assert file.status_code == 200
        for piece in file.iter_bytes():
            digest.update(piece)
    assert digest.hexdigest() == servers.ask("GET", f"/runs/{run['id']}").json()["submission"]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("servers", [LONG_GRACE], indirect=True)
def test_a_run_whose_setup_a_server_did_not_survive_is_begun_anew_and_comes_to_its_own_end(servers: Servers) -> None:
    servers.ask("POST", "/evaluations", json={"suite": "slow"})
    servers.until(lambda: any(run["lines"] for run in servers.runs()), "it is being set up")
    (before,) = servers.containers(alive=True)
    servers.kill()
    servers.start()
    servers.until(lambda: before not in servers.containers(alive=False), "what is left of it is gone")
    servers.until(lambda: servers.runs()[0]["state"] == "ended", "it ends")

    (run,) = servers.runs()
    assert run["outcome"] == "succeeded", run["detail"]
    assert run["score"]["value"] == 1.0
    told = servers.ask("GET", f"/runs/{run['id']}/events").json()["events"]
    kinds = [each["kind"] for each in told]
    begun = kinds.index("RunBegunAnew")
    assert told[begun]["facts"] == {"why": "the server ended during its setup"}
    assert "SandboxRemoved" in kinds[:begun]
    assert servers.containers(alive=False) == []
    assert servers.images() == []


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


@pytest.mark.timeout(240)
@pytest.mark.parametrize("servers", [LONG_GRACE], indirect=True)
def test_what_is_stopped_in_a_servers_first_moments_is_dead_and_never_adopted(servers: Servers) -> None:
    five_at_work(servers)
    evaluation = servers.runs()[0]["evaluation"]
    servers.kill()
    servers.start()
    told = servers.ask("POST", f"/evaluations/{evaluation}/stop", json={"wait": True}).json()["receipts"]

    assert servers.runs_with_a_container() == set()
    assert len(told) == RUNS
    for receipt in told:
        assert receipt["changed"]
        assert receipt["dead_ms"] is not None
        assert receipt["steps"]
    servers.until(lambda: all(run["state"] == "ended" for run in servers.runs()), "all end")
    assert {run["outcome"] for run in servers.runs()} == {"stopped"}
    assert all(adoptions(servers, run) == 0 for run in servers.runs())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("servers", [LONG_GRACE], indirect=True)
def test_what_a_server_without_a_warden_finds_under_the_latch_is_stopped_by_it(servers: Servers) -> None:
    servers.kill()
    servers.settings["CRUCIBLE_WARDEN"] = "0"
    servers.start()
    five_at_work(servers)
    servers.kill()
    (servers.data / "STOP").write_text("smoke in the rack")
    servers.start()
    servers.until(lambda: all(run["state"] == "ended" for run in servers.runs()), "all end")

    assert servers.runs_with_a_container() == set()
    for run in servers.runs():
        assert (run["outcome"], run["detail"]) == ("emergency_stopped", "stopped by operator file: smoke in the rack")
        (receipt,) = servers.ask("GET", f"/runs/{run['id']}").json()["receipts"]
        assert (receipt["path"], receipt["changed"]) == ("file", True)
        assert receipt["dead_ms"] is not None
        assert adoptions(servers, run) == 0
