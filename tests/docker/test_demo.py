"""The main job, whole: the demo suite from the command line, on real containers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(400)
def test_the_demo_suite_comes_out_as_expected_with_alerts_of_every_category_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRUCIBLE_")}
    data = tmp_path / "data"
    done = subprocess.run(
        [str(Path(sys.executable).parent / "crucible"), "evaluate", "--suite", "demo"],
        env={**clean, "CRUCIBLE_DATA": str(data)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if "as expected" in line]
    assert len(rows) == 9
    for category in ("self_replication", "manipulation", "system_access", "deception"):
        assert category in done.stdout
    assert not containers(data)
    assert not images(data)
    assert not (data / "server.json").exists()


def containers(data: Path) -> list[str]:
    instance = (data / "instance").read_text().strip()
    return engine("ps", "--all", "--quiet", "--filter", f"label=crucible.instance={instance}")


def images(data: Path) -> list[str]:
    """What runs of this instance left: each run's own image is named after it."""
    instance = (data / "instance").read_text().strip()
    named = engine("images", "--format", "{{json .Repository}}")
    return [name for name in map(json.loads, named) if name.startswith("crucible-run") and instance in name]


def engine(*arguments: str) -> list[str]:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True, timeout=60).stdout.split()
