"""`crucible runs`."""

from __future__ import annotations

import asyncio
import shutil
import time

import click
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from app.cli.client import Json, open_client
from app.domain.runs import RunState
from app.domain.scores import ScoreStatus
from app.settings import Settings
from app.web.text import visible

COLUMNS = ("run", "task", "agent", "state", "took", "lines", "score", "detail")
NUMBERS = frozenset({"run", "took", "lines", "score"})
#: Number, names and state of a run: what a table of runs is for.
LEAST_COLUMNS = 4


@click.command()
@click.option("--all", "everything", is_flag=True, help="Those that have ended as well.")
@click.option("--limit", type=click.IntRange(1, 1000), default=30, show_default=True)
@click.pass_obj
def runs(settings: Settings, everything: bool, limit: int) -> None:
    """List the runs that have not ended, newest first."""

    async def ask() -> list[Json]:
        async with open_client(settings) as client:
            states = [] if everything else [state.value for state in RunState if state is not RunState.ENDED]
            found: list[Json] = (await client.get("/runs", limit=limit, state=states))["runs"]
            return found

    found = asyncio.run(ask())
    if not found:
        click.echo(
            "Nothing is running. `crucible runs --all` lists what has ended."
            if not everything
            else "There are no runs yet."
        )
        return
    terminal = Console(width=shutil.get_terminal_size(fallback=(200, 50)).columns)
    table = runs_table(found, width=terminal.width)
    # Where not even the names have room the terminal breaks the lines: nothing is left out.
    Console(
        width=max(terminal.width, Measurement.get(terminal, terminal.options.update(width=1000), table).maximum)
    ).print(table)


def live_table(found: list[Json], *, width: int) -> Table:
    """Runs under way for the terminal. A column that a narrow one has no whole room for is left out, never a name."""
    columns = ["run", "task", "agent", "state", "took", "lines"]
    rows = [dict(zip(COLUMNS, _cells(run), strict=True)) for run in found]
    while len(columns) > LEAST_COLUMNS and _width(rows, columns) > width:
        columns.pop()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in NUMBERS else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(row[column] for column in columns))
    return table


def _width(rows: list[dict[str, Text]], columns: list[str]) -> int:
    longest = (max([len(column), *(row[column].cell_len for row in rows)]) for column in columns)
    return sum(longest) + 2 * (len(columns) - 1)


def runs_table(found: list[Json], *, width: int = 200) -> Table:
    """Runs as a table for the terminal; nothing in it can act on the terminal. In a narrow one the detail is cut."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    rows = [_cells(run) for run in found]
    widths = [max([len(column), *(row[at].cell_len for row in rows)]) for at, column in enumerate(COLUMNS)]
    room = width - sum(widths[:-1]) - 2 * len(COLUMNS)
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in NUMBERS else "left", no_wrap=True)
    for row in rows:
        row[-1].truncate(max(room, 6), overflow="ellipsis")
        table.add_row(*row)
    return table


def _cells(run: Json) -> list[Text]:
    state, score = position(run), score_text(run["score"])
    return [
        plain(text)
        for text in (run["id"], run["task"], run["agent"], state, took(run), run["lines"], score, run["detail"])
    ]


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
    return f"{score['value']:g}" if score["status"] == "scored" else ScoreStatus(score["status"]).words
