"""The results of an evaluation as text for the terminal: names and outcomes have their room first."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

#: Columns a verdict needs beside the rest: below that it stands on a line of its own.
VERDICT_WIDTH = 40
#: Columns a line of its own stands further in than its run.
INDENT = 5
#: Columns between two columns of the table.
GAP = 2
_NAMES = ("run", "task", "agent", "outcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run; every text is safe for a terminal."""

    run: Text
    task: Text
    agent: Text
    outcome: Text
    score: Text
    took: Text
    alerts: Text
    verdict: Text


def results_table(results: list[Result], *, width: int) -> RenderableType:
    """A line a run where `width` has room for it, else two: no name and no outcome is cut, no verdict is squeezed."""
    columns = (*_NAMES, "score", "took", "alerts")
    longest = max((result.verdict.cell_len for result in results), default=0)
    if _width(results, columns) + GAP + min(longest, VERDICT_WIDTH) <= width:
        table = _table(results, columns)
        table.add_column("verdict")
        for result in results:
            table.add_row(*(getattr(result, column) for column in columns), result.verdict)
        return table
    lines: list[RenderableType] = [_table(results, _NAMES)]
    for result in results:
        row = _table(results, _NAMES)
        row.show_header = False
        row.add_row(*(getattr(result, column) for column in _NAMES))
        rest = ("; score: ", result.score, "; took ", result.took, "; alerts: ", result.alerts)
        second = Text.assemble(result.verdict, *rest)
        lines += [row, Padding(second, (0, 0, 0, INDENT))]
    return Group(*lines)


def least_width(results: list[Result]) -> int:
    """Columns that names and outcomes need: in a narrower terminal it is the terminal that breaks the lines."""
    return _width(results, _NAMES)


def _table(results: list[Result], columns: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column in {"run", "score", "took"}
        table.add_column(
            column, justify="right" if right else "left", no_wrap=True, min_width=_longest(results, column)
        )
    return table


def _width(results: list[Result], columns: tuple[str, ...]) -> int:
    return sum(_longest(results, column) for column in columns) + GAP * (len(columns) - 1)


def _longest(results: list[Result], column: str) -> int:
    cells: list[Text] = [getattr(result, column) for result in results]
    return max([len(column), *(cell.cell_len for cell in cells)])
