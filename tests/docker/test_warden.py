"""The warden beside a real server on a real engine: it works while the server hangs, and when it is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox_runner import warden_socket
from tests.docker.test_server_killed import RUNS, Servers, five_at_work

pytestmark = pytest.mark.timeout(240)


#: Seconds of silence that no slow machine reaches by itself.
LONG = 120


@pytest.fixture(params=[LONG])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path, grace=request.param)
    servers.start()
    yield servers
    if servers.process is not None and servers.process.poll() is None:
        servers.process.send_signal(signal.SIGCONT)
        servers.process.terminate()
        servers.process.wait(40)
    assert servers.containers(alive=False) == []
    servers.process = None
    servers.until(lambda: not wardens(servers), "no warden is left behind")


def wardens(servers: Servers) -> list[int]:
    """Processes of this folder's warden."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"sandbox_runner.warden_process" in words and str(servers.data).encode() in words:
            found.append(int(name))
    return found


def journal(servers: Servers, what: str) -> list[Any]:
    """Every line's `what`, of those that have it."""
    lines = [json.loads(line) for line in (servers.data / "warden.jsonl").read_text().splitlines()]
    return [line[what] for line in lines if what in line]


def crucible(servers: Servers, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRUCIBLE_")}
    program = str(Path(sys.executable).parent / "crucible")
    settings = {"CRUCIBLE_DATA": str(servers.data)}
    return subprocess.run([program, *arguments], env={**clean, **settings}, capture_output=True, text=True, timeout=60)


def proven(servers: Servers) -> bool:
    path = servers.ask("GET", "/health").json()["stop_path"]
    return bool(path["proven"] and path["warden"] and not path["problem"])


def host_alerts(servers: Servers) -> list[tuple[str, str]]:
    found = servers.ask("GET", "/alerts").json()["alerts"]
    return [(each["rule"], each["status"]) for each in found if each["run"] is None and each["rule"] == "warden-died"]


def test_a_hanging_server_is_no_obstacle_and_records_the_stops_when_it_goes_on(servers: Servers) -> None:
    five_at_work(servers)
    servers.until(lambda: proven(servers), "the stop path is proven through the warden")
    assert servers.process is not None
    servers.process.send_signal(signal.SIGSTOP)

    one = crucible(servers, "stop", "1", "--reason", "odd")
    assert one.returncode == 0, one.stderr
    assert "run 1: agent" in one.stdout
    assert len(servers.containers(alive=True)) == RUNS - 1
    rest = warden_socket.ask(servers.data, {"do": "stop", "what": "evaluation", "number": 1, "actor": "eve"}, within=30)
    assert {each["run"] for each in rest["ended"]} == {"2", "3", "4", "5"}
    assert servers.containers(alive=False) == []

    servers.process.send_signal(signal.SIGCONT)
    servers.until(lambda: all(run["state"] == "ended" for run in servers.runs()), "the server records the ends")
    for run in servers.runs():
        assert run["outcome"] == "stopped", run["detail"]
        receipts = servers.ask("GET", f"/runs/{run['id']}").json()["receipts"]
        assert all(receipt["dead_ms"] is not None for receipt in receipts)
        assert {receipt["path"] for receipt in receipts} <= {"cli", "socket"}
        ended = next(each for each in journal(servers, "ended") if each["run"] == str(run["id"]))
        assert receipts[0]["dead_ms"] == ended["gone_ms"], "as the warden did it, and not when the server went on"
        assert [[step["name"], step["ms"]] for step in receipts[0]["steps"]] == ended["steps"]


def test_a_signal_and_the_file_stop_everything_and_hold_the_queue_over_a_restart(servers: Servers) -> None:
    five_at_work(servers)
    assert servers.process is not None
    servers.process.send_signal(signal.SIGUSR1)
    servers.until(lambda: all(run["state"] == "ended" for run in servers.runs()), "everything is stopped")
    assert {run["outcome"] for run in servers.runs()} == {"emergency_stopped"}
    assert servers.ask("GET", "/health").json()["hold"]["actor"] == "signal"
    servers.ask("POST", "/release", json={"text": "seen"})
    assert not (servers.data / "STOP").exists()

    servers.kill()
    (servers.data / "STOP").write_text("smoke in the room")
    servers.start()
    servers.ask("POST", "/evaluations", json={"suite": "talk", "epochs": 1})
    assert servers.ask("GET", "/health").json()["hold"]["text"] == "smoke in the room"
    time.sleep(1)  # A queue that is held has nothing to wait for.
    assert servers.runs_with_a_container() == set()


def test_what_a_server_finds_under_the_file_is_stopped_with_a_receipt_though_its_warden_strikes_too(
    servers: Servers,
) -> None:
    five_at_work(servers)
    (warden,) = wardens(servers)
    servers.kill()
    os.kill(warden, signal.SIGKILL)
    (servers.data / "STOP").write_text("smoke in the room")
    servers.start()
    servers.until(lambda: all(run["state"] == "ended" for run in servers.runs()), "everything is stopped")

    assert servers.runs_with_a_container() == set()
    for run in servers.runs():
        assert (run["outcome"], run["detail"]) == ("emergency_stopped", "stopped by operator file: smoke in the room")
        (receipt,) = servers.ask("GET", f"/runs/{run['id']}").json()["receipts"]
        assert (receipt["path"], receipt["changed"]) == ("file", True)
        assert receipt["dead_ms"] is not None
        assert receipt["steps"]


@pytest.mark.parametrize("servers", [6], indirect=True)
def test_a_frozen_run_of_a_dead_server_does_not_stay_for_ever(servers: Servers) -> None:
    """Its keeper stands still with it and cannot count the grace; the warden can."""
    five_at_work(servers)
    servers.ask("POST", "/runs/1/freeze", json={"text": "look"})
    servers.kill()
    servers.process = None

    servers.until(lambda: servers.containers(alive=False) == [], "the warden ends what is left")
    servers.until(lambda: not wardens(servers), "and then itself")
    assert journal(servers, "path")[0] == "silence"


def test_a_dead_warden_is_replaced_and_panic_works_without_one(servers: Servers) -> None:
    servers.until(lambda: proven(servers), "the stop path is proven")
    (first,) = wardens(servers)
    os.kill(first, signal.SIGKILL)
    servers.until(lambda: wardens(servers) not in ([], [first]), "another warden stands")
    servers.until(lambda: proven(servers), "and is proven")
    servers.until(lambda: host_alerts(servers) == [("warden-died", "resolved")], "its death was an alert until then")
    five_at_work(servers)
    servers.kill()
    servers.process = None
    (second,) = wardens(servers)
    os.kill(second, signal.SIGKILL)

    done = crucible(servers, "panic", "--reason", "no server, no warden")

    assert done.returncode == 0, done.stderr
    assert "No warden answers" in done.stdout
    assert servers.containers(alive=False) == []
    assert "no server, no warden" in (servers.data / "STOP").read_text()
