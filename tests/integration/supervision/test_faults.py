"""The record in trouble: what was printed waits, one run's trouble stays its own, the end is always recorded."""

from __future__ import annotations

import asyncio
import os
import sqlite3

import pytest
from sqlalchemy import text

from app.domain.events import OutputLost, RunFroze, RunThawed
from app.domain.runs import Outcome, Phase, RunState
from app.domain.stops import StopKind, StopReason, StopSource
from app.store import alerts, events, output, runs, stops
from app.supervision.live_run import LiveRun
from sandbox_runner.driver import Stream
from sandbox_runner.fake_driver import FakeEngine
from sandbox_runner.fake_sandbox import State
from tests.integration.supervision.conftest import House, OpenHouse, knobs

TICKS = tuple((0.02, Stream.STDOUT, b"tick %d\n" % number) for number in range(100))


async def test_a_database_locked_for_seconds_delays_the_record_and_loses_nothing(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=TICKS)) as house:
        (run,) = await house.submit()
        await house.until(run.id, lambda found: found.lines >= 5)
        file = house.settings.data / "crucible.db"
        stray = sqlite3.connect(file, isolation_level=None, timeout=30, check_same_thread=False)
        # In a thread: our own writer may hold the lock and needs the event loop to let it go.
        await asyncio.to_thread(stray.execute, "BEGIN IMMEDIATE")
        await asyncio.sleep(3.0)
        stray.execute("ROLLBACK")
        stray.close()
        ended = await house.until_ended(run.id, within=40)

        assert (ended.outcome, ended.lines) == (Outcome.SUCCEEDED, 100)
        stored = await output.read(house.db, run.id, after=0)
        assert [line.data for line in stored] == [data.strip() for _, _, data in TICKS]


async def room(house: House, pages: int | None) -> None:
    """Let the database grow by so many pages; None: as it likes."""
    async with house.db.writing() as connection:
        used = await connection.scalar(text("PRAGMA page_count"))
        most = 2**30 if pages is None else used + pages
        await connection.exec_driver_sql(f"PRAGMA max_page_count = {most}")


NOISE = tuple((0.005, Stream.STDOUT, os.urandom(4000).replace(b"\n", b" ") + b"\n") for _ in range(400))


async def all_of(house: House, run: int) -> list[bytes]:
    return [line.data + b"\n" for line in await output.read(house.db, run, after=0, limit=5000)]


async def the_agent_stands_still(house: House) -> None:
    async def still() -> bool:
        return any(box.state is State.FROZEN for box in house.driver.engine.sandboxes.values())

    await house.until_true(still, within=30)


async def test_a_full_disk_has_the_agent_stand_still_until_there_is_room_and_nothing_is_lost(
    open_house: OpenHouse,
) -> None:
    async with open_house(knobs(lines=NOISE), patience_seconds=0.5) as house:
        (run,) = await house.submit()
        await house.until(run.id, lambda found: found.lines >= 1)
        await room(house, 60)
        await the_agent_stands_still(house)
        stored = await all_of(house, run.id)
        assert 0 < len(stored) < 400
        assert stored == [data for _, _, data in NOISE[: len(stored)]]
        await room(house, None)
        ended = await house.until_ended(run.id, within=40)

        assert ended.outcome is Outcome.SUCCEEDED
        assert await all_of(house, run.id) == [data for _, _, data in NOISE]
        (alert,) = await alerts.select(house.db, run=run.id)
        assert (alert.finding.rule, alert.action) == ("full-disk", "froze")
        assert "disk is full" in alert.finding.quote
        told = [each.event for each in await events.read(house.db, run.id)]
        assert [type(each).__name__ for each in told if isinstance(each, RunFroze | RunThawed)] == [
            "RunFroze",
            "RunThawed",
        ]
        assert not [each for each in told if isinstance(each, OutputLost)]


