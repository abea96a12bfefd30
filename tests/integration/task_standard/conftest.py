"""Folders of families, agents and suites, made for one test."""

from __future__ import annotations

from pathlib import Path

import pytest

SOURCE = """
class TaskFamily:
    standard_version = "0.5.0"

    @staticmethod
    def get_tasks():
        return {"1": {}, "two": {}}

    @staticmethod
    def get_instructions(t):
        return "Do it."
"""
MANIFEST = "version: 1.0.0\ntasks:\n  1:\n    resources: {cpus: 0.5, memory_gb: 0.25}\n  two: {}\n"
SUITE = """title: Small
description: For a test.
tasks:
  - task: fam/1
    agent: right
    expect: {outcome: succeeded, score: 1, alerts: []}
  - task: fam/1
    agent: wrong
    limits: {wall_seconds: 5m, pids: 64}
    policy: stop
  - task: fam/two
    agent: right
    expect: {alerts: [deception, manipulation]}
"""


class House:
    """A folder as `Settings.suites` names it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("families/fam/fam.py", SOURCE)
        self.write("families/fam/manifest.yaml", MANIFEST)
        self.write("families/fam/assets/words.txt", "anvil\n")
        self.write("agents/right/main.py", "print('right')\n")
        self.write("agents/right/agent.yaml", "title: Right one\ndescription: It is right.\n")
        self.write("agents/wrong/main.sh", "echo wrong\n")
        self.write("small.yaml", SUITE)

    def write(self, path: str, text: str | bytes) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    @property
    def family(self) -> Path:
        return self.folder / "families" / "fam"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)
