"""From the press of STOP to the last process gone, beside `docker kill` of the same containers in the same run.

    .venv/bin/python -m benchmarks.stop [--times 20] [--only idle,flood] [--runtime runsc]

A real server and engine, in a data folder of their own. Each case starts runs four at a time; the first two of each
four are stopped by POST, the others by `docker kill`, one after another. The clock starts before the request or the
command, and ends when the kernel has no process of the container. Needs the base image; see scripts/bootstrap.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker

from sandbox_runner import cgroups, warden_socket
from sandbox_runner.cgroups import ContainerCgroup

ROOT = Path(__file__).resolve().parents[1]
FAMILY = """\
class TaskFamily:
    @staticmethod
    def get_tasks():
        return {"t": {}}

    @staticmethod
    def get_instructions(t):
        return "be there"

    @staticmethod
    def score(t, submission):
        return 1.0
"""
REFUSING = "import signal\nfor n in set(range(1, 65)) - {9, 19, 32, 33}: signal.signal(n, signal.SIG_IGN)\n"
AGENTS = {
    "idle": "import time\nprint('ready', flush=True)\ntime.sleep(9999)\n",
    "spinning": "import os\nfor _ in range(2): os.fork()\nprint('ready', flush=True)\nwhile True: pass\n",
    "processes": "import os, time\nfor _ in range(499):\n    if os.fork() == 0: time.sleep(9999)\n"
    "print('ready', flush=True)\ntime.sleep(9999)\n",
    "forkbomb": REFUSING + "import os, time\nprint('ready', flush=True)\nwhile True:\n    try: os.fork()\n"
    "    except OSError: time.sleep(0.001)\n",
    "flood": "import os\nwhile True: os.write(1, b'\\n' * 65536)\n",
    "talking": "import time\nwhile True:\n    print('ten times a second', flush=True)\n    time.sleep(0.1)\n",
    "collecting": "import os\nfor n in range(40): open(f'/home/agent/{n}', 'wb').write(os.urandom(1 << 20))\n"
    "print('ready', flush=True)\n",
}
#: Case -> (agent, its limits).
CASES = {
    "idle": ("idle", {}),
    "spinning": ("spinning", {"cpus": 0.25}),
    "500 processes": ("processes", {"pids": 600}),
    "fork bomb": ("forkbomb", {"pids": 128, "cpus": 0.25}),
    "newline flood": ("flood", {"cpus": 0.25}),
    "frozen": ("spinning", {"cpus": 0.25}),
    "stalled reader": ("flood", {"cpus": 0.25}),
    "collecting": ("collecting", {"cpus": 0.25}),
    "watched": ("talking", {}),
}
TARGETS = {"idle": 100, "spinning": 250, "500 processes": 250}


class Server:
    """A Crucible of this benchmark's own."""

    def __init__(self, folder: Path, *, slots: int, runtime: str) -> None:
        self.data = folder / "data"
        suites = folder / "suites"
        _write(suites / "families/bench/bench.py", FAMILY)
        for name, code in AGENTS.items():
            _write(suites / f"agents/{name}/main.py", code)
        for case, (agent, limits) in CASES.items():
            small = {"memory_bytes": "192m", "disk_bytes": "64m", "wall_seconds": "30m", **limits}
            suite = {
                "title": case,
                "description": case,
                "tasks": [{"task": "bench/t", "agent": agent, "limits": small}],
            }
            _write(suites / f"{_suite(case)}.yaml", json.dumps(suite))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CRUCIBLE_")}
        settings = {"DATA": self.data, "SUITES": suites, "PORT": 0, "SLOTS": slots, "GRACE_SECONDS": 120}
        settings |= {"RUNTIME": runtime} if runtime else {}
        self.process = subprocess.Popen(
            [str(Path(sys.executable).parent / "crucible"), "serve", "--log-level", "error"],
            env={**clean, **{f"CRUCIBLE_{name}": str(value) for name, value in settings.items()}},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        _until(lambda: (self.data / "server.json").exists(), "the server starts")
        found = json.loads((self.data / "server.json").read_text())
        self.token, self.netloc = found["token"], urlsplit(found["url"]).netloc
        self.instance = (self.data / "instance").read_text().strip()
        self.engine = docker.APIClient(**docker.utils.kwargs_from_env(), version="auto")

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        self.engine.close()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        connection = http.client.HTTPConnection(self.netloc, timeout=120)
        try:
            sent = json.dumps(body or {}) if method == "POST" else None
            connection.request(method, f"/api/v1{path}", sent, headers)
            answer = connection.getresponse()
            data = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {data}")
        return data

    def start(self, case: str, count: int) -> list[int]:
        """So many runs of the case, each at work."""
        made = self.ask("POST", "/evaluations", {"suite": _suite(case), "epochs": count})
        runs = sorted(run["id"] for run in made["runs"])
        _until(lambda: all(self._at_work(run) for run in runs), f"{count} runs of {case} are at work", within=300)
        return runs

    def _at_work(self, run: int) -> bool:
        found = self.ask("GET", f"/runs/{run}")
        if found["state"] == "ended":
            raise RuntimeError(f"run {run} ended: {found['outcome']} {found['detail']}")
        return bool(found["lines"])

    def container(self, run: int, role: str = "agent") -> tuple[str, ContainerCgroup]:
        labels = [f"crucible.instance={self.instance}", f"crucible.run={run}", f"crucible.role={role}"]
        (found,) = self.engine.containers(filters={"label": labels})
        cgroup = cgroups.locate(self.engine.inspect_container(found["Id"])["State"]["Pid"], found["Id"])
        assert cgroup is not None, "this benchmark reads the kernel of the machine it runs on"
        return found["Id"], cgroup

    def stream_of(self, run: int) -> str:
        """The request that opens a run's stream."""
        head = f"Host: {self.netloc}\r\nAuthorization: Bearer {self.token}"
        return f"GET /api/v1/runs/{run}/stream HTTP/1.1\r\n{head}\r\n\r\n"

    def nothing_left(self) -> bool:
        live = self.ask("GET", "/health")["counts"]
        return not any(live.values())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _suite(case: str) -> str:
    return case.replace(" ", "-")


def _until(true: Callable[[], bool], what: str, within: float = 60.0) -> None:
    end = time.monotonic() + within
    while not true():
        if time.monotonic() > end:
            raise SystemExit(f"not reached: {what}")
        time.sleep(0.01)


def until_gone(act: Callable[[], object], *groups: ContainerCgroup) -> float:
    """Milliseconds from the act to the last process gone. The act goes on in a thread of its own."""
    acting = threading.Thread(target=act)
    begun = time.monotonic()
    acting.start()
    for group in groups:
        while group.procs():
            if time.monotonic() - begun > 60:
                raise SystemExit("not dead after 60 s")
            time.sleep(0.0005)
    took = (time.monotonic() - begun) * 1000
    acting.join()
    return took


def one(server: Server, case: str, run: int, *, ours: bool) -> float:
    """One stop of a run that is at work."""
    if case == "collecting":  # The agent ends when it is let go on; what follows is the collection.
        _until(lambda: "agent" in _operations(server, run), "the agent ends")
    name, cgroup = server.container(run)
    if case == "frozen":
        server.ask("POST", f"/runs/{run}/freeze")
    if case == "fork bomb":
        _until(lambda: len(cgroup.procs()) > 80, "the bomb goes off")
    with stalled_readers(server, run) if case == "stalled reader" else contextlib.nullcontext():
        if ours:
            return until_gone(lambda: server.ask("POST", f"/runs/{run}/stop"), cgroup)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return until_gone(lambda: subprocess.run(["docker", "kill", name], check=False, **quiet), cgroup)


def _operations(server: Server, run: int) -> list[str]:
    events = server.ask("GET", f"/runs/{run}/events?limit=1000")["events"]
    return [each["facts"].get("name", "") for each in events if each["kind"] == "OperationEnded"]


@contextlib.contextmanager
def stalled_readers(server: Server, run: int, count: int = 8) -> Iterator[None]:
    """Viewers that ask for the run's stream and never read it."""
    host, _, port = server.netloc.partition(":")
    ask = server.stream_of(run)
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            viewer = stack.enter_context(socket.create_connection((host, int(port))))
            viewer.sendall(ask.encode())
        time.sleep(0.3)
        yield


def measure(server: Server, case: str, times: int) -> tuple[list[float], list[float]]:
    """Ours and docker's, in milliseconds."""
    found: tuple[list[float], list[float]] = ([], [])
    at_once = 1 if case == "collecting" else 4
    while min(map(len, found)) < times:
        for place, run in enumerate(server.start(case, at_once)):
            ours = len(found[0]) <= len(found[1]) if at_once == 1 else place % 2 == 0
            found[0 if ours else 1].append(one(server, case, run, ours=ours))
        _until(server.nothing_left, "everything ends")
    return found


def tell(case: str, ours: list[float], reference: list[float]) -> None:
    target = TARGETS.get(case, 1000)
    ratio = statistics.median(ours) / statistics.median(reference)
    print(
        f"{case:<16} n={len(ours):<3} p50 {_at(ours, 50):7.1f}  p95 {_at(ours, 95):7.1f} ms (target {target})   "
        f"docker kill p50 {_at(reference, 50):7.1f}  p95 {_at(reference, 95):7.1f}   ratio of medians {ratio:.2f}",
        flush=True,
    )


def _at(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


def stop_all(server: Server, runs: int, rounds: int) -> None:
    """STOP ALL by POST with so many runs at work."""
    took = []
    for _ in range(rounds):
        groups = [server.container(run)[1] for run in server.start("idle", runs)]
        took.append(until_gone(lambda: server.ask("POST", "/stop-all", {"text": "benchmark"}), *groups))
        _until(server.nothing_left, "everything ends")
        server.ask("POST", "/release", {"text": "benchmark"})
    print(
        f"STOP ALL, {runs} runs  n={rounds}  p50 {_at(took, 50):.1f}  p95 {_at(took, 95):.1f} ms (target 1500)",
        flush=True,
    )


def hanging(server: Server, viewers: int, times: int) -> None:
    """By the warden's socket, while many watch and the whole server stands still for 500 ms."""
    took, pid = [], server.process.pid
    while len(took) < times:
        for run in server.start("watched", 4):
            _, group = server.container(run)
            with watching(server, run, viewers):
                os.kill(pid, signal.SIGSTOP)
                going = threading.Timer(0.5, lambda: os.kill(pid, signal.SIGCONT))
                going.start()
                order = {"do": "stop", "what": "run", "number": run, "actor": "benchmark"}
                took.append(until_gone(lambda order=order: warden_socket.ask(server.data, order, within=60), group))  # type: ignore[misc]
                going.join()
        _until(server.nothing_left, "everything ends")
    print(
        f"server stands still for 500 ms, {viewers} viewers, by the warden  n={len(took)}  p50 {_at(took, 50):.1f}  "
        f"p95 {_at(took, 95):.1f} ms (target 1000)",
        flush=True,
    )


@contextlib.contextmanager
def watching(server: Server, run: int, count: int) -> Iterator[None]:
    """Viewers that read all they are sent."""
    code = (
        "import asyncio, sys\n"
        "async def one(host, port, ask):\n"
        "    reader, writer = await asyncio.open_connection(host, port)\n"
        "    writer.write(ask)\n"
        "    while await reader.read(65536): pass\n"
        "async def main(host, port, ask, count):\n"
        "    await asyncio.gather(*(one(host, port, ask.encode()) for _ in range(count)), return_exceptions=True)\n"
        "asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))\n"
    )
    host, _, port = server.netloc.partition(":")
    ask = server.stream_of(run)
    process = subprocess.Popen([sys.executable, "-c", code, host, port, ask, str(count)])
    try:
        _until(lambda: server.ask("GET", "/health")["streams"] >= count * 0.95, f"{count} viewers watch")
        yield
    finally:
        process.kill()
        process.wait()


def freezes(server: Server, times: int) -> None:
    """Frozen is said only of what uses no CPU time."""
    for case in ("spinning", "fork bomb"):
        (run,) = server.start(case, 1)
        _, group = server.container(run)
        took, refused, moved = [], 0, 0
        for _ in range(times // 2):
            begun = time.monotonic()
            try:
                server.ask("POST", f"/runs/{run}/freeze")
            except RuntimeError:
                refused += 1
                continue
            took.append((time.monotonic() - begun) * 1000)
            before = group.usage(0.0)
            time.sleep(0.3)
            after = group.usage(0.0)
            assert before is not None
            assert after is not None
            moved += before.cpu_seconds != after.cpu_seconds
            server.ask("POST", f"/runs/{run}/thaw")
        print(
            f"freeze, {case:<10} n={times // 2}  said frozen {len(took)}, refused {refused}, CPU moved while "
            f'"frozen" {moved} (target 0)  p50 {_at(took, 50):.0f}  p95 {_at(took, 95):.0f} ms, 200 of them looking on',
            flush=True,
        )
        server.ask("POST", f"/runs/{run}/stop", {"wait": True})
    _until(server.nothing_left, "everything ends")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="stops of each case")
    parser.add_argument("--rounds", type=int, default=5, help="of STOP ALL")
    parser.add_argument("--runs", type=int, default=20, help="that STOP ALL ends")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--freezes", type=int, default=50)
    parser.add_argument("--only", default="", help="some of: " + ", ".join([*CASES, "all", "hanging", "freezes"]))
    parser.add_argument("--runtime", default="", help="runc or runsc; the engine's own when missing")
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else [*CASES, "all", "hanging", "freezes"]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), slots=max(4, options.runs), runtime=options.runtime)
        try:
            for case in [case for case in CASES if case != "watched"]:
                if case in wanted:
                    tell(case, *measure(server, case, options.times))
            if "all" in wanted:
                stop_all(server, options.runs, options.rounds)
            if "hanging" in wanted:
                hanging(server, options.viewers, options.times)
            if "freezes" in wanted:
                freezes(server, options.freezes)
        finally:
            server.close()


if __name__ == "__main__":
    main()
