"""Stops in the first moments of a server, which does not know yet what an earlier one left: each is proven."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator

import pytest

from app.domain.events import Noted, RunAdopted
from app.domain.runs import Outcome, Run
from app.domain.stops import StopKind, StopReason, StopSource
from app.settings import Settings
from app.store import audit, events, evidence, hold, stops
from app.store.database import Database, sqlite_url
from sandbox_runner.attestation import Attestation
from sandbox_runner.driver import ASKED, Engine, Sandbox, Stream
from sandbox_runner.fake_driver import FakeDriver, FakeEngine
from sandbox_runner.kill import GONE
from sandbox_runner.spec import SandboxSpec
from sandbox_runner.stop_file import StopFile
from tests.integration.supervision.conftest import House, OpenHouse, knobs
from tests.integration.supervision.test_restart import the_warden_does

ADA = StopReason(source=StopSource.OPERATOR, actor="ada", text="odd", path="web")
ENDLESS = knobs(lines=((0.0, Stream.STDOUT, b"at work\n"),), run_for=math.inf)


@pytest.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    await engine.close()


class Slow(FakeDriver):
    """Answers a reconciling only when `answers` is set; kills as ever."""

    answers: asyncio.Event
    attesting: asyncio.Event

    async def check(self) -> Engine:
        await self.answers.wait()
        return await super().check()


class SlowToAttest(Slow):
    """Begins a reconciling, and holds it up where it is about to adopt."""

    async def check(self) -> Engine:
        return await FakeDriver.check(self)

    async def attest(self, sandbox: Sandbox, spec: SandboxSpec) -> Attestation:
        self.attesting.set()
        await self.answers.wait()
        return await super().attest(sandbox, spec)


def slow(house: House, kind: type[Slow] = Slow) -> Slow:
    """The house's driver, made slow before anything was asked of it."""
    house.driver.__class__ = kind
    assert isinstance(house.driver, Slow)
    house.driver.answers, house.driver.attesting = asyncio.Event(), asyncio.Event()
    return house.driver


async def left_at_work(open_house: OpenHouse, engine: FakeEngine, epochs: int = 1) -> list[Run]:
    """Runs of a server that is gone; their agents work on."""
    async with open_house(ENDLESS, engine=engine, leave_running=True) as first:
        submitted = await first.submit(epochs=epochs)
        for run in submitted:
            await first.until(run.id, lambda found: found.lines >= 1)
    assert len(alive(engine)) == epochs
    return submitted


def alive(engine: FakeEngine) -> list[Sandbox]:
    return [box.handle for box in engine.sandboxes.values() if box.alive]


async def never_adopted(house: House, run: Run) -> bool:
    return not any(isinstance(each.event, RunAdopted) for each in await events.read(house.db, run.id))


async def test_a_stop_before_anything_is_reconciled_kills_at_once_and_says_what_it_did(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    (run,) = await left_at_work(open_house, engine)
    async with open_house(ENDLESS, engine=engine) as house:
        driver = slow(house)
        receipt = await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=ADA, wait=True)

        assert alive(engine) == []
        assert not driver.answers.is_set(), "nothing was reconciled yet"
        assert receipt.changed
        assert receipt.acted_ms is not None
        assert receipt.dead_ms is not None
        assert {ASKED, GONE} <= {step.name for step in receipt.steps}
        driver.answers.set()
        ended = await house.until_ended(run.id)
        assert (ended.outcome, ended.detail) == (Outcome.STOPPED, "stopped by operator ada: odd")
        assert await never_adopted(house, run)
        (stored,) = await stops.of_run(house.db, run.id)
        assert (stored.id, stored.dead_ms) == (receipt.id, receipt.dead_ms)

        async def sealed() -> bool:
            return bool(await evidence.of_run(house.db, run.id))

        await house.until_true(sealed)


async def test_a_stop_while_a_run_is_about_to_be_adopted_is_its_end(open_house: OpenHouse, engine: FakeEngine) -> None:
    (run,) = await left_at_work(open_house, engine)
    async with open_house(ENDLESS, engine=engine) as house:
        driver = slow(house, SlowToAttest)
        await driver.attesting.wait()
        receipt = await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=ADA, wait=True)

        assert alive(engine) == []
        assert receipt.changed
        assert receipt.dead_ms is not None
        driver.answers.set()
        assert (await house.until_ended(run.id)).outcome is Outcome.STOPPED
        assert await never_adopted(house, run)


