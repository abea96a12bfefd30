"""`crucible runs` and `crucible logs`."""

from __future__ import annotations

import asyncio
import base64
import re
import sys
import time
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.client import Client, Json, open_client
from app.settings import Settings
from app.web.text import visible

STREAMS = {1: sys.stdout, 2: sys.stderr}


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


@click.command()
@click.argument("run", type=int)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@click.option("--raw", is_flag=True, help="The very bytes, escapes and all: only into a file or a pager you trust.")
@click.option("--since", callback=lambda _ctx, _param, text: moment(text), help="90s, 10m, 2h ago, or a time (UTC).")
@click.option("--grep", "pattern", default="", help="Only lines that hold this regular expression (RE2).")
@click.pass_obj
def logs(settings: Settings, run: int, follow: bool, raw: bool, since: float | None, pattern: str) -> None:
    """Print what a run printed. Control characters are shown, not obeyed, unless --raw."""
    wanted: dict[str, str | float] = {"q": pattern, "regex": 1, "case": 1} if pattern else {}
    if since is not None:
        wanted["since"] = since

    async def follow_output() -> None:
        async with open_client(settings) as client:
            after = 0
            while True:
                now = await client.get(f"/runs/{run}")
                if now["lines"] > after:
                    # Up to a known line: what --grep leaves out is not looked at twice.
                    async for line in client.lines(run, after=after, limit=now["lines"] - after, **wanted):
                        write_line(line, raw=raw)
                after = now["lines"]
                if now["state"] == "ended" or not follow:
                    return
                await _until_more(client, run, after)

    asyncio.run(follow_output())


async def _until_more(client: Client, run: int, after: int) -> None:
    """Wait on the run's stream until it has a line after `after`, or its end."""
    async for name, data in client.frames(run, after=after):
        if name == "eof" or (name == "lines" and data["lines"][-1][0] > after):
            return


_AGO = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def moment(text: str | None) -> float | None:
    """ "10m" (ago), "2026-11-21 14:03:09" (UTC unless it says) -> unix seconds. Raises `click.BadParameter`."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text.strip()):
        return max(0.0, time.time() - float(ago[1]) * _UNITS[ago[2]])
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time: write 90s, 10m, 2h, or 2026-11-21 14:03:09.") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def write_line(line: Json, *, raw: bool) -> None:
    data = base64.b64decode(line["base64"]) if "base64" in line else str(line["text"]).encode()
    out = STREAMS.get(line["stream"], sys.stdout)
    if raw:
        out.buffer.write(data + (b"\n" if line["complete"] else b""))
    else:
        out.write(visible(data) + "\n")
    out.flush()