async def test_an_agent_that_a_person_froze_too_is_not_let_go_by_the_room_on_the_disk(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=NOISE), patience_seconds=0.5) as house:
        (run,) = await house.submit()
        await house.until(run.id, lambda found: found.lines >= 1)
        await room(house, 60)
        await the_agent_stands_still(house)
        live = house.supervisor._shop.lives[run.id]
        # The first freeze waits to be recorded; the second says only whose it is.
        person = asyncio.create_task(house.supervisor.freeze(run.id, actor="ada"))
        await room(house, None)
        await person
        await house.until_true(lambda: _alerted(house, run.id))
        assert live.frozen
        await house.supervisor.thaw(run.id, actor="ada")

        assert (await house.until_ended(run.id, within=40)).outcome is Outcome.SUCCEEDED


async def _alerted(house: House, run: int) -> bool:
    return bool(await alerts.select(house.db, run=run))


async def test_with_the_policy_stop_a_full_disk_ends_the_run_and_what_was_not_stored_is_counted(
    open_house: OpenHouse,
) -> None:
    async with open_house(knobs(lines=NOISE), patience_seconds=0.5, full_disk="stop") as house:
        (run,) = await house.submit()
        await house.until(run.id, lambda found: found.lines >= 1)
        await room(house, 60)
        live = house.supervisor._shop.lives[run.id]
        await house.until_true(lambda: _gave_up(live), within=30)
        await room(house, None)
        ended = await house.until_ended(run.id, within=40)

        assert ended.outcome is Outcome.STOPPED
        assert "full-disk" in ended.detail
        lines = await all_of(house, run.id)
        assert len(lines) == ended.lines
        assert lines == [data for _, _, data in NOISE[: ended.lines]]
        told = [each.event for each in await events.read(house.db, run.id)]
        (lost,) = [event for event in told if isinstance(event, OutputLost)]
        assert lost.bytes > 0
        (alert,) = await alerts.select(house.db, run=run.id)
        assert alert.action == "stopped"
        house.driver.knobs = knobs(lines=())
        (after,) = await house.submit()
        assert (await house.until_ended(after.id)).outcome is Outcome.SUCCEEDED


async def _gave_up(live: LiveRun) -> bool:
    return live.lost_bytes > 0


async def _dead(house: House) -> bool:
    agents = [box for box in house.driver.engine.sandboxes.values() if box.handle.role == "agent"]
    return bool(agents) and not any(box.alive for box in agents)


async def test_a_run_can_be_stopped_while_it_waits_for_room_and_the_server_shut_down(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=NOISE), patience_seconds=0.5) as house:
        (run,) = await house.submit()
        await house.until(run.id, lambda found: found.lines >= 1)
        await room(house, 60)
        await the_agent_stands_still(house)
        reason = StopReason(source=StopSource.OPERATOR, actor="ada", text="", path="test")
        stopping = asyncio.create_task(house.supervisor.stop(run.id, kind=StopKind.STOP, reason=reason, wait=True))
        await house.until_true(lambda: _dead(house), within=30)
        await room(house, None)
        await stopping

        assert (await house.until_ended(run.id, within=40)).outcome is Outcome.STOPPED


async def test_a_server_whose_disk_is_full_can_be_shut_down(
    open_house: OpenHouse, caplog: pytest.LogCaptureFixture
) -> None:
    engine = FakeEngine()
    async with open_house(knobs(lines=NOISE), engine=engine, patience_seconds=0.3, leave_running=True) as house:
        (run,) = await house.submit()
        await house.until(run.id, lambda found: found.lines >= 1)
        await room(house, 60)
        await the_agent_stands_still(house)
    assert any(box.alive for box in engine.sandboxes.values()), "left to its keeper"
    assert "did not end" not in caplog.text, "no run had to be given up"
    await engine.close()


async def test_no_output_is_stored_into_what_is_kept_for_alerts_and_stops(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=NOISE), patience_seconds=0.3, disk_reserve_bytes=2**62) as house:
        (run,) = await house.submit()
        await house.until_true(lambda: _alerted(house, run.id), within=30)
        assert (await runs.get(house.db, run.id)).lines == 0
        reason = StopReason(source=StopSource.OPERATOR, actor="ada", text="", path="test")
        await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=reason, wait=True)

        assert (await house.until_ended(run.id)).outcome is Outcome.STOPPED


