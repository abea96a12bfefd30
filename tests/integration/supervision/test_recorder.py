"""Output on its way into the store: at once when idle, in batches else, one run never in another's way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.domain.limits import RunLimits
from app.domain.runs import EvaluationRequest, Outcome, PlannedRun, Policy
from app.store import output, runs
from app.store.database import Database, sqlite_url
from app.store.reading import line_at
from app.supervision.doorbell import Doorbell
from app.supervision.recorder import MOST_WAITING, PRESSING, Intake, Recorder
from sandbox_runner.driver import OutputChunk, Stream
from tests.integration.supervision.conftest import OpenHouse, knobs

HOUR = 3600.0
WINDOW = 512 * 1024


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    db = await Database.open(sqlite_url(tmp_path / "data"))
    yield db
    await db.close()


async def new_run(db: Database) -> int:
    planned = PlannedRun(
        suite="s", family="f", task="t", agent="a", model=None, epoch=1, limits=RunLimits(), policy=Policy.NOTIFY
    )
    _, (run,) = await runs.submit(db, EvaluationRequest(suite="s"), [planned], actor="a", at=0.0)
    return run.id


@contextlib.asynccontextmanager
async def recording(
    db: Database, bell: Doorbell, *, batch_seconds: float, rest: float = HOUR * 1e6
) -> AsyncIterator[Recorder]:
    recorder = Recorder(db, bell, batch_seconds=batch_seconds, patience_seconds=10.0, rest=rest)
    task = asyncio.create_task(recorder.run())
    yield recorder
    task.cancel()
    await asyncio.wait([task])


def take(recorder: Recorder, intake: Intake, data: bytes, *, at: float = 1.0) -> None:
    intake.take(OutputChunk(offset=intake.offset, job=1, stream=Stream.STDOUT, data=data, at=at), keep=True)
    recorder.wake()


async def stored(bell: Doorbell, intake: Intake, upto: int) -> None:
    with bell.listen() as heard:
        async with asyncio.timeout(20):
            while intake.stored < upto:
                await heard.wait()


async def test_a_line_after_a_pause_is_stored_at_once_and_what_follows_gathers_until_it_presses(db: Database) -> None:
    bell, run = Doorbell(), await new_run(db)
    async with recording(db, bell, batch_seconds=HOUR) as recorder:
        intake = await recorder.open(run, "box")
        take(recorder, intake, b"first\n")
        await stored(bell, intake, 6)

        take(recorder, intake, b"second\n")
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert intake.stored == 6  # an hour has not passed

        take(recorder, intake, b"x" * PRESSING + b"\n")
        await stored(bell, intake, 6 + 7 + PRESSING + 1)
    assert (await runs.get(db, run)).bytes == 6 + 7 + PRESSING + 1


async def test_commits_that_cost_little_follow_each_other_closely_whatever_the_longest_batch(db: Database) -> None:
    bell, run = Doorbell(), await new_run(db)
    async with recording(db, bell, batch_seconds=HOUR, rest=1.0) as recorder:
        intake = await recorder.open(run, "box")
        for count in range(1, 11):
            take(recorder, intake, b"light\n")
            await stored(bell, intake, 6 * count)  # an hour has not passed
        assert (await runs.get(db, run)).lines == 10


async def test_a_run_that_floods_has_no_other_run_s_line_wait_for_more_than_what_is_under_way(db: Database) -> None:
    bell = Doorbell()
    loud, quiet = await new_run(db), await new_run(db)
    async with recording(db, bell, batch_seconds=0.05) as recorder:
        flood, drip = await recorder.open(loud, "box"), await recorder.open(quiet, "box")

        async def flooding() -> None:
            """As fast as a keeper may: a window ahead of what is stored."""
            with bell.listen() as heard:
                while True:
                    while flood.offset - flood.stored < WINDOW:
                        take(recorder, flood, (b"y" * 99 + b"\n") * 600)
                    await heard.wait()

        task = asyncio.create_task(flooding())
        await stored(bell, flood, 2 * WINDOW)
        for number in range(1, 11):
            before = flood.offset
            take(recorder, drip, b"drip\n")
            await stored(bell, drip, 5 * number)
            # The commit that was under way, the one that has the line, and what was printed during both.
            assert flood.stored - before <= 3 * WINDOW
        task.cancel()
        await asyncio.wait([task])
    assert (await runs.get(db, quiet)).lines == 10


async def test_a_flood_of_bare_newlines_is_stored_whole_and_never_gathers(open_house: OpenHouse) -> None:
    flood = [(0.0, Stream.STDOUT, b"\n" * 65_536)] * 8
    most = 0
    async with open_house(knobs(lines=flood)) as house:
        (run,) = await house.submit()

        async def watching() -> None:
            nonlocal most
            while True:
                live = house.supervisor._shop.lives.get(run.id)
                if live is not None and live.intake is not None:
                    most = max(most, len(live.intake.lines))
                await asyncio.sleep(0)

        task = asyncio.create_task(watching())
        ended = await house.until_ended(run.id, within=60)
        task.cancel()
        await asyncio.wait([task])

    assert (ended.outcome, ended.lines) == (Outcome.SUCCEEDED, 8 * 65_536)
    assert 0 < most <= MOST_WAITING + 65_536


async def test_a_clock_that_is_set_changes_no_number_and_no_time_that_was_told(db: Database) -> None:
    bell, run = Doorbell(), await new_run(db)
    times = [1_795_269_789.123456, 1_795_269_790.000001, 1_795_260_000.5, 2_000_000_000.25, 1_795_269_791.0]
    async with recording(db, bell, batch_seconds=0.0) as recorder:
        intake = await recorder.open(run, "box")
        for at in times:
            take(recorder, intake, b"tick\n", at=at)
        await recorder.close(intake)

    lines = await output.read(db, run, after=0)
    assert [line.number for line in lines] == [1, 2, 3, 4, 5]
    assert [line.at for line in lines] == times
    assert await line_at(db, run, 1_795_269_790.0) == 2
