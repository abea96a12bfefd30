"""The floors of the house, and what must not stand in it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(ROOT / "app").rglob("*.py"), *(ROOT / "sandbox_runner").rglob("*.py")])


def test_no_room_uses_a_room_above_it_and_each_language_is_spoken_on_its_own_floor_only() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)

    assert checked.returncode == 0, checked.stdout
    assert "0 broken" in checked.stdout


def test_no_module_is_named_after_nothing() -> None:
    names = {path.stem for path in SOURCES}

    assert not names & {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "service"}


def test_no_class_is_a_manager_or_a_service_and_no_except_is_bare() -> None:
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name.endswith(("Manager", "Service", "Helper")):
                found.append(f"{path.name}:{node.lineno} {node.name}")
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                found.append(f"{path.name}:{node.lineno} bare except")

    assert not found


def test_only_the_settings_and_the_entry_point_read_the_environment() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }
    # What runs inside a sandbox has an environment of its own.
    inside = {name for name in readers if name.startswith(("app/task_standard/inside/", "sandbox_runner/keeper/"))}

    assert readers - inside == {"app/cli/__init__.py"}


def test_every_package_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.name == "__init__.py" and ast.get_docstring(ast.parse(path.read_text())) is None
    ]

    assert not silent
