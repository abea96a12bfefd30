"""`crucible stop` and `crucible release`."""

from __future__ import annotations

import asyncio
import sys

import click

from app.cli.client import Json, open_client
from app.settings import Settings


@click.command()
@click.argument("run", type=int, required=False)
@click.option("--all", "everything", is_flag=True, help="Emergency-stop everything and hold the queue.")
@click.option("--reason", default="", help="Why; it can also be given later.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the proof of death.")
@click.pass_obj
def stop(settings: Settings, run: int | None, everything: bool, reason: str, no_wait: bool) -> None:
    """Stop RUN, or everything, and print the receipt. When no server answers: python -m sandbox_runner kill-all."""
    if (run is None) == (not everything):
        raise click.UsageError("name one run, or --all")
    body: Json = {"text": reason, "wait": not no_wait}

    async def ask() -> list[Json]:
        async with open_client(settings) as client:
            if everything:
                return list((await client.post("/stop-all", body))["receipts"])
            return [(await client.post(f"/runs/{run}/stop", body))["receipt"]]

    receipts = asyncio.run(ask())
    for receipt in receipts:
        click.echo(receipt_line(receipt))
    if not receipts:
        click.echo("Nothing was running or queued.")
    if everything:
        click.echo("The queue is held. Let it go on with: crucible release --reason TEXT")
    if not no_wait and any(receipt["dead_ms"] is None for receipt in receipts):
        sys.exit(1)


def receipt_line(receipt: Json) -> str:
    """The three marks of one stop."""
    if receipt["dead_ms"] is None:
        proof = f"NOT PROVEN DEAD YET {receipt['failure']}".rstrip()
    else:
        proof = f"acted after {receipt['acted_ms']:.0f} ms, verified dead after {receipt['dead_ms']:.0f} ms"
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
