"""The server's end of the warden: starts it, beats for it, proves the stop path through it, and starts it again.

The beats come from the event loop itself, so that a loop that hangs falls silent. See `sandbox_runner.warden`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.settings import Settings
from app.supervision.data_folder import LOCK
from app.supervision.kept_door import KeptDoor
from sandbox_runner.driver import Sandbox
from sandbox_runner.warden import sandbox_said

log = logging.getLogger(__name__)

BEAT = 0.5
#: Seconds without an answer after which a warden is taken for hung and replaced.
HUNG = 15.0
#: Seconds until a warden that ended is started again.
AGAIN = 1.0
#: Seconds a warden is given to end when the server has ended everything.
END_WITHIN = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What the warden was asked to do by a way that did not lead through this server. It acts already."""

    do: str  #: stop or freeze
    what: str  #: all, run, evaluation or silence
    number: int
    actor: str
    text: str
    path: str
    ago: float  #: seconds since it was received
    order: str  #: its name in the warden's journal


class WardenLink:
    """A warden stands beside the server from `run` to `close`."""

    def __init__(self, command: Sequence[str], *, door: KeptDoor, log_file: Path, leave: bool = False) -> None:
        """`command` starts the warden. `leave`: sandboxes may outlive the server, and the warden with them."""
        self._command = command
        self._log = log_file
        self._leave = leave
        #: Where the warden hears pages, and what their leave to stop is signed with; the warden is told.
        self.door = door
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._heard_at = time.monotonic()
        self._told: set[str] = set()
        self.deaths = 0

    @property
    def pid(self) -> int | None:
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    async def run(
        self,
        *,
        roster: Callable[[], Iterable[tuple[Sandbox, int]]],
        on_order: Callable[[Ordered], None],
        on_death: Callable[[str], Awaitable[None]],
    ) -> None:
        """For ever: keep a warden alive, fed with beats and with who lives (each sandbox with its evaluation)."""
        while True:
            why = await self._one(roster, on_order)
            self.deaths += 1
            log.error("the warden %s; it is started again", why)
            await on_death(why)
            await asyncio.sleep(AGAIN)

    async def close(self) -> None:
        """When nothing is left it ends by itself; otherwise it stays until the grace is over."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        if not self._leave:
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, END_WITHIN)
        if process.poll() is None:
            process.returncode = 0  # Left on purpose: it ends by itself, and nobody is to be told that it goes on.

    def strike(self, sandboxes: Iterable[Sandbox]) -> None:
        """Have these struck by the warden too; waits for nothing."""
        self._say({"do": "strike", "sandboxes": [sandbox_said(each) for each in sandboxes]})

    async def prove(self, within: float) -> Mapping[str, Any]:
        """An empty order through the warden's queue to its killer and the engine. Raises `TimeoutError`."""
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._say({"do": "prove", "number": number})
            async with asyncio.timeout(within):
                return await self._asked[number]
        finally:
            del self._asked[number]

    async def _one(
        self, roster: Callable[[], Iterable[tuple[Sandbox, int]]], on_order: Callable[[Ordered], None]
    ) -> str:
        """One warden's life; why it is over."""
        try:
            self._process = process = await asyncio.to_thread(self._start)
        except OSError as error:
            return f"could not be started: {error}"
        self._heard_at, self._told = time.monotonic(), set()
        self._say({"do": "key", "key": self.door.key.hex()})
        hearing = asyncio.create_task(self._hear(process, on_order), name="warden: hear")
        try:
            while not hearing.done():
                self._beat(roster)
                if time.monotonic() - self._heard_at > HUNG:
                    process.kill()
                    return f"said nothing for {HUNG:.0f} s"
                await asyncio.wait({hearing}, timeout=BEAT)
            return f"ended with {await asyncio.to_thread(process.wait)}"
        finally:
            hearing.cancel()

    def _start(self) -> subprocess.Popen[bytes]:
        # Not asyncio's: its subprocesses are killed with the loop, and this one outlives us.
        # Nor with our stderr: whoever reads that would wait for the warden's end.
        with self._log.open("ab") as words:
            process = subprocess.Popen(
                [*self._command, "--stop-port-before", str(self.door.port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                start_new_session=True,
                bufsize=0,
            )
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        return process

    def _beat(self, roster: Callable[[], Iterable[tuple[Sandbox, int]]]) -> None:
        present = list(roster())
        ids = {sandbox.id for sandbox, _ in present}
        if ids == self._told:
            return self._say({"do": "beat"})
        self._told = ids
        evaluations = {sandbox.run: evaluation for sandbox, evaluation in present}
        sandboxes = [sandbox_said(sandbox) for sandbox, _ in present]
        return self._say({"do": "roster", "sandboxes": sandboxes, "evaluations": evaluations})

    def _say(self, said: Mapping[str, Any]) -> None:
        """Waits for nothing: a warden that does not listen is replaced."""
        process = self._process
        if process is None or process.stdin is None or process.stdin.closed:
            return
        line = json.dumps(said).encode() + b"\n"
        try:
            if os.write(process.stdin.fileno(), line) < len(line):
                process.kill()  # Half a line would garble the next one.
        except OSError as error:
            log.warning("the warden could not be told: %s", error)

    async def _hear(self, process: subprocess.Popen[bytes], on_order: Callable[[Ordered], None]) -> None:
        assert process.stdout is not None
        reader = asyncio.StreamReader(limit=1024 * 1024)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, process.stdout)
        try:
            while line := await reader.readline():
                self._heard_at = time.monotonic()
                try:
                    self._understand(json.loads(line), on_order)
                except (ValueError, KeyError, TypeError):
                    log.error("a line of the warden could not be understood: %r", line[:200])
        finally:
            transport.close()

    def _understand(self, said: Mapping[str, Any], on_order: Callable[[Ordered], None]) -> None:
        if said["said"] == "proof":
            asked = self._asked.get(said["number"])
            if asked is not None and not asked.done():
                asked.set_result(said)
        elif said["said"] == "door":
            self.door.moved(int(said["port"]))
        elif said["said"] == "order":
            on_order(
                Ordered(
                    do=said["do"],
                    what=said["what"],
                    number=said["number"],
                    actor=said["actor"],
                    text=said["text"],
                    path=said["path"],
                    ago=max(0.0, time.monotonic() - said["received"]),
                    order=said["order"],
                )
            )


def wanted_stop_port(settings: Settings) -> int:
    """-1: any."""
    return 0 if settings.secure_cookies else settings.stop_port


def warden_command(settings: Settings, instance: str) -> list[str]:
    """The warden of this data folder, in the interpreter that runs us."""
    return [
        *(sys.executable, "-m", "sandbox_runner.warden_process"),
        *("--folder", str(settings.data.absolute()), "--instance", instance),
        *("--lock", str(settings.data.absolute() / LOCK)),
        *("--engine", settings.docker_host, "--grace", str(settings.grace_seconds)),
        *("--action", settings.warden_action, "--stop-host", settings.host),
        *("--stop-port", str(wanted_stop_port(settings))),
    ]
