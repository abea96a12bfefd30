"""`crucible serve` and `crucible sign-in-link`."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
from datetime import UTC, datetime
from pathlib import Path

import click
import uvloop

from app.cli.client import Client, Json
from app.cli.local_server import LocalServer, allow_many_connections, local_server
from app.cli.stop_signal import stop_all_on_signal
from app.settings import Settings
from app.store.database import Database, sqlite_url
from app.task_standard.suites import unreadable_suites
from app.web.sign_in import create_sign_in_link
from app.web.stop_commands import StopCommands, stop_commands
from sandbox_runner.driver import Driver
from sandbox_runner.fake_driver import FakeDriver


@click.command()
@click.option("--host", help="Address to listen on (CRUCIBLE_HOST).")
@click.option("--port", type=int, help="Port to listen on (CRUCIBLE_PORT).")
@click.option("--data", type=click.Path(path_type=Path), help="Data folder (CRUCIBLE_DATA).")
@click.option("--suite", help="Queue this suite when the record has no evaluation yet.")
@click.option("--fake", is_flag=True, help="No containers: scripted sandboxes, to look at the pages.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.pass_obj
def serve(
    settings: Settings,
    host: str | None,
    port: int | None,
    data: Path | None,
    suite: str | None,
    fake: bool,
    log_level: str,
) -> None:
    """Start the server: pages, streams and the supervisor of runs."""
    changes = {"host": host, "port": port, "data": data}
    settings = dataclasses.replace(settings, **{k: v for k, v in changes.items() if v is not None})  # type: ignore[arg-type]
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for library in ("httpx", "alembic"):  # each request and each step of a new database are nobody's news
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_not_a_stream_cut_by_shutdown)
    stop_all_on_signal(settings.data)
    allow_many_connections()
    uvloop.run(_serve(settings, FakeDriver() if fake else None, suite))


async def _serve(settings: Settings, driver: Driver | None, suite: str | None) -> None:
    async with local_server(settings, driver, until_signal=True) as local:
        if suite:
            await _queue_first(settings, local, suite)
        for why in unreadable_suites(settings.suite_folders):
            click.echo(f"Left out: {why}", err=True)
        async with Client(settings, local.address) as client:
            held = (await client.get("/health"))["hold"]
        _greet(local, stop_commands(settings), held)
        # What was loaded until here stays: looking through all of it for garbage held everything up for 70 ms.
        gc.collect()
        gc.freeze()
        await asyncio.wait({local.serving})


async def _queue_first(settings: Settings, local: LocalServer, suite: str) -> None:
    async with Client(settings, local.address) as client:
        if not (await client.get("/evaluations", limit=1))["evaluations"]:
            await client.post("/evaluations", {"suite": suite})
            click.echo(f"Queued the suite {suite}: its runs start now.")


def _greet(local: LocalServer, commands: StopCommands, held: Json | None) -> None:
    click.echo(f"\nCrucible is at {local.address.url}")
    if local.link is not None:
        click.echo("Sign in once with this link and choose a password (it works for a day, once):\n")
        click.echo(f"    {local.link}\n")
    click.echo("Stop everything from any terminal of this machine (or of this container); the last needs no server:\n")
    for command in commands.everything:
        click.echo(f"    {command}")
    click.echo()
    if held is not None:
        since = datetime.fromtimestamp(held["at"], UTC)
        click.echo(
            f"THE QUEUE IS HELD by {held['actor']} since {since:%Y-%m-%d %H:%M:%S} UTC: {held['text']}\n"
            "Nothing starts until a person lets it go on:\n"
        )
        click.echo(f"    {commands.cli} release --reason TEXT\n")
    click.echo("Ctrl-C ends the server and every run.")


def _not_a_stream_cut_by_shutdown(record: logging.LogRecord) -> bool:
    # Streams that are ended at a shutdown, or because nobody reads them, have no last chunk; uvicorn reports each.
    return "ASGI callable returned without completing response" not in record.getMessage()


@click.command(name="sign-in-link")
@click.pass_obj
def sign_in_link(settings: Settings) -> None:
    """Print a new one-time sign-in link, for a forgotten password. Needs the data folder."""

    async def make() -> str:
        db = await Database.open(settings.database or sqlite_url(settings.data))
        try:
            return await create_sign_in_link(db, settings)
        finally:
            await db.close()

    click.echo(asyncio.run(make()))
