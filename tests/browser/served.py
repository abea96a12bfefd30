"""`crucible serve` as a process of its own: real engine, fresh data folder, suites of the product and of the tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"https?://\S+/welcome/\S+")


@dataclass(frozen=True)
class Server:
    url: str
    token: str
    link: str
    data: Path
    process: subprocess.Popen[bytes]

    def containers(self) -> list[str]:
        """Every container of this server, dead or alive, as the engine lists them."""
        instance = (self.data / "instance").read_text().strip()
        argv = ["docker", "ps", "--all", "--quiet", "--filter", f"label=crucible.instance={instance}"]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.split()


def start_server(folder: Path, **environment: str) -> Server:
    """`crucible serve` on a free port. Its data and its output are in `folder`."""
    suites = folder / "suites"
    shutil.copytree(ROOT / "suites", suites)
    shutil.copytree(Path(__file__).parent / "suites", suites, dirs_exist_ok=True)
    data = folder / "data"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRUCIBLE_")}
    settings = {"CRUCIBLE_DATA": str(data), "CRUCIBLE_SUITES": str(suites), "CRUCIBLE_PORT": "0", **environment}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "crucible"), "serve"],
            env={**clean, **settings, "PYTHONUNBUFFERED": "1"},
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 60
    while not (LINK.search(log.read_text()) and (data / "server.json").exists()):
        assert process.poll() is None, f"the server ended:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"the server did not start:\n{log.read_text()}"
        time.sleep(0.05)
    found = json.loads((data / "server.json").read_text())
    link = LINK.search(log.read_text())
    assert link is not None
    return Server(url=found["url"], token=found["token"], link=link[0], data=data, process=process)


def end_server(server: Server) -> None:
    server.process.terminate()
    try:
        server.process.wait(30)
    finally:
        server.process.kill()
