"""`crucible stop`, `crucible panic` and `crucible release`.

A stop goes to the warden first: its door is a socket in the data folder, served outside the server's event loop. The
server hears of it from the warden and records it. Where there is no warden the API is asked.
"""

from __future__ import annotations

import asyncio
import getpass
import sys
from pathlib import Path

import click

from app.cli.client import Json, open_client
from app.cli.runs import position
from app.domain.errors import Unavailable
from app.settings import Settings
from app.web.stop_commands import kill_all_words
from sandbox_runner import warden_socket
from sandbox_runner.__main__ import main as sandbox_runner
from sandbox_runner.stop_file import StopFile

#: Seconds a warden may take to prove the deaths: it says itself when it cannot.
WITHIN = 75.0


@click.command()
@click.argument("run", type=int, required=False)
@click.option("--evaluation", type=int, help="Stop every run of this evaluation.")
@click.option("--all", "everything", is_flag=True, help="Emergency-stop everything and hold the queue.")
@click.option("--reason", default="", help="Why; it can also be given later.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the proof of death (through the API only).")
@click.pass_obj
def stop(
    settings: Settings, run: int | None, evaluation: int | None, everything: bool, reason: str, no_wait: bool
) -> None:
    """Stop RUN, an evaluation or everything, and print the proof. When nothing answers: crucible panic."""
    if [run is not None, evaluation is not None, everything].count(True) != 1:
        raise click.UsageError("name one run, one --evaluation, or --all")
    what, number = ("all", 0) if everything else ("run", run) if run is not None else ("evaluation", evaluation)
    well = _by_warden(settings, what, number or 0, reason)
    if well is None:
        well = _by_api(settings, what, number or 0, {"text": reason, "wait": not no_wait}) or no_wait
    if everything:
        click.echo("The queue is held. Let it go on with: crucible release --reason TEXT")
    if not well:
        sys.exit(1)


@click.command()
@click.option("--reason", default="", help="Why; it can also be given later.")
@click.pass_obj
def panic(settings: Settings, reason: str) -> None:
    """Stop everything of this data folder now, whether a server answers or not, and hold its queue.

    Asks the warden, and where there is none ends the sandboxes itself. Needs the container engine only.
    """
    well = None if settings.server else _by_warden(settings, "all", 0, reason)
    if well is None:
        click.echo("No warden answers: this command ends the sandboxes itself.")
        _latch(settings.data, reason)
        well = sandbox_runner(kill_all_words(settings)) == 0
    click.echo("The queue is held. Let it go on with: crucible release --reason TEXT")
    if not well:
        sys.exit(1)


def _by_warden(settings: Settings, what: str, number: int, reason: str) -> bool | None:
    """Whether every death is proven; None when no warden of the data folder answers."""
    if settings.server:
        return None
    order = {"do": "stop", "what": what, "number": number, "actor": getpass.getuser(), "text": reason, "path": "cli"}
    try:
        answer = warden_socket.ask(settings.data, order, within=WITHIN)
    except warden_socket.NoWarden:
        return None
    for each in answer.get("ended", ()):
        proof = each.get("error") or f"dead after {each['dead_ms']:.0f} ms, gone after {each['gone_ms']:.0f} ms"
        click.echo(f"run {each['run']}: {each['role']} {each['id'][:12]} {proof}")
    if not answer.get("ended"):
        said, over = known(settings, what, number) if what != "all" else ("", False)
        if not over:
            click.echo("No sandbox was there; what waits in the queue is the server's, which has been told.")
        if said:
            click.echo(said)
        if over:
            return True
    if answer.get("error"):
        click.echo(answer["error"], err=True)
    click.echo(f"The warden took {answer.get('ms', 0):.0f} ms.")
    return bool(answer.get("ok"))


def known(settings: Settings, what: str, number: int) -> tuple[str, bool]:
    """What the server says of that which has no sandbox, empty when it is silent; whether all of it had ended.

    Raises `Refused`: no such thing.
    """

    async def ask() -> tuple[str, bool]:
        async with open_client(settings) as client:
            if what == "run":
                run = await client.get(f"/runs/{number}")
                over = run["state"] == "ended"
                return f"Run {number}: {'ended, ' if over else ''}{position(run)}.", over
            evaluation = (await client.get(f"/evaluations/{number}"))["evaluation"]
            ended, runs = evaluation["ended"], evaluation["runs"]
            return f"Evaluation {number}: {ended} of its {runs} runs have ended.", ended == runs

    try:
        return asyncio.run(ask())
    except Unavailable:
        return "", False


def _by_api(settings: Settings, what: str, number: int, body: Json) -> bool:
    """Whether every receipt has its proof."""
    path = {"all": "/stop-all", "run": f"/runs/{number}/stop", "evaluation": f"/evaluations/{number}/stop"}[what]

    async def ask() -> list[Json]:
        async with open_client(settings) as client:
            answer = await client.post(path, body)
            return list(answer["receipts"] if "receipts" in answer else [answer["receipt"]])

    receipts = asyncio.run(ask())
    for receipt in receipts:
        click.echo(receipt_line(receipt))
    if not receipts:
        click.echo("Nothing was running or queued.")
    return all(receipt["dead_ms"] is not None for receipt in receipts)


def _latch(folder: Path, reason: str) -> None:
    try:
        StopFile(folder).set(actor=getpass.getuser(), text=reason or "crucible panic")
    except OSError as error:
        click.echo(f"The queue could not be held: {error}", err=True)


def receipt_line(receipt: Json) -> str:
    """The three marks of one stop."""
    if receipt["dead_ms"] is None:
        proof = f"NOT PROVEN DEAD YET {receipt['failure']}".rstrip()
    else:
        acted = "" if receipt["acted_ms"] is None else f"acted after {receipt['acted_ms']:.0f} ms, "
        proof = f"{acted}verified dead after {receipt['dead_ms']:.0f} ms"
    before = "" if receipt["changed"] else " (it had ended or was being stopped already)"
    return f"run {receipt['run']}: received, {proof}{before}"


@click.command()
@click.option("--reason", required=True, help="Why it is safe to go on.")
@click.pass_obj
def release(settings: Settings, reason: str) -> None:
    """Let the queue go on after a STOP ALL. Starts nothing that was stopped."""

    async def ask() -> bool:
        async with open_client(settings) as client:
            return bool((await client.post("/release", {"text": reason}))["released"])

    click.echo("The queue goes on." if asyncio.run(ask()) else "The queue was not held.")
