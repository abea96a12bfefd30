"""For every suite."""

from __future__ import annotations

import asyncio

import hypothesis
import pytest

# On a busy machine any example may take long; what hangs meets the time limit of every test.
hypothesis.settings.register_profile("crucible", deadline=None)
hypothesis.settings.load_profile("crucible")

# The virtual-time plugin asks the policy for the current loop around every test. While none was ever set, asking makes
# one that nobody closes, and the warning about it fails some later test.
asyncio.set_event_loop(None)


def pytest_addoption(parser: pytest.Parser) -> None:
    chaos = parser.getgroup("chaos", "tests/docker/test_chaos.py")
    chaos.addoption("--chaos-seconds", type=float, default=300.0, help="how long things are killed (300)")
    chaos.addoption("--chaos-seed", type=int, default=6, help="which schedule of kills (6)")
