"""What a server that was shut down left of an evaluation: read from its record, because it answers no more."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

from app.cli.local_server import FILE, Address, find_server
from app.domain.errors import CrucibleError
from app.domain.runs import Run, RunState
from app.settings import Settings
from app.store import runs
from app.store.database import Database, sqlite_url
from app.web.stop_commands import kill_all_line

#: Seconds a server may take for its shutdown before nothing is said of it.
SHUTDOWN_SECONDS = 60.0
LOOK_SECONDS = 0.1
#: Runs of one evaluation, at most.
MOST_RUNS = 1000


async def what_became(settings: Settings, address: Address, evaluation: int) -> str | None:
    """How the runs of `evaluation` stand, when the server at `address` was shut down in good order, in sentences.

    Waits while it is ending. None when it was killed, is not of this data folder, or nobody can tell.
    """
    if settings.server or not await _was_shut_down(settings, address):
        return None
    try:
        db = await Database.open(settings.database or sqlite_url(settings.data))
        try:
            return _told(settings, await runs.select(db, evaluation=evaluation, limit=MOST_RUNS, narrow=True))
        finally:
            await db.close()
    except CrucibleError:
        return None


async def _was_shut_down(settings: Settings, address: Address) -> bool:
    """Only a shutdown takes the server's file away, when all else of it has ended."""
    deadline = time.monotonic() + SHUTDOWN_SECONDS
    while find_server(settings) == address:
        if time.monotonic() > deadline:
            return False
        if not _lives(settings):
            return find_server(settings) != address
        await asyncio.sleep(LOOK_SECONDS)
    return True


def _lives(settings: Settings) -> bool:
    """Whether the server's process is there; one that was killed and that its parent has not asked for is not."""
    try:
        pid = int(json.loads((settings.data / FILE).read_text())["pid"])
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError, KeyError, IndexError):
        return False
    return state not in {"Z", "X"}


def _told(settings: Settings, found: list[Run]) -> str:
    ended = Counter(str(run.outcome) for run in found if run.state is RunState.ENDED)
    queued = sum(run.state is RunState.QUEUED for run in found)
    rest = len(found) - ended.total() - queued
    parts = [f"{count} {outcome}" for outcome, count in ended.most_common()]
    said = [f"Of its {len(found)} runs {ended.total()} have ended" + (f" ({', '.join(parts)})." if parts else ".")]
    if queued:
        said.append(f"Waiting for the next server: {queued}.")
    if rest:
        said.append(f"Not recorded as ended: {rest}. To end every sandbox: {kill_all_line(settings)}")
    return " ".join(said)
