"""`crucible doctor --prove`: the proof of the sandbox, as a table or as JSON."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import json
import sys
import time
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.domain.errors import CrucibleError, Unavailable
from app.domain.proofs import Proof, ProofLine, Verdict
from app.proof import versions
from app.proof.proof import NONE, Plan, plan, prove, refused_runtimes
from app.settings import Settings
from app.store import audit, proofs
from app.store.database import Database, sqlite_url
from sandbox_runner.docker_driver import DockerDriver
from sandbox_runner.driver import Driver, Engine, SandboxError

_STYLES = {
    Verdict.HELD: "green",
    Verdict.BROKE: "bold red",
    Verdict.UNTESTED: "yellow",
    Verdict.NOT_OFFERED: "dim",
}


async def run_proof(settings: Settings, *, runtime: str | None, only: Sequence[str], as_json: bool) -> int:
    """Play it, print it, record it when it is whole, answer the exit code: 0 all held, 1 something did not.

    Raises `Unavailable` when it cannot be played.
    """
    driver: Driver = DockerDriver(settings.docker_host or None)
    begun = time.time()
    try:
        engine = await driver.check()
        wanted = await _plan(settings, driver, engine, runtime, only)
        lines = await _play(driver, settings.base_image, wanted)
        warnings = versions.warnings(await driver.versions())
    except SandboxError as error:
        raise Unavailable(f"the engine does not answer: {error}") from error
    finally:
        await driver.close()
    seconds = time.time() - begun
    if as_json:
        _print_json(lines, warnings, seconds)
    else:
        _print_table(lines, warnings, seconds)
    if runtime is None and not only:
        proof = Proof(
            begun_at=begun,
            seconds=round(seconds, 1),
            actor=getpass.getuser(),
            engine=f"{engine.name} {engine.version}",
            lines=tuple(lines),
        )
        click.echo(await record_proof(settings, proof), err=True)
    else:
        click.echo("Not recorded: only a whole proof is.", err=True)
    return 1 if any(line.verdict is Verdict.BROKE for line in lines) else 0


async def record_proof(settings: Settings, proof: Proof) -> str:
    """Put it into the history of the data folder's server, running or not. Answers what came of that, for people."""
    if settings.server:
        return "Not recorded: the server that CRUCIBLE_SERVER names need not be of this machine."
    if not (settings.data / "instance").exists():
        return f"Not recorded: no server has had the data folder {settings.data.absolute()} yet."
    try:
        db = await Database.open(settings.database or sqlite_url(settings.data))
        try:
            await proofs.record(db, proof)
            await audit.append(
                db, at=time.time(), actor=proof.actor, action="proof.record", subject="sandbox", detail=proof.engine
            )
        finally:
            await db.close()
    except (CrucibleError, OSError) as error:
        return f"Not recorded: {error}"
    return "Recorded: the page Health shows it."


async def _plan(settings: Settings, driver: Driver, engine: Engine, runtime: str | None, only: Sequence[str]) -> Plan:
    if await driver.image_id(settings.base_image) is None:
        raise Unavailable(f"there is no image {settings.base_image}: run scripts/bootstrap")
    plan(engine.runtimes, runtime=runtime, only=only)  # refuses a misspelt name before anything is tried
    refused = await refused_runtimes(driver, settings.base_image, engine.runtimes) if runtime is None else NONE
    wanted = plan(engine.runtimes, runtime=runtime, only=only, refused=refused)
    if not wanted.size:
        raise Unavailable(f"the engine offers neither runc nor runsc, but {', '.join(engine.runtimes)}")
    return wanted


async def _play(driver: Driver, image: str, wanted: Plan) -> list[ProofLine]:
    progress = Console(stderr=True)
    lines: list[ProofLine] = []
    with progress.status("playing") as status:
        status.update(f"1 of {wanted.size}")
        async with contextlib.aclosing(prove(driver, image, wanted)) as played:
            async for line in played:
                lines.append(line)
                status.update(f"{len(lines)} of {wanted.size} · {line.runtime} {line.attack}: {line.verdict}")
    return lines


def _print_json(lines: Sequence[ProofLine], warnings: Sequence[versions.Warning], seconds: float) -> None:
    whole = {
        "seconds": round(seconds, 1),
        "lines": [dataclasses.asdict(line) for line in lines],
        "warnings": [{"text": each.text, "source": each.escape.source} for each in warnings],
    }
    print(json.dumps(whole, indent=1))


def _print_table(lines: Sequence[ProofLine], warnings: Sequence[versions.Warning], seconds: float) -> None:
    console = Console(width=None if sys.stdout.isatty() else 200)
    table = Table(box=None, pad_edge=False)
    for title in ("runtime", "attack", "should", "happened", "verdict"):
        table.add_column(title, overflow="fold", no_wrap=title in ("runtime", "verdict"))
    for line in lines:
        verdict = Text(line.verdict.value, style=_STYLES[line.verdict])
        table.add_row(line.runtime, Text(line.title), Text(line.should), Text(line.happened), verdict)
    console.print(table)
    for warning in warnings:
        console.print(Text("note ", style="yellow"), Text(f"{warning.text}. {warning.escape.source}"), sep="")
    counts = {verdict: sum(line.verdict is verdict for line in lines) for verdict in Verdict}
    console.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + f", in {seconds:.0f} s")
