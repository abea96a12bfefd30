"""`crucible logs` against a real server: followed, filtered, from a moment on."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from app.domain.runs import Outcome, RunState
from app.store import accounts, runs
from tests.integration.web.conftest import Site


async def logs(site: Site, *arguments: str) -> asyncio.subprocess.Process:
    user = await accounts.administrator(site.db)
    token = await accounts.create_token(site.db, user.id, "t" * 43, "t", at=time.time(), expires_at=None)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRUCIBLE_")}
    return await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "crucible"),
        "logs",
        *arguments,
        env={**clean, "CRUCIBLE_SERVER": site.url, "CRUCIBLE_TOKEN": f"crc_{token.id}_{'t' * 43}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_a_followed_and_filtered_run_is_printed_to_its_end(site: Site) -> None:
    run = await site.seed(b"1 tick", b"2 needle \x1b[2J", b"3 tick")
    following = await logs(site, str(run.id), "-f", "--grep", "^[0-9] need", "--since", "1h")
    assert following.stdout is not None
    async with asyncio.timeout(60):
        assert await following.stdout.readline() == b"2 needle \\e[2J\n"
        await site.print(run.id, b"4 tick", b"5 needle")
        assert await following.stdout.readline() == b"5 needle\n"
        await site.print(run.id, b"6 Needle")
        await runs.transition(
            site.db, run.id, RunState.RUNNING, RunState.ENDED, at=time.time(), outcome=Outcome.SUCCEEDED
        )
        site.supervisor.doorbell.ring(run.id)
        rest, said = await following.communicate()
    assert (rest, said) == (b"", b"")
    assert following.returncode == 0


async def test_a_bad_pattern_is_explained(site: Site) -> None:
    run = await site.seed(b"line")
    asked = await logs(site, str(run.id), "--grep", "(line")
    async with asyncio.timeout(60):
        _, said = await asked.communicate()
    assert asked.returncode == 2
    assert b"missing )" in said
