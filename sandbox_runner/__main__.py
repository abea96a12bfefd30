"""The stop that works when the server does not: `python -m sandbox_runner kill-all`. Needs a container engine only."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict, dataclass

from sandbox_runner.docker_driver import DockerDriver
from sandbox_runner.driver import Driver, Sandbox, SandboxError
from sandbox_runner.kill import kill_until_verified

DONE, LEFT_OVER, NO_ENGINE = 0, 1, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is told of one sandbox."""

    id: str
    run: str
    role: str
    instance: str
    dead_ms: float | None = None
    gone_ms: float | None = None
    error: str | None = None

    def __str__(self) -> str:
        known = f"{self.id[:12]}  run {_plain(self.run)}  {_plain(self.role)}  instance {_plain(self.instance)}"
        if self.error is not None:
            return f"{known}  NOT DEAD: {self.error}"
        if self.gone_ms is not None:
            return f"{known}  dead after {self.dead_ms:.0f} ms, gone after {self.gone_ms:.0f} ms"
        return known


def _plain(text: str) -> str:
    """Labels may be anybody's: nothing that a terminal would act on."""
    return "".join(letter if letter.isprintable() else "?" for letter in text) or "-"


def _line(sandbox: Sandbox) -> Line:
    return Line(id=sandbox.id, run=sandbox.run, role=sandbox.role, instance=sandbox.instance)


async def _end(driver: Driver, sandbox: Sandbox, within: float) -> Line:
    line = _line(sandbox)
    try:
        death = await kill_until_verified(driver, sandbox, within=within)
    except SandboxError as error:
        return Line(id=line.id, run=line.run, role=line.role, instance=line.instance, error=str(error))
    return Line(
        id=line.id,
        run=line.run,
        role=line.role,
        instance=line.instance,
        dead_ms=death.dead_after * 1000,
        gone_ms=death.gone_after * 1000,
    )


async def _kill_all(driver: Driver, options: argparse.Namespace) -> int:
    """All at once; each told when it is over. What came up meanwhile is found by looking again."""
    while found := await driver.list_owned(options.instance):
        ending = [asyncio.create_task(_end(driver, sandbox, options.within)) for sandbox in found]
        for line in asyncio.as_completed(ending):
            _tell(await line, options)
        if any(task.result().error is not None for task in ending):
            return LEFT_OVER
    if not options.json:
        print("no sandbox is left")
    return DONE


async def _list(driver: Driver, options: argparse.Namespace) -> int:
    for sandbox in await driver.list_owned(options.instance):
        _tell(_line(sandbox), options)
    return DONE


def _tell(line: Line, options: argparse.Namespace) -> None:
    print(json.dumps(asdict(line)) if options.json else line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox_runner",
        description="List or end sandboxes. Asks only the container engine: no server, no records.",
        epilog="Exit codes: 0 done, and nothing is left; 1 something could not be proven dead; 3 no engine answers.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("kill-all", "kill every sandbox, and read that each is dead and gone"),
        ("list", "list every sandbox, in any state"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--engine", metavar="ADDRESS", help="the engine, if not DOCKER_HOST or the local socket")
        command.add_argument("--instance", help="only those of this server's data folder (default: all)")
        command.add_argument("--json", action="store_true", help="one JSON object a line")
        if name == "kill-all":
            command.add_argument("--dry-run", action="store_true", help="only list what would be killed")
            command.add_argument(
                "--within", type=float, default=60.0, metavar="SECONDS", help="give up on a sandbox after (default: 60)"
            )
    return parser


async def _run(options: argparse.Namespace) -> int:
    driver = DockerDriver(options.engine)
    try:
        if options.command == "list" or options.dry_run:
            return await _list(driver, options)
        return await _kill_all(driver, options)
    except SandboxError as error:
        print(f"sandbox_runner: {error}", file=sys.stderr)
        return NO_ENGINE
    finally:
        await driver.close()


def main(arguments: list[str] | None = None) -> int:
    return asyncio.run(_run(_parser().parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
