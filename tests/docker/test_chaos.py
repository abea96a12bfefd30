"""Server, warden, engine and runs are killed at random while ten runs go; afterwards everything is accounted for.

`--chaos-seconds` says for how long, `--chaos-seed` which schedule. A failure prints both and what was done.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import secrets
import signal
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docker.engine import Engine
from tests.docker.test_server_killed import Servers, printed
from tests.docker.test_warden import wardens

AT_WORK = 10
#: What may happen, and how often beside the others.
ACTS = {
    "kill server": 6,
    "kill server for longer than the grace": 1,
    "shut server down": 1,
    "kill warden": 6,
    "kill engine": 3,
    "kill engine and server": 1,
    "kill run": 6,
    "stop run": 8,
    "stop run and kill server": 4,
    "freeze run": 8,
    "freeze run and kill server": 3,
    "thaw run": 8,
}
GRACE = 5
#: Seconds all runs are given to come to their end when nothing is killed any more.
CALM = 150.0
#: Prints for some seconds, has a child that asks to be left alone, and says at the end what it printed.
AGENT = """\
import hashlib, os, random, signal, subprocess, sys, time
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.DEVNULL)
digest = hashlib.sha256()
for number in range(random.randrange(60, 300)):
    line = b"line %d \\xff\\x00" % number + b"x" * (number * 7 % 300) + b"\\n"
    digest.update(line)
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    time.sleep(0.05)
open("/home/agent/submission.txt", "w").write(digest.hexdigest())
"""
SUITE = """\
title: Chaos
description: Agents that talk while everything around them is killed.
tasks:
  - {task: talker/talk, agent: chatter, limits: {memory_bytes: 128m, disk_bytes: 16m, cpus: 0.3, wall_seconds: 120}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    at: float  #: seconds after the beginning
    name: str
    dice: float  #: 0 to 1: which of them, and for how long

    def __str__(self) -> str:
        return f"{self.at:6.1f} s  {self.name} ({self.dice:.3f})"


def schedule(seed: int, seconds: float) -> list[Act]:
    """The same for the same seed."""
    dice = random.Random(seed)
    acts, at = [], 4.0
    while at < seconds:
        (name,) = dice.choices(list(ACTS), weights=list(ACTS.values()))
        acts.append(Act(at=at, name=name, dice=dice.random()))
        at += dice.uniform(0.5, 4.0)
    return acts


class Witness(threading.Thread):
    """Looks at this machine's processes for agents of ours, and asks nobody: neither server nor engine."""

    def __init__(self, mark: str) -> None:
        super().__init__(daemon=True)
        self._mark = f"CRUCIBLE_MODEL={mark}".encode()
        self._over = threading.Event()
        self.seen_at: dict[int, float] = {}  #: run -> unix seconds when a process of its agent was last seen
        self.twice: list[tuple[int, float]] = []  #: runs with agents in two sandboxes at once

    def run(self) -> None:
        while not self._over.wait(0.1):
            at = time.time()
            for run, spaces in self.look().items():
                self.seen_at[run] = at
                if len(spaces) > 1:
                    self.twice.append((run, at))

    def look(self) -> dict[int, set[str]]:
        """Run -> the process namespaces its agent's processes live in."""
        found: dict[int, set[str]] = defaultdict(set)
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
                if self._mark in words:
                    run = next(word for word in words if word.startswith(b"CRUCIBLE_RUN="))
                    found[int(run.partition(b"=")[2])].add(os.readlink(f"/proc/{name}/ns/pid"))
        return found

    def end(self) -> None:
        self._over.set()
        self.join()


class Chaos:
    def __init__(self, servers: Servers, engine: Engine, mark: str) -> None:
        self.servers = servers
        self.engine = engine
        self.mark = mark
        self.told: list[str] = []
        self.answered: list[dict[str, Any]] = []  #: receipts that somebody was given

    def play(self, acts: list[Act]) -> None:
        begun = time.monotonic()
        for act in acts:
            while (early := begun + act.at - time.monotonic()) > 0:
                self._keep_at_work()
                time.sleep(min(early, 0.5))
            self.told.append(f"{act} at {time.monotonic() - begun:.1f} s, {time.strftime('%X')}")
            self._do(act)

    def _keep_at_work(self) -> None:
        runs = self._living()
        if len(runs) < AT_WORK:
            asked = {"suite": "chaos", "epochs": AT_WORK - len(runs), "model": self.mark}
            self._try("POST", "/evaluations", json=asked)

    def _living(self, state: str = "") -> list[dict[str, Any]]:
        states = [state] if state else ["queued", "starting", "running", "frozen", "stopping"]
        answer = self._try("GET", "/runs", params={"state": states, "limit": "1000"})
        return sorted(answer["runs"], key=lambda run: int(run["id"])) if answer else []

    def _do(self, act: Act) -> None:
        match act.name:
            case "kill server":
                self._server_away(act.dice * GRACE * 0.6)
            case "kill server for longer than the grace":
                self._server_away(GRACE + 1 + act.dice * GRACE)
            case "shut server down":
                assert self.servers.process is not None
                self.servers.process.terminate()
                self.servers.process.wait(60)
                self.servers.start()
            case "kill warden":
                for warden in wardens(self.servers):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(warden, signal.SIGKILL)
            case "kill engine":
                self.engine.kill()
                time.sleep(act.dice * 4)
                self.engine.start()
            case "kill engine and server":
                self.engine.kill()
                self.servers.kill()
                self.servers.process = None
                time.sleep(act.dice * 4)
                self.engine.start()
                self.servers.start()
            case "kill run":
                labelled = self.engine.containers(f"label=crucible.instance={self._instance}")
                if labelled and (pid := self.engine.pid(labelled[int(act.dice * len(labelled))])):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            case "stop run":
                self._ask_of_one(act, "stop", "")
            case "stop run and kill server":
                self._while_killed(act, "stop", "")
            case "freeze run and kill server":
                self._while_killed(act, "freeze", "running")
            case "freeze run":
                self._ask_of_one(act, "freeze", "running")
            case "thaw run":
                self._ask_of_one(act, "thaw", "frozen")

    def _server_away(self, seconds: float) -> None:
        self.servers.kill()
        self.servers.process = None
        time.sleep(seconds)
        self.servers.start()

    def _while_killed(self, act: Act, what: str, state: str) -> None:
        """The server dies in one of the awaits of it."""
        asking = threading.Thread(target=self._ask_of_one, args=(act, what, state))
        asking.start()
        time.sleep(act.dice * 0.15)
        self._server_away(0)
        asking.join()

    @property
    def _instance(self) -> str:
        return (self.servers.data / "instance").read_text().strip()

    def _ask_of_one(self, act: Act, what: str, state: str) -> None:
        if runs := self._living(state):
            run = runs[int(act.dice * len(runs))]
            answer = self._try("POST", f"/runs/{run['id']}/{what}", json={"text": act.name} if what != "thaw" else {})
            if answer and what == "stop":
                self.answered.append(answer["receipt"])

    def _try(self, method: str, path: str, **options: Any) -> Any:
        """None where the server is not in a state to do it; that it does not answer is part of the play."""
        try:
            return self.servers.ask(method, path, **options).json()
        except httpx.HTTPError:
            return None

    def come_to_rest(self) -> float:
        """Seconds until every run has its end, the last of them undisturbed."""
        begun = time.monotonic()
        self.servers.ask("POST", "/evaluations", json={"suite": "chaos", "epochs": 3, "model": self.mark})
        while runs := self._living():
            for run in runs:
                if run["state"] == "frozen":
                    self._try("POST", f"/runs/{run['id']}/thaw", json={})
            assert time.monotonic() - begun < CALM, f"without an end: {[describe(run) for run in runs]}"
            time.sleep(0.3)
        return time.monotonic() - begun


def describe(run: dict[str, Any]) -> str:
    return f"run {run['id']}: {run['state']} {run['phase']} {run['outcome']} {run['detail']}"


@pytest.fixture
def servers(tmp_path: Path, own_engine: Engine) -> Iterator[Servers]:
    servers = Servers(tmp_path, grace=GRACE, engine=own_engine.address, CRUCIBLE_SLOTS=str(AT_WORK))
    for path, text in {"agents/chatter/main.py": AGENT, "chaos.yaml": SUITE}.items():
        (servers.suites / path).parent.mkdir(parents=True, exist_ok=True)
        (servers.suites / path).write_text(text)
    servers.start()
    yield servers
    if servers.process is not None and servers.process.poll() is None:
        servers.process.terminate()
        servers.process.wait(60)


@pytest.mark.timeout(1200)
def test_whatever_is_killed_no_agent_is_left_and_no_record_is_wrong(
    servers: Servers, own_engine: Engine, request: pytest.FixtureRequest
) -> None:
    seconds, seed = request.config.getoption("chaos_seconds"), request.config.getoption("chaos_seed")
    mark = f"chaos-{secrets.token_hex(6)}"
    chaos, witness = Chaos(servers, own_engine, mark), Witness(mark)
    witness.start()
    try:
        chaos.play(schedule(seed, seconds))
        rest = chaos.come_to_rest()
        print_what_became_of(servers, chaos, rest)
        each_that_ended_by_itself_is_stored_byte_for_byte(servers)
        servers.until(lambda: servers.containers(alive=False) == [], "no container is left")
        assert servers.process is not None
        servers.process.terminate()
        servers.process.wait(60)
        witness.end()
        assert witness.look() == {}
        assert witness.twice == []
        with contextlib.closing(sqlite3.connect(servers.data / "crucible.db")) as record:
            record.row_factory = sqlite3.Row
            every_run_has_one_end_and_nothing_lived_after_it(record, witness)
            every_receipt_is_true(record, witness, chaos.answered)
            the_audit_knows_every_act(record)
    except BaseException:
        print(f"--chaos-seed {seed} --chaos-seconds {seconds}", *chaos.told, sep="\n")
        print(servers.log.read_text()[-20_000:])
        raise


def print_what_became_of(servers: Servers, chaos: Chaos, rest: float) -> None:
    found = servers.ask("GET", "/runs", params={"limit": "1000"}).json()["runs"]
    ends: dict[str, int] = defaultdict(int)
    for run in found:
        ends[f"{run['outcome']}: {re.sub('[0-9a-f]{4,}', '…', run['detail'])}"] += 1
    print(f"{len(chaos.told)} acts, {len(found)} runs, at rest after {rest:.0f} s")
    print(*(f"{count:4d} {end}" for end, count in sorted(ends.items())), sep="\n")


def each_that_ended_by_itself_is_stored_byte_for_byte(servers: Servers) -> None:
    found = servers.ask("GET", "/runs", params={"limit": "1000"}).json()["runs"]
    succeeded = [run for run in found if run["outcome"] == "succeeded"]
    assert succeeded, "none ended by itself"
    for run in succeeded:
        whole = servers.ask("GET", f"/runs/{run['id']}").json()
        lines = [json.loads(line) for line in servers.ask("GET", f"/runs/{run['id']}/output").text.splitlines()]
        assert [line["number"] for line in lines] == list(range(1, run["lines"] + 1))
        assert hashlib.sha256(printed(lines)).hexdigest() == whole["submission"], describe(run)


def every_run_has_one_end_and_nothing_lived_after_it(record: sqlite3.Connection, witness: Witness) -> None:
    for run in record.execute("SELECT * FROM runs LEFT JOIN progress ON progress.run = runs.id").fetchall():
        rows = record.execute("SELECT * FROM events WHERE run = ? ORDER BY seq", (run["id"],)).fetchall()
        ends = [row for row in rows if json.loads(row["data"])["event"] == "RunEnded"]
        where = f"run {run['id']}: {run['outcome']} {run['detail']}"
        assert (run["state"], len(ends)) == ("ended", 1), where
        assert ends[0]["line"] == run["lines"], f"{where}: its end is at line {ends[0]['line']} of {run['lines']}"
        assert witness.seen_at.get(run["id"], 0.0) <= run["ended_at"], f"{where}: its agent was seen after its end"


def every_receipt_is_true(record: sqlite3.Connection, witness: Witness, answered: list[dict[str, Any]]) -> None:
    receipts = record.execute("SELECT * FROM receipts").fetchall()
    assert {one["id"] for one in answered if one["id"]} <= {row["id"] for row in receipts}
    for row in receipts:
        assert row["dead_ms"] is not None, f"receipt {row['id']} of run {row['run']} has no proof"
        dead_at = row["received_at"] + row["dead_ms"] / 1000
        assert witness.seen_at.get(row["run"], 0.0) <= dead_at + 0.05, f"run {row['run']} was seen after its receipt"
        end = record.execute("SELECT outcome, detail FROM runs WHERE id = ?", (row["run"],)).fetchone()
        told = f"receipt {row['id']} ({row['actor']}): run {row['run']} {end['outcome']} {end['detail']}"
        assert end["outcome"] in {"stopped", "cancelled"} or not row["changed"], told


def the_audit_knows_every_act(record: sqlite3.Connection) -> None:
    told = {(row["action"], row["subject"]) for row in record.execute("SELECT * FROM audit")}
    for row in record.execute("SELECT run FROM receipts"):
        assert ("run.stop", f"run {row['run']}") in told
    for kind, action in (("RunFroze", "run.freeze"), ("RunThawed", "run.thaw")):
        for row in record.execute("SELECT run, data FROM events"):
            if json.loads(row["data"])["event"] == kind:
                assert (action, f"run {row['run']}") in told, f"{kind} of run {row['run']}"
