"""`python -m sandbox_runner.warden_process`: the warden as a process of its own. The server starts it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from sandbox_runner.docker_driver import DockerDriver
from sandbox_runner.warden import Order, Warden
from sandbox_runner.warden_http import PageDoor

#: A line up to this length is written to a pipe whole or not at all.
WHOLE = 4096


def _tell(said: dict[str, Any]) -> None:
    """To the server, if it reads: a server that hangs must not hang the warden."""
    line = json.dumps(said).encode() + b"\n"
    try:
        if len(line) <= WHOLE:
            os.write(sys.stdout.fileno(), line)
    except OSError:
        pass


def _tell_port(port: int) -> None:
    _tell({"said": "door", "port": port})


def _go_first() -> None:
    """Before what agents do to the processors and the memory of this machine, where we may."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-500")


def _is_locked(file: Path) -> bool:
    """Read from the kernel's list: trying the lock would keep a starting server out."""
    try:
        inode = file.stat().st_ino
        locks = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return False
    return any("FLOCK" in line and f":{inode} " in line for line in locks)


async def _hear(warden: Warden) -> None:
    """Every line of the server until its end of the pipe is closed."""
    reader = asyncio.StreamReader(limit=1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        try:
            warden.heard(json.loads(line))
        except (ValueError, KeyError, TypeError):
            logging.getLogger(__name__).error("a line of the server could not be understood: %r", line[:200])
    warden.server_gone()


async def _run(options: argparse.Namespace) -> None:
    driver = DockerDriver(options.engine or None)
    warden = Warden(
        driver=driver,
        instance=options.instance,
        folder=options.folder,
        grace_seconds=options.grace,
        action=options.action,
        tell=_tell,
        succeeded=lambda: _is_locked(options.lock),
    )

    def all_by_signal() -> None:
        warden.take(Order(do="stop", actor="signal", text="SIGUSR1", path="signal"))

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, all_by_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})  # The server blocks it, and we are its child.
    beside = [asyncio.create_task(_hear(warden))]
    if options.stop_port:
        door = PageDoor(warden.obey, lambda: warden.key)
        beside.append(
            asyncio.create_task(
                door.listen(options.stop_host, options.stop_port, _tell_port, before=options.stop_port_before)
            )
        )
    try:
        await warden.run()
    finally:
        for task in beside:
            task.cancel()
        await driver.close()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox_runner.warden_process", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--lock", type=Path, required=True, help="the file a server of this folder holds locked")
    parser.add_argument("--engine", default="")
    parser.add_argument("--grace", type=float, required=True)
    parser.add_argument("--action", choices=("stop", "freeze"), default="stop")
    parser.add_argument("--stop-host", default="127.0.0.1")
    parser.add_argument("--stop-port", type=int, default=0, help="where pages are heard; 0: nowhere, -1: any")
    parser.add_argument("--stop-port-before", type=int, default=0, help="of any, rather this one: pages know it")
    options = parser.parse_args(arguments)
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)-7s warden: %(message)s")
    _go_first()
    os.set_blocking(sys.stdout.fileno(), False)
    # The server's terminal is not ours: what ends it must not end us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_run(options))


if __name__ == "__main__":
    main()
