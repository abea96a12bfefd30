"""What the documents say is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from app.cli import crucible
from app.domain.runs import Outcome, Phase, RunState
from app.settings import reference

ROOT = Path(__file__).resolve().parents[2]


def test_every_setting_stands_in_the_settings_page_as_the_code_has_it() -> None:
    assert reference() in (ROOT / "docs/settings.md").read_text()


def test_every_word_of_a_run_stands_in_the_glossary() -> None:
    glossary = (ROOT / "docs/glossary.md").read_text()
    missing = [word.value for kind in (RunState, Outcome, Phase) for word in kind if f"`{word.value}`" not in glossary]

    assert not missing


def test_links_between_documents_lead_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    link = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
    broken = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in documents
        for target in link.findall(document.read_text())
        if not (document.parent / target).exists()
    ]

    assert not broken


def test_every_promise_of_the_threat_model_names_a_test_that_is_there() -> None:
    page = (ROOT / "docs/threat-model.md").read_text()
    named = re.findall(r"\[`([\w.]+)::(\w+)`\]\(\.\./([\w/.]+)\)", page)
    missing = [
        f"{path}::{name}"
        for file, name, path in named
        if Path(path).name != file or f"def {name}(" not in (ROOT / path).read_text()
    ]
    promises = [row for row in page.splitlines() if row.startswith("| ") and "test_" not in row and "---" not in row]

    assert len(named) > 40
    assert not missing
    # Beside the tables' heads and the list of attackers, no row stands without a test.
    assert all(row.startswith(("| promise", "| |", "| A ", "| B ", "| C ", "| D ", "| E ", "| F ")) for row in promises)


def test_every_module_the_architecture_page_draws_exists() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    named = set(re.findall(r"`((?:app|sandbox_runner)/[\w/]+(?:\.py|/))`", page))

    assert len(named) > 20
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_command_has_help_that_says_what_it_does() -> None:
    for name, command in crucible.commands.items():
        shown = CliRunner().invoke(crucible, [name, "--help"], env={})
        assert shown.exit_code == 0
        assert command.help
        assert command.help.strip()[0].isupper()
