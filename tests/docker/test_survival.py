"""What becomes of five agents at work when the server is upgraded, the engine killed, the machine started anew."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.engine import Engine
from tests.docker.test_server_killed import LINES, RUNS, Servers, adoptions, five_at_work, printed
from tests.docker.test_warden import wardens

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path, grace=20, CRUCIBLE_LEAVE_RUNNING="1")
    servers.start()
    yield servers
    with closed(servers):
        pass


@pytest.fixture
def own_servers(tmp_path: Path, own_engine: Engine) -> Iterator[Servers]:
    """Servers whose engine may be killed."""
    if not own_engine.running:
        own_engine.start()
    servers = Servers(tmp_path, grace=20, engine=own_engine.address)
    servers.start()
    yield servers
    if not own_engine.running:
        own_engine.start()
    with closed(servers):
        pass


@contextlib.contextmanager
def closed(servers: Servers) -> Iterator[None]:
    """Afterwards nothing of it is left."""
    if servers.process is not None and servers.process.poll() is None:
        for run in servers.runs():
            servers.ask("POST", f"/runs/{run['id']}/stop", json={"wait": True})
        servers.process.terminate()
        servers.process.wait(60)
    yield
    assert servers.containers(alive=False) == []


def all_ended(servers: Servers) -> bool:
    return all(run["state"] == "ended" for run in servers.runs())


def processes(servers: Servers, run: int) -> list[int]:
    """Those of the run's agent on this machine, asked of the kernel: argument, environment, nothing of an engine."""
    found = []
    marks = {f"CRUCIBLE_RUN={run}".encode(), b"CRUCIBLE_MODEL=" + str(servers.data).encode()}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if marks <= set(Path(f"/proc/{name}/environ").read_bytes().split(b"\0")):
                found.append(int(name))
    return found


def marked_at_work(servers: Servers) -> None:
    servers.ask("POST", "/evaluations", json={"suite": "talk", "epochs": RUNS, "model": str(servers.data)})
    servers.until(lambda: all(run["lines"] > 5 for run in servers.runs()), "five agents talk")


def test_an_upgrade_leaves_the_agents_at_work_and_the_next_server_goes_on_at_the_last_byte(servers: Servers) -> None:
    five_at_work(servers)
    assert servers.process is not None
    servers.process.send_signal(signal.SIGTERM)
    assert servers.process.wait(60) == 0
    assert len(servers.containers(alive=True)) == RUNS

    servers.start()
    servers.until(lambda: all_ended(servers), "all come to their end")
    for run in servers.runs():
        assert (run["outcome"], run["lines"]) == ("succeeded", LINES), run["detail"]
        assert adoptions(servers, run) == 1
        lines = [json.loads(line) for line in servers.ask("GET", f"/runs/{run['id']}/output").text.splitlines()]
        submission = servers.ask("GET", f"/runs/{run['id']}").json()["submission"]
        assert hashlib.sha256(printed(lines)).hexdigest() == submission


def test_with_the_engine_dead_a_stop_ends_the_agent_and_is_proven_when_the_engine_is_back(
    own_servers: Servers, own_engine: Engine
) -> None:
    marked_at_work(own_servers)
    assert processes(own_servers, 1)
    own_engine.kill()

    receipt = own_servers.ask("POST", "/runs/1/stop", json={"text": "no engine"}).json()["receipt"]
    own_servers.until(lambda: processes(own_servers, 1) == [], "the kernel ended it")
    assert receipt["dead_ms"] is None  # Not before it was read that the container is gone too.

    own_engine.start()
    begun = time.monotonic()
    own_servers.until(lambda: all_ended(own_servers), "every run has its end")
    print(f"all ended {time.monotonic() - begun:.1f} s after the engine answered")
    ended: dict[int, dict[str, Any]] = {run["id"]: run for run in own_servers.runs()}
    assert ended.pop(1)["outcome"] == "stopped"
    (proven,) = own_servers.ask("GET", "/runs/1").json()["receipts"]
    assert proven["dead_ms"] is not None
    for run in ended.values():
        assert run["outcome"] == "lost", run["detail"]
        assert "the container engine" in run["detail"]
    assert own_servers.containers(alive=False) == []


def test_after_a_start_of_the_machine_every_run_says_so_and_nothing_is_left(
    own_servers: Servers, own_engine: Engine
) -> None:
    marked_at_work(own_servers)
    for warden in wardens(own_servers):
        os.kill(warden, signal.SIGKILL)
    own_servers.kill()
    own_servers.process = None
    own_engine.reboot()
    assert not any(processes(own_servers, run) for run in range(1, RUNS + 1))
    (own_servers.data / "boot").write_text("another\n")

    own_engine.start()
    own_servers.start()
    begun = time.monotonic()
    own_servers.until(lambda: all_ended(own_servers), "every run has its end")
    print(f"all ended {time.monotonic() - begun:.1f} s after the server answered")
    assert {run["outcome"] for run in own_servers.runs()} == {"lost"}
    assert all("the machine was started anew" in run["detail"] for run in own_servers.runs())
    assert own_servers.containers(alive=False) == []