async def test_a_run_that_stood_still_for_want_of_room_goes_on_under_the_next_server(open_house: OpenHouse) -> None:
    engine = FakeEngine()
    async with open_house(knobs(lines=NOISE), engine=engine, patience_seconds=0.3, leave_running=True) as house:
        (run,) = await house.submit()
        await house.until(run.id, lambda found: found.lines >= 1)
        house.supervisor._recorder._reserve_bytes = 2**62  # more than any disk has
        await house.until(run.id, lambda found: found.state is RunState.FROZEN)
    async with open_house(knobs(lines=NOISE), engine=engine) as house:
        ended = await house.until_ended(run.id, within=40)

        assert ended.outcome is Outcome.SUCCEEDED
        assert await all_of(house, run.id) == [data for _, _, data in NOISE]
    await engine.close()


def no_receipts(house: House, on: bool) -> None:
    """While it is on no receipt of a stop can be recorded."""
    stray = sqlite3.connect(house.settings.data / "crucible.db", isolation_level=None, timeout=30)
    if on:
        stray.execute("CREATE TRIGGER full BEFORE INSERT ON receipts BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    else:
        stray.execute("DROP TRIGGER full")
    stray.close()


async def test_stops_pressed_again_while_nothing_can_be_recorded_end_neither_the_server_nor_go_missing(
    open_house: OpenHouse,
) -> None:
    reason = StopReason(source=StopSource.OPERATOR, actor="admin", text="again", path="page")
    async with open_house(knobs(run_for=60)) as house:
        all_runs = await house.submit(epochs=2)
        for run in all_runs:
            await house.until(run.id, lambda found: found.phase is Phase.AGENT)
        await asyncio.to_thread(no_receipts, house, True)
        pressed = [asyncio.create_task(house.supervisor.stop_all(reason=reason)) for _ in range(3)]
        await house.until_true(lambda: nothing_lives(house))
        await asyncio.to_thread(no_receipts, house, False)
        await asyncio.gather(*pressed, return_exceptions=True)
        for run in all_runs:
            assert (await house.until_ended(run.id)).outcome is Outcome.EMERGENCY_STOPPED
            receipts = await stops.of_run(house.db, run.id)
            assert len(receipts) == 3
        assert house.supervisor.engine.reachable, "the server goes on"


async def nothing_lives(house: House) -> bool:
    return not await house.driver.list_owned("test")


async def test_who_pressed_and_left_leaves_a_receipt_that_is_proven(open_house: OpenHouse) -> None:
    reason = StopReason(source=StopSource.OPERATOR, actor="admin", text="", path="page")
    async with open_house(knobs(run_for=60, ignore_kill=1), slots=1) as house:
        working, queued = await house.submit(epochs=2)
        await house.until(working.id, lambda found: found.phase is Phase.AGENT)
        first = asyncio.create_task(house.supervisor.stop(working.id, kind=StopKind.STOP, reason=reason))
        pressed = [
            asyncio.create_task(house.supervisor.stop(run.id, kind=StopKind.STOP, reason=reason, wait=True))
            for run in (queued, working, queued)
        ]
        await asyncio.sleep(0)
        for press in pressed:
            press.cancel()
        await first
        ended = await house.until_ended(working.id)

        async def proven() -> bool:
            receipts = [*await stops.of_run(house.db, ended.id), *await stops.of_run(house.db, queued.id)]
            return len(receipts) == 4 and all(receipt.dead_ms is not None for receipt in receipts)

        await house.until_true(proven)


@pytest.mark.parametrize("removed", [False, True])
async def test_a_sandbox_that_somebody_else_ended_is_told_the_same_however_far_its_end_was(
    open_house: OpenHouse, removed: bool
) -> None:
    async with open_house(knobs(lines=TICKS)) as house:
        (run,) = await house.submit()
        await house.until(run.id, lambda found: found.lines >= 5)
        (sandbox,) = await house.driver.list_owned()
        await house.driver.kill(sandbox)
        if removed:
            await house.driver.remove(sandbox)
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.LOST
        assert ended.detail == "its sandbox was ended by somebody else, for example by kill-all"