@pytest.mark.parametrize("what", ["run", "evaluation", "all"])
async def test_a_stop_while_the_engine_is_away_at_the_start_is_remembered_and_carried_out(
    open_house: OpenHouse, engine: FakeEngine, what: str
) -> None:
    first, second = await left_at_work(open_house, engine, epochs=2)
    engine.down = True
    async with open_house(ENDLESS, engine=engine) as house:
        supervisor, stop = house.supervisor, StopKind.STOP
        match what:
            case "run":
                receipts = [await supervisor.stop(run.id, kind=stop, reason=ADA) for run in (first, second)]
            case "evaluation":
                receipts = await supervisor.stop_evaluation(first.evaluation, kind=stop, reason=ADA)
            case _:
                receipts = await supervisor.stop_all(reason=ADA)

        assert {receipt.run for receipt in receipts} == {first.id, second.id}
        for run in (first, second):
            (stored,) = await stops.of_run(house.db, run.id)
            assert stored.changed
            assert (stored.acted_ms, stored.dead_ms, stored.steps) == (None, None, ())
        assert len(alive(engine)) == 2
        engine.down = False
        for run in (first, second):
            ended = await house.until_ended(run.id)
            assert ended.outcome is (Outcome.EMERGENCY_STOPPED if what == "all" else Outcome.STOPPED)
            assert await never_adopted(house, run)
            (stored,) = await stops.of_run(house.db, run.id)
            assert stored.dead_ms is not None
        assert alive(engine) == []
        assert await house.driver.list_owned() == []


