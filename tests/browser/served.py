"""`crucible serve` as a process of its own: real engine, fresh data folder, suites of the product and of the tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"https?://\S+/welcome/\S+")


@dataclass(frozen=True)
class Server:
    """A running server. `folder` holds its data, its suites and what it printed."""

    url: str
    token: str
    link: str  #: "" once a password is set
    folder: Path
    settings: Mapping[str, str]
    process: subprocess.Popen[bytes]

    def containers(self) -> list[str]:
        """Every container of this server, dead or alive, as the engine lists them."""
        instance = (self.folder / "data" / "instance").read_text().strip()
        argv = ["docker", "ps", "--all", "--quiet", "--filter", f"label=crucible.instance={instance}"]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.split()


def start_server(folder: Path, **settings: str) -> Server:
    """`crucible serve` on a free port with fresh data."""
    suites = folder / "suites"
    shutil.copytree(ROOT / "suites", suites)
    shutil.copytree(Path(__file__).parent / "suites", suites, dirs_exist_ok=True)
    own = {"CRUCIBLE_DATA": str(folder / "data"), "CRUCIBLE_SUITES": str(suites), "CRUCIBLE_PORT": "0"}
    return _serve(folder, {**own, **settings})


def start_again(server: Server) -> Server:
    """The same server once more, at the same address, after its process has ended."""
    port = server.url.rsplit(":", 1)[1]
    return _serve(server.folder, {**server.settings, "CRUCIBLE_PORT": port})


def end_server(server: Server) -> None:
    server.process.terminate()
    try:
        server.process.wait(30)
    finally:
        server.process.kill()


def _serve(folder: Path, settings: Mapping[str, str]) -> Server:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRUCIBLE_")}
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
    while (found := _announced(folder / "data" / "server.json", process.pid)) is None:
        assert process.poll() is None, f"the server ended:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"the server did not start:\n{log.read_text()}"
        time.sleep(0.05)
    while "Crucible is at" not in log.read_text():
        time.sleep(0.05)
    link = LINK.search(log.read_text())
    return Server(
        url=found["url"],
        token=found["token"],
        link=link[0] if link else "",
        folder=folder,
        settings=settings,
        process=process,
    )


def _announced(file: Path, pid: int) -> dict[str, str] | None:
    """What the server of this very process says about itself; None until it listens."""
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    return found if found["pid"] == pid else None
