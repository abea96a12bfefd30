"""`crucible doctor`: what is installed, what is missing, what to do."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.client import Client
from app.cli.local_server import find_server
from app.cli.prove import run_proof
from app.domain.errors import CrucibleError, Unavailable
from app.proof.versions import warnings
from app.settings import Settings
from app.task_standard.places import told
from app.task_standard.suites import list_suites, unreadable_suites
from sandbox_runner.docker_driver import DockerDriver
from sandbox_runner.driver import Driver, SandboxError
from sandbox_runner.gvisor import is_gvisor
from sandbox_runner.runtime_probe import probe_runtime

#: Bytes below which a disk is called full.
LITTLE = 2 * 1024**3
#: Columns of a terminal from which what was found and what to do have room beside each other.
WIDE = 140


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One look: `good` None is a remark that stops nothing."""

    name: str
    good: bool | None
    found: str
    todo: str = ""


@click.command()
@click.option(
    "--prove", is_flag=True, help="Play every attack in real sandboxes on this host: half a minute a runtime."
)
@click.option("--runtime", help="With --prove: this runtime only. Otherwise runc, and runsc where the engine has it.")
@click.option("--only", multiple=True, metavar="ATTACK", help="With --prove: this attack only; may be given again.")
@click.option("--json", "as_json", is_flag=True, help="With --prove: print JSON.")
@click.pass_obj
def doctor(settings: Settings, prove: bool, runtime: str | None, only: tuple[str, ...], as_json: bool) -> None:
    """Say what is installed, what is missing and what to do. Exit code 0 when runs can be started, else 3.

    With --prove: 0 when every attack was held, 1 when one was not, 3 when they could not be played. A runtime that does
    not work here is given to no run: that is said, and is a failure only when --runtime names it. The result of a whole
    proof is recorded for the page Health.
    """
    if prove:
        try:
            sys.exit(asyncio.run(run_proof(settings, runtime=runtime, only=only, as_json=as_json)))
        except Unavailable as error:
            click.echo(f"crucible: {error}", err=True)
            sys.exit(3)
    if runtime or only or as_json:
        raise click.UsageError("--runtime, --only and --json belong to --prove")
    checks = asyncio.run(_checks(settings))
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(checks_table(checks, width=console.width))
    sys.exit(3 if any(check.good is False for check in checks) else 0)


