"""Ways to stop that need no page: whole lines for a shell on the server's machine, the same for all who show them."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from app.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class StopCommands:
    """Nothing in a line is left to fill in. Whoever is not signed in is not shown them: they name folders."""

    panic: str  #: everything of this data folder, and the queue is held
    stop_file: str  #: the same, without a program of ours
    signal: str  #: the same, by a signal to the server; "" where it listens to none and would only end
    kill_all: str  #: every sandbox of this server; needs the container engine only
    cli: str  #: what every command of this data folder begins with

    @property
    def everything(self) -> tuple[str, ...]:
        """Those that stop everything whether a server answers or not."""
        return (self.panic, self.stop_file, self.kill_all)

    @property
    def stop_all(self) -> str:
        return f"{self.cli} stop --all"

    def of_run(self, run: int) -> tuple[str, ...]:
        """Ways to stop one run: itself, or with all that this server has."""
        return (f"{self.cli} stop {run}", self.kill_all)


def stop_commands(settings: Settings) -> StopCommands:
    """Of the server that this process is, whose data folder has its name already."""
    programs, folder = Path(sys.executable).parent, settings.data.absolute()
    variables = {"CRUCIBLE_DATA": str(folder), "CRUCIBLE_DOCKER_HOST": settings.docker_host}
    words = [f"{name}={shlex.quote(value)}" for name, value in variables.items() if value]
    cli = " ".join([*words, shlex.quote(str(programs / "crucible"))])
    waits = signal.SIGUSR1 in signal.pthread_sigmask(signal.SIG_BLOCK, ())  # app.cli.stop_signal: a thread of its own
    return StopCommands(
        panic=f"{cli} panic",
        stop_file=shlex.join(["touch", str(folder / "STOP")]),
        signal=f"kill -USR1 {os.getpid()}" if waits else "",
        kill_all=_kill_all_here(settings),
        cli=cli,
    )


def kill_all_line(settings: Settings) -> str:
    """The line that ends every sandbox of the data folder, whoever answers; to be typed on the engine's machine."""
    if settings.server:  # its folder and its programs are of another machine
        return "python -m sandbox_runner kill-all"
    return _kill_all_here(settings)


def _kill_all_here(settings: Settings) -> str:
    return shlex.join([str(Path(sys.executable).parent / "python"), "-m", "sandbox_runner", *kill_all_words(settings)])


def kill_all_words(settings: Settings) -> list[str]:
    """Of this data folder's sandboxes; of every Crucible's when the folder has no name yet."""
    engine = ["--engine", settings.docker_host] if settings.docker_host else []
    try:
        return ["kill-all", *engine, "--instance", (settings.data / "instance").read_text().strip()]
    except OSError:
        return ["kill-all", *engine]
