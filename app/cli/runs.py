"""`crucible runs`."""

from __future__ import annotations

import asyncio
import time

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.client import Json, open_client
from app.settings import Settings
from app.web.text import visible


@click.command()
@click.option("--all", "everything", is_flag=True, help="Ended ones as well.")
@click.option("--limit", type=click.IntRange(1, 1000), default=30, show_default=True)
@click.pass_obj
def runs(settings: Settings, everything: bool, limit: int) -> None:
    """List runs, newest first."""

    async def ask() -> list[Json]:
        async with open_client(settings) as client:
            found: list[Json] = (await client.get("/runs", limit=limit))["runs"]
            return [run for run in found if everything or run["state"] != "ended"]

    found = asyncio.run(ask())
    if not found:
        click.echo("Nothing is running." if not everything else "There are no runs yet.")
        return
    Console().print(runs_table(found))


def runs_table(found: list[Json]) -> Table:
    """Runs as a table for the terminal; nothing in it can act on the terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("run", "task", "agent", "state", "took", "lines", "score", "detail"):
        table.add_column(column, justify="right" if column in {"run", "took", "lines", "score"} else "left")
    for run in found:
        table.add_row(
            str(run["id"]),
            plain(run["task"]),
            plain(run["agent"]),
            position(run),
            took(run),
            str(run["lines"]),
            score_text(run["score"]),
            plain(run["detail"]),
        )
    return table


def plain(value: object) -> Text:
    """Text from anywhere, made visible: no markup, no escape."""
    return Text(visible(str(value)))


def position(run: Json) -> str:
    """Where a run is or how it ended, in a word."""
    if run["state"] == "ended":
        return str(run["outcome"])
    return f"{run['state']} ({run['phase']})" if run["phase"] else str(run["state"])


def took(run: Json) -> str:
    if run["started_at"] is None:
        return "-"
    return f"{(run['ended_at'] or time.time()) - run['started_at']:.1f} s"


def score_text(score: Json | None) -> str:
    if score is None:
        return "-"
    return f"{score['value']:g}" if score["status"] == "scored" else str(score["status"]).replace("_", " ")
