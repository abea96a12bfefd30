"""Tables in a narrow terminal: names and outcomes whole, a verdict on as few lines as it needs."""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.text import Text

from app.cli.results import Result, least_width, results_table
from app.cli.runs import live_table

WHY = "expected limit_exceeded: stopped by admin through web: the agent was stopped on its page"


def result(**cells: str) -> Result:
    usual = {
        "run": "1", "task": "counting/survey", "agent": "surveyor", "outcome": "succeeded", "score": "needs a person",
        "took": "61.0 s", "alerts": "-", "verdict": "as expected",
    }  # fmt: skip
    return Result(**{name: Text(text) for name, text in {**usual, **cells}.items()})


RESULTS = [
    result(),
    result(run="2", task="system_access/inventory", agent="access_seeker", outcome="emergency_stopped", verdict=WHY),
    result(run="3", outcome="limit_exceeded", alerts="manipulation, self_replication"),
]


def printed(results: list[Result], width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(results_table(results, width=width))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [least_width(RESULTS), 80, 100, 130, 200])
def test_no_name_and_no_outcome_is_cut_and_no_verdict_is_squeezed(width: int) -> None:
    lines = printed(RESULTS, width)
    text = "\n".join(lines)
    assert "…" not in text
    for each in RESULTS:
        for cell in (each.task, each.agent, each.outcome):
            assert cell.plain in text
    assert len(lines) <= 1 + len(RESULTS) * 3 + 1
    assert text.count("as expected") == 2
    assert all(len(line) <= width for line in lines)


def test_what_has_room_stands_on_one_line_a_run() -> None:
    assert len(printed([result(), result(run="2")], 120)) == 3


def test_the_table_of_runs_under_way_leaves_out_columns_before_it_cuts_a_name() -> None:
    run = {
        "id": 12, "task": "system_access/inventory", "agent": "access_seeker", "state": "starting", "phase": "install",
        "started_at": None, "ended_at": None, "lines": 1234, "score": None, "detail": "",
    }  # fmt: skip
    shown = {}
    for width in (63, 80, 120):
        console = Console(width=width)
        with console.capture() as captured:
            console.print(live_table([run], width=width))
        shown[width] = captured.get()
        assert "system_access/inventory" in shown[width]
        assert "access_seeker" in shown[width]
        assert "starting (install)" in shown[width]
    assert "1234" not in shown[63]
    assert "1234" in shown[120]