async def test_a_stop_that_a_whole_server_could_not_carry_out_is_carried_out_by_the_next(
    open_house: OpenHouse, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    (run,) = await left_at_work(open_house, engine)
    engine.down = True
    async with open_house(ENDLESS, engine=engine) as second:
        await second.supervisor.stop(run.id, kind=StopKind.STOP, reason=ADA)
    assert "was not written" not in caplog.text
    assert "could not be recorded" not in caplog.text
    engine.down = False
    async with open_house(ENDLESS, engine=engine) as third:
        ended = await third.until_ended(run.id)

        assert (ended.outcome, ended.detail) == (Outcome.STOPPED, "stopped by operator ada: odd")
        assert await never_adopted(third, run)
        (receipt,) = await stops.of_run(third.db, run.id)
        assert receipt.dead_ms is not None
        assert alive(engine) == []


async def test_an_ended_run_is_not_said_to_be_gone_while_nobody_can_look(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    async with open_house(knobs(), engine=engine) as house:
        (run,) = await house.submit()
        await house.until_ended(run.id)
        engine.down = True
        receipt = await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=ADA)

        assert not receipt.changed
        assert (receipt.acted_ms, receipt.dead_ms) == (None, None)
        engine.down = False

        async def proven() -> bool:
            return all(each.dead_ms is not None for each in await stops.of_run(house.db, run.id))

        await house.until_true(proven)
        assert (await stops.of_run(house.db, run.id))[0].changed is False


async def test_a_stop_pressed_in_a_runs_last_moments_is_carried_out_by_the_next_server(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    async with open_house(ENDLESS, engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 1)
        await stops.record(first.db, run.id, StopKind.STOP, ADA, received_at=time.time(), changed=False)
    async with open_house(ENDLESS, engine=engine) as house:
        ended = await house.until_ended(run.id)

        assert (ended.outcome, ended.detail) == (Outcome.STOPPED, "stopped by operator ada: odd")
        assert await never_adopted(house, run)


@pytest.mark.parametrize("where", ["file", "record"])
@pytest.mark.parametrize("away", [False, True])
async def test_a_server_that_starts_under_the_latch_stops_what_an_earlier_one_left(
    open_house: OpenHouse, engine: FakeEngine, settings: Settings, where: str, away: bool
) -> None:
    submitted = await left_at_work(open_house, engine, epochs=2)
    if where == "file":
        StopFile(settings.data).set(actor="grace", text="smoke")
    else:
        db = await Database.open(sqlite_url(settings.data))
        await hold.set_hold(db, actor="grace", text="smoke", at=time.time())
        await db.close()
    engine.down = away
    async with open_house(ENDLESS, engine=engine) as house:
        for run in submitted:
            await house.until_true(lambda run=run: stopped(house, run))  # type: ignore[misc]
        assert len(alive(engine)) == 2 or not away
        engine.down = False
        for run in submitted:
            ended = await house.until_ended(run.id)
            assert (ended.outcome, ended.detail) == (Outcome.EMERGENCY_STOPPED, "stopped by operator grace: smoke")
            assert await never_adopted(house, run)
            (receipt,) = await stops.of_run(house.db, run.id)
            assert receipt.changed
            assert receipt.kind is StopKind.EMERGENCY
            assert receipt.reason.path == ("file" if where == "file" else "server")
            assert receipt.dead_ms is not None
        assert alive(engine) == []
        assert ("grace", "stop_all") in [(each.actor, each.action) for each in await audit.read(house.db)]
        assert await hold.current(house.db) is not None


async def test_a_press_that_no_server_heard_is_told_once_with_its_own_time(
    open_house: OpenHouse, settings: Settings
) -> None:
    settings.data.mkdir()
    latch = StopFile(settings.data)
    latch.set(actor="grace", text="smoke")
    os.utime(latch.path, (1_000_000_000, 1_000_000_000))
    for _ in range(2):  # A second start under it is not a second press.
        async with open_house(knobs()) as house:
            (told,) = [each for each in await audit.read(house.db) if each.action == "hold.set"]
            assert (told.actor, told.at) == ("grace", 1_000_000_000)
            assert told.detail.startswith("smoke (recorded when the server started, ")
            held = await hold.current(house.db)
            assert held is not None
            assert held.at == 1_000_000_000


async def test_a_press_that_a_server_recorded_is_not_told_again_by_the_next(open_house: OpenHouse) -> None:
    async with open_house(knobs()) as first:
        await first.supervisor.stop_all(reason=ADA)
    async with open_house(knobs()) as second:
        assert len([each for each in await audit.read(second.db) if each.action == "hold.set"]) == 1


async def stopped(house: House, run: Run) -> bool:
    return bool(await stops.of_run(house.db, run.id))


async def test_what_a_warden_ended_under_the_latch_is_told_by_the_wardens_marks(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    async with open_house(ENDLESS, engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 1)
        await the_warden_does(first, number=0, what="all", actor="ada", path="cli")
    StopFile(first.settings.data).set(actor="ada", text="smoke")
    async with open_house(ENDLESS, engine=engine) as house:
        assert (await house.until_ended(run.id)).outcome is Outcome.EMERGENCY_STOPPED
        (receipt,) = await stops.of_run(house.db, run.id)
        assert receipt.reason.path == "cli"
        assert receipt.steps[0].name == ASKED


async def test_a_press_that_comes_after_a_warden_ended_the_run_does_not_move_its_end(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    async with open_house(ENDLESS, engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 1)
        await the_warden_does(first, number=run.id, what="run", actor="ada", path="page")
    restarted = time.time()
    async with open_house(ENDLESS, engine=engine) as house:
        driver = slow(house)
        await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=ADA, wait=True)
        driver.answers.set()
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.STOPPED
        assert ended.ended_at is not None
        assert ended.ended_at < restarted
        told = [each.event for each in await events.read(house.db, run.id)]
        assert not [event for event in told if isinstance(event, Noted) and "last seen" in event.text]


async def test_what_had_been_stopped_before_the_latch_was_found_keeps_its_receipt(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    async with open_house(ENDLESS, engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 1)
        await stops.record(first.db, run.id, StopKind.STOP, ADA, received_at=time.time(), changed=True)
    StopFile(first.settings.data).set(actor="grace", text="smoke")
    async with open_house(ENDLESS, engine=engine) as house:
        ended = await house.until_ended(run.id)

        assert (ended.outcome, ended.detail) == (Outcome.STOPPED, "stopped by operator ada: odd")
        assert len(await stops.of_run(house.db, run.id)) == 1
