"""Who asked may be cancelled at any moment, and again and again: the record is whole, and the writer is free."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from app.domain.errors import NotFound
from app.domain.events import Noted
from app.domain.runs import Phase, RunState
from app.store import audit, events, output, runs
from app.store.database import Database
from app.store.output import RelayPosition, StoredLine
from tests.integration.store.conftest import Queue


async def cancel_for_good(task: asyncio.Task[object]) -> None:
    """As a cancel scope does: again at every turn, until it ends."""
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)


async def test_a_caller_cancelled_again_and_again_leaves_the_writer_free(db: Database, queue: Queue) -> None:
    for turns, run in enumerate(await queue(40)):
        step = asyncio.create_task(runs.transition(db, run.id, RunState.QUEUED, RunState.STARTING, at=1.0))
        for _ in range(turns):
            await asyncio.sleep(0)
        await cancel_for_good(step)

        found = await runs.get(db, run.id)
        # Both of a step or neither: the state, and the event that tells of it.
        assert await events.last_seq(db, run.id) == (2 if found.state is RunState.STARTING else 1)
        await audit.append(db, at=1.0, actor="next", action="write")


async def test_output_is_stored_with_its_position_or_not_at_all_whenever_it_is_cancelled(
    db: Database, run: int
) -> None:
    stored = 0
    for number in itertools.count():
        lines = [StoredLine(number=stored + n, at=1.0, stream=1, data=b"x" * 3000, complete=True) for n in range(1, 11)]
        append = asyncio.create_task(output.append(db, run, lines, RelayPosition(sandbox="s", offset=stored + 10)))
        await asyncio.wait([append], timeout=number / 10_000)
        if append.done() and number > 20:
            break
        await cancel_for_good(append)
        stored = (await runs.get(db, run)).lines
        assert stored % 10 == 0
        assert (await output.position(db, run, "s")).offset == stored
        assert len(await output.read(db, run, after=0, limit=10_000)) == stored


async def test_a_cancelled_caller_leaves_only_when_its_write_has_ended(db: Database, run: int) -> None:
    step = asyncio.create_task(runs.enter_phase(db, run, Phase.AGENT, at=1.0))
    await asyncio.sleep(0)
    step.cancel()

    with pytest.raises(asyncio.CancelledError):
        await step

    assert (await runs.get(db, run)).phase is Phase.AGENT


async def test_a_write_that_fails_after_its_caller_was_cancelled_is_a_cancellation(db: Database) -> None:
    append = asyncio.create_task(events.append(db, 99, Noted(text="x"), at=1.0))
    await asyncio.sleep(0)
    append.cancel()

    with pytest.raises(asyncio.CancelledError) as caught:
        await append

    assert isinstance(caught.value.__cause__, NotFound)