def checks_table(checks: Sequence[Check], *, width: int) -> Table:
    """For a terminal of `width` columns. In a narrow one what to do stands below what was found."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for column in ("mark", "name", "found", "todo")[: 4 if width >= WIDE else 3]:
        table.add_column(column, no_wrap=column in ("mark", "name"), overflow="fold")
    for check in checks:
        mark = {
            True: Text("ok", style="green"),
            None: Text("note", style="dim"),
            False: Text("MISSING", style="bold red"),
        }[check.good]
        said = [Text(check.found), Text(check.todo)]
        table.add_row(mark, check.name, *(said if width >= WIDE else [Text("\n").join(each for each in said if each)]))
    return table


async def _checks(settings: Settings) -> list[Check]:
    driver: Driver = DockerDriver(settings.docker_host or None)
    looks: tuple[Callable[[Settings, Driver], Awaitable[list[Check]]], ...] = (
        _host,
        _engine,
        _base_image,
        _data,
        _suites,
        _server,
    )
    try:
        return [check for look in looks for check in await look(settings, driver)]
    finally:
        await driver.close()


async def _host(_settings: Settings, _driver: Driver) -> list[Check]:
    layout = "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "v1"  # noqa: ASYNC240 - one look
    return [
        Check(name="Python", good=sys.version_info >= (3, 11), found=platform.python_version()),
        Check(name="kernel", good=None, found=f"{platform.system()} {platform.release()}, cgroup {layout}"),
    ]


async def _engine(settings: Settings, driver: Driver) -> list[Check]:
    try:
        engine = await driver.check()
    except SandboxError as error:
        todo = "Start Docker, or run scripts/bootstrap. Runs wait in the queue until it answers."
        return [Check(name="container engine", good=False, found=str(error), todo=todo)]
    found = [Check(name="container engine", good=True, found=f"{engine.name} {engine.version}")]
    found.append(Check(name="runtimes", good=True, found=", ".join(engine.runtimes)))
    room = await driver.disk_room()
    enough = room is None or room.bytes >= settings.engine_reserve_bytes
    found += [
        Check(name=f"{warning.program} version", good=None, found=warning.version, todo=warning.text)
        for warning in warnings(await driver.versions())
    ]
    if room is not None:
        todo_disk = (
            "" if enough else "Free space there: docker system df shows what takes it. Until then no run begins."
        )
        found.append(
            Check(name="engine's disk", good=enough, found=f"{room.bytes / 1024**3:.1f} GiB free", todo=todo_disk)
        )
    found.append(await gvisor_check(settings, driver, engine.runtimes, room_to_try=enough))
    return found


async def gvisor_check(settings: Settings, driver: Driver, offered: Sequence[str], *, room_to_try: bool) -> Check:
    """Tried as a run would use it, where there is room and an image for that."""
    name = next((each for each in offered if is_gvisor(each)), None)
    if name is None:
        todo = "Optional: install runsc and register it for a second wall around sandboxes."
        return Check(name="gVisor", good=None, found="not registered", todo=todo)
    try:
        if not room_to_try or await driver.image_id(settings.base_image) is None:
            return Check(name="gVisor", good=None, found="registered, not tried")
        probe = await probe_runtime(driver, name, image=settings.base_image, instance=f"proof-{secrets.token_hex(6)}")
    except SandboxError as error:
        return Check(name="gVisor", good=None, found="registered, could not be tried", todo=str(error))
    if probe.works:
        return Check(name="gVisor", good=True, found="works")
    return Check(name="gVisor", good=None, found="registered", todo=probe.sentence)


async def _base_image(settings: Settings, driver: Driver) -> list[Check]:
    try:
        image = await driver.image_id(settings.base_image)
    except SandboxError:
        return [Check(name="base image", good=None, found="unknown while the engine does not answer")]
    todo = "" if image else "Run scripts/bootstrap, or sandbox_runner/image/build."
    return [Check(name="base image", good=image is not None, found=image or f"no {settings.base_image}", todo=todo)]


async def _data(settings: Settings, _driver: Driver) -> list[Check]:
    folder = settings.data.absolute()
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free
    writable = os.access(there, os.W_OK)
    found = f"{folder}, {free / 1024**3:.1f} GiB free"
    todo = "" if writable else "Choose a folder you may write to with CRUCIBLE_DATA."
    if free < LITTLE:
        todo = "Nearly full: runs whose output cannot be stored end as broken."
    return [Check(name="data folder", good=writable and free >= LITTLE, found=found, todo=todo)]


async def _suites(settings: Settings, _driver: Driver) -> list[Check]:
    folders = settings.suite_folders
    names = ", ".join(suite.name for suite in list_suites(folders))
    found = [Check(name="suites", good=True, found=names, todo=f"From {', '.join(map(told, folders))}")]
    # A suite that cannot be read keeps no other from being run; a folder that is not there is a mistyped setting.
    good = None if settings.suites.is_dir() else False
    return found + [Check(name="suites", good=good, found=str(why)) for why in unreadable_suites(folders)]


async def _server(settings: Settings, _driver: Driver) -> list[Check]:
    address = find_server(settings)
    if address is None:
        return [Check(name="server", good=None, found="not running", todo="scripts/run starts it.")]
    async with Client(settings, address) as client:
        try:
            answers = await client.answers()
        except CrucibleError as error:
            return [Check(name="server", good=False, found=f"{address.url}: {error}")]
    todo = "" if answers else "It may have been killed. scripts/run starts it again."
    found = f"{address.url} {'answers' if answers else 'does not answer'}"
    return [Check(name="server", good=None if not answers else True, found=found, todo=todo)]
