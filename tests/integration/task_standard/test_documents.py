"""docs/suites.md and docs/task-standard.md say what is there."""

from __future__ import annotations

import re
from pathlib import Path

from app.domain.runs import EvaluationRequest
from app.safety.rules import RULES
from app.settings import ROOT
from app.task_standard import suites
from app.task_standard.manifest import read_manifest

SUITES = (ROOT / "docs" / "suites.md").read_text("utf-8")
STANDARD = (ROOT / "docs" / "task-standard.md").read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_every_rule_stands_in_the_table_with_its_severity() -> None:
    rows = re.findall(r"^\| `(\w+\.[\w-]+)` \| .* \| (\w+) \|$", SUITES, re.MULTILINE)
    assert rows == [(rule.name, rule.severity.word) for rule in RULES]


def test_every_suite_that_ships_stands_in_the_table() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| .* \|$", SUITES, re.MULTILINE)
    assert sorted(rows) == [suite.name for suite in suites.list_suites([ROOT / "suites"])]


def test_the_first_family_suite_and_agent_of_the_documents_work(tmp_path: Path) -> None:
    (family,) = blocks(STANDARD, "python")
    suite, agent = blocks(SUITES, "yaml")
    for path, text in {
        "families/greeting/greeting.py": family,
        "mine.yaml": suite,
        "agents/greeter/agent.yaml": agent,
        "agents/greeter/main.sh": "printf hello > ~/submission.txt\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (planned,) = suites.plan([tmp_path], EvaluationRequest(suite="mine"))
    assert (planned.task, planned.agent, planned.limits.wall_seconds) == ("hello", "greeter", 120)


def test_the_manifest_of_the_document_is_read(tmp_path: Path) -> None:
    (manifest,) = blocks(STANDARD, "yaml")
    (tmp_path / "manifest.yaml").write_text(manifest)
    read = read_manifest(tmp_path / "manifest.yaml", label="manifest.yaml")
    assert list(read.tasks) == ["1"]
    assert read.tasks["1"].network_optional
