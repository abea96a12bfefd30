"""The scripts explain themselves, and refuse what they do not know before they do anything."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPLAINED = [
    *(f"scripts/{name}" for name in ("bootstrap", "check", "lock", "run", "test", "vendor")),
    "deploy/build-image",
    "sandbox_runner/image/build",
    ".ci/run",
]


def scripts() -> set[str]:
    files = (
        path for folder in ("scripts", "deploy", "sandbox_runner/image", ".ci") for path in (ROOT / folder).iterdir()
    )
    return {str(path.relative_to(ROOT)) for path in files if path.is_file() and path.read_bytes().startswith(b"#!")}


def test_this_list_names_each_script() -> None:
    assert set(EXPLAINED) == scripts()


@pytest.mark.parametrize("name", EXPLAINED)
def test_a_script_is_executable_and_explains_itself_on_help(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    done = subprocess.run([ROOT / name, "--help"], capture_output=True, text=True, timeout=20, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: {name}")


@pytest.mark.parametrize("name", [name for name in EXPLAINED if name not in ("scripts/run", ".ci/run")])
def test_a_script_refuses_an_unknown_argument_by_name(name: str) -> None:
    done = subprocess.run([ROOT / name, "--nonsense"], capture_output=True, text=True, timeout=20, cwd="/")
    assert done.returncode == 2
    assert "--nonsense" in done.stderr
    assert done.stdout == ""
