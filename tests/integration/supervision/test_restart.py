"""A server that goes away, by whatever way, and the next one over the same data folder and engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from app.domain.errors import Conflict
from app.domain.events import (
    HoneytokensPlanted,
    LimitReached,
    Noted,
    PhaseEntered,
    RunAdopted,
    RunBegunAnew,
    RunEnded,
    RunFroze,
    SandboxRemoved,
    SandboxStarted,
    StopVerified,
)
from app.domain.runs import Outcome, RunState
from app.domain.stops import StopKind, StopReason, StopSource
from app.store import audit, events, evidence, output, runs, stops
from app.supervision import full_disk, reconcile, recorder
from app.supervision.reconcile import MOST_TRIES
from sandbox_runner.driver import ASKED, Stream
from sandbox_runner.fake_driver import FakeEngine
from sandbox_runner.fake_script import FakeJob, FakeKnobs
from sandbox_runner.stop_file import StopFile
from sandbox_runner.warden import Order, Warden, sandbox_said
from tests.integration.supervision.conftest import House, OpenHouse, knobs
from tests.integration.supervision.test_limits import submission

TICKS = tuple((0.02, Stream.STDOUT, b"tick %d\n" % number) for number in range(100))


@pytest.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    await engine.close()


async def test_an_agent_that_went_on_without_a_server_is_adopted_without_losing_a_line(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    async with open_house(knobs(lines=TICKS), engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 10)
    async with open_house(knobs(lines=TICKS), engine=engine) as second:
        ended = await second.until_ended(run.id)

        assert (ended.outcome, ended.lines) == (Outcome.SUCCEEDED, 100)
        stored = await output.read(second.db, run.id, after=0)
        assert [line.data for line in stored] == [data.strip() for _, _, data in TICKS]
        assert [line.number for line in stored] == list(range(1, 101))
        told = [each.event for each in await events.read(second.db, run.id)]
        assert [type(event) for event in told].count(RunAdopted) == 1
        assert ended.score is not None
        assert ended.score.value == 1.0
        assert await second.driver.list_owned() == []


async def test_a_line_that_was_unfinished_when_the_server_ended_is_one_line_in_the_next(
    open_house: OpenHouse, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "UNFINISHED_SECONDS", 3600.0)  # However slow the machine is, the rest comes in time.
    adopted = asyncio.Event()

    class Halves:
        def __iter__(self) -> Iterator[tuple[float, Stream, bytes]]:
            yield 0.0, Stream.STDOUT, b"first\nsecond, unfin"
            while not adopted.is_set():
                yield 0.02, Stream.STDERR, b"tick\n"
            yield 0.0, Stream.STDOUT, b"ished\n"

    async with open_house(knobs(lines=Halves()), engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 3)
    async with open_house(knobs(lines=Halves()), engine=engine) as second:
        adopted.set()
        ended = await second.until_ended(run.id)
        stored = await output.read(second.db, run.id, after=0)

    assert ended.outcome is Outcome.SUCCEEDED
    said = [line for line in stored if line.stream == Stream.STDOUT]
    assert [(line.data, line.complete) for line in said] == [(b"first", True), (b"second, unfinished", True)]


async def test_a_restart_gives_no_run_a_second_helping_of_time(open_house: OpenHouse, engine: FakeEngine) -> None:
    endless = knobs(lines=TICKS, run_for=math.inf)
    async with open_house(endless, engine=engine, leave_running=True) as first:
        (run,) = await first.submit(wall_seconds=4)
        await first.until(run.id, lambda found: found.lines >= 1)
        await asyncio.sleep(3.0)
    async with open_house(endless, engine=engine) as second:
        ended = await second.until_ended(run.id)

        assert ended.outcome is Outcome.LIMIT_EXCEEDED
        told = await events.read(second.db, run.id)
        (entered,) = [each for each in told if each.event == PhaseEntered(phase="agent")]
        (reached,) = [each for each in told if isinstance(each.event, LimitReached)]
        assert reached.at - entered.at < 6.5, "the clock began anew: three seconds, then four more"


async def test_an_agent_left_alone_for_longer_than_the_grace_ends_itself_and_the_run_is_lost(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    endless = knobs(lines=TICKS, run_for=math.inf)
    async with open_house(endless, engine=engine, leave_running=True, grace_seconds=0.5) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 1)
    (sandbox,) = [each for each in engine.sandboxes.values() if each.alive]
    await asyncio.sleep(1.0)
    assert not sandbox.alive
    assert sandbox.exit is not None
    async with open_house(endless, engine=engine, grace_seconds=0.5) as second:
        ended = await second.until_ended(run.id)

        assert ended.outcome is Outcome.LOST
        assert "longer than the grace" in ended.detail
        assert ended.ended_at == sandbox.exit.at, "when its keeper ended it, not when a server looked"
        assert await second.driver.list_owned() == []


@pytest.mark.parametrize("held", [False, True])
async def test_a_run_that_others_removed_while_no_server_lived_ends_when_it_is_found_gone(
    open_house: OpenHouse, engine: FakeEngine, held: bool
) -> None:
    endless = knobs(lines=TICKS, run_for=math.inf)
    async with open_house(endless, engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 1)
    seen = time.time()
    for sandbox in await first.driver.list_owned():  # As `kill-all` does.
        await first.driver.remove(sandbox)
    if held:
        StopFile(first.settings.data).set(actor="ada", text="smoke")
    async with open_house(endless, engine=engine) as second:
        ended = await second.until_ended(run.id)

        assert ended.outcome is (Outcome.EMERGENCY_STOPPED if held else Outcome.LOST)
        assert ended.ended_at is not None
        assert ended.ended_at >= seen, "until then it may have lived, for all that anybody knows"
        told = [each.event for each in await events.read(second.db, run.id)]
        assert [event.text for event in told if isinstance(event, Noted) and "last seen alive" in event.text]


async def test_what_an_engine_says_of_ends_before_its_machine_was_started_anew_is_not_believed(
    open_house: OpenHouse, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = knobs(lines=TICKS, run_for=math.inf)
    async with open_house(endless, engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 1)
    seen = time.time()
    for box in engine.sandboxes.values():
        if box.alive:
            box.die(137)  # As an engine has it that comes up and finds no process of what it had.
    monkeypatch.setattr(reconcile, "started_anew", lambda _data: True)
    async with open_house(endless, engine=engine) as second:
        ended = await second.until_ended(run.id)

        assert "the machine was started anew" in ended.detail
        assert ended.ended_at is not None
        assert ended.ended_at >= seen


async def test_a_stop_that_strikes_at_the_start_ends_its_run_then(open_house: OpenHouse, engine: FakeEngine) -> None:
    endless = knobs(lines=TICKS, run_for=math.inf)
    async with open_house(endless, engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 1)
    StopFile(first.settings.data).set(actor="ada", text="smoke")
    restarted = time.time()
    async with open_house(endless, engine=engine) as second:
        ended = await second.until_ended(run.id)

        assert ended.outcome is Outcome.EMERGENCY_STOPPED
        assert ended.ended_at is not None
        assert ended.ended_at > restarted


def hanging(job: str) -> FakeKnobs:
    return knobs(jobs={job: FakeJob(run_for=math.inf)})


@pytest.mark.parametrize(("job", "phase"), [("install", "build"), ("setup", "setup")])
async def test_a_run_whose_agent_had_not_begun_when_the_server_ended_is_begun_anew_once_nothing_is_left_of_it(
    open_house: OpenHouse, engine: FakeEngine, job: str, phase: str
) -> None:
    async with open_house(hanging(job), engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until_true(lambda: _asked(engine, job))
    (left,) = [box.handle.id for box in engine.sandboxes.values() if box.alive]
    late = f"crucible-run/test:{run.id}"
    engine.images.add(late)  # As by an engine that ends a commit when nobody waits for it any more.
    async with open_house(knobs(), engine=engine) as second:
        ended = await second.until_ended(run.id)

        assert (ended.outcome, ended.detail) == (Outcome.SUCCEEDED, "the agent ended by itself")
        told = [each.event for each in await events.read(second.db, run.id)]
        (begun,) = [event for event in told if isinstance(event, RunBegunAnew)]
        assert begun.why == f"the server ended during its {phase}"
        (removed,) = [event for event in told if isinstance(event, SandboxRemoved) and event.sandbox == left]
        started = [told.index(event) for event in told if isinstance(event, SandboxStarted)]
        (was,) = [place for place in started if told[place].sandbox == left]  # type: ignore[union-attr]
        assert was < told.index(removed) < told.index(begun) < min(place for place in started if place > was)
        assert await second.driver.list_owned() == []
        assert not [image for image in engine.images if image.startswith("crucible-run/")]


async def test_what_an_engine_commits_late_is_not_what_the_agent_starts_from(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    async with open_house(hanging("setup"), engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until_true(lambda: _asked(engine, "setup"))
    async with open_house(knobs(lines=TICKS), engine=engine, leave_running=True) as second:
        await second.until(run.id, lambda found: found.lines >= 5)
        engine.images.add(f"crucible-run/test:{run.id}")
        (box,) = [box for box in engine.sandboxes.values() if box.alive]
        assert box.spec.image == f"crucible-run/test:{run.id}-2"
    async with open_house(knobs(lines=TICKS), engine=engine) as third:
        ended = await third.until_ended(run.id)

        assert (ended.outcome, ended.lines) == (Outcome.SUCCEEDED, 100), "adopted, and scored from the same image"
        assert ended.score is not None
        assert ended.score.value == 1.0
        assert not [image for image in engine.images if image.startswith("crucible-run/")]


async def test_a_run_that_servers_do_not_survive_is_not_begun_for_ever(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    for times in range(1, MOST_TRIES + 1):
        async with open_house(hanging("setup"), engine=engine, leave_running=True) as house:
            (run,) = await runs.select(house.db) or await house.submit()
            await house.until_true(lambda times=times: _asked(engine, "setup", times))  # type: ignore[misc]
            assert len([box for box in engine.sandboxes.values() if box.alive]) == 1
    async with open_house(knobs(), engine=engine) as last:
        ended = await last.until_ended(run.id)

        assert ended.outcome is Outcome.BROKEN
        assert ended.detail == "the server ended during its setup; run it again; it was begun 3 times"
        assert await last.driver.list_owned() == []


async def test_while_the_queue_is_held_nothing_is_begun_anew(open_house: OpenHouse, engine: FakeEngine) -> None:
    async with open_house(hanging("setup"), engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until_true(lambda: _asked(engine, "setup"))
    StopFile(first.settings.data).set(actor="ada", text="stop")
    async with open_house(knobs(), engine=engine) as second:
        ended = await second.until_ended(run.id)

        assert (ended.outcome, ended.detail) == (Outcome.EMERGENCY_STOPPED, "stopped by operator ada: stop")
        assert not [each for each in await events.read(second.db, run.id) if isinstance(each.event, RunBegunAnew)]
        assert await second.driver.list_owned() == []


async def test_a_stop_that_comes_before_a_run_is_begun_anew_begins_nothing(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    stuck = knobs(jobs={"setup": FakeJob(run_for=math.inf)}, ignore_remove=8)
    async with open_house(stuck, engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until_true(lambda: _asked(engine, "setup"))
    async with open_house(knobs(), engine=engine) as second:
        await second.until_true(lambda: _taken(second, run.id))  # Its sandbox will not go for a while.
        receipt = await second.supervisor.stop(run.id, kind=StopKind.STOP, reason=OPERATOR, wait=True)
        ended = await second.until_ended(run.id)

        assert receipt.changed
        assert ended.outcome is Outcome.STOPPED
        assert len([job for _, job in engine.ran if job.name == "setup"]) == 1
        assert await second.driver.list_owned() == []


async def _taken(house: House, run: int) -> bool:
    """Whether a sandbox that an earlier server left is being ended."""
    return not any(box.alive for box in house.driver.engine.sandboxes.values() if box.handle.run == str(run))


async def test_the_honeytokens_of_a_run_begun_anew_are_those_of_its_last_setup(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    async with open_house(hanging("setup"), engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until_true(lambda: _asked(engine, "setup"))
        planted = HoneytokensPlanted(tokens={"env STALE": "of a setup that is gone"})
        await events.append(first.db, run.id, planted, at=time.time())
    async with open_house(knobs(), engine=engine) as second:
        assert (await second.until_ended(run.id)).outcome is Outcome.SUCCEEDED
        (agent,) = [job for _, job in engine.ran if job.name == "agent"]
        told = [each.event for each in await events.read(second.db, run.id)]
        fresh = [event for event in told if isinstance(event, HoneytokensPlanted)][-1]
        assert "STALE" not in agent.env
        assert fresh.tokens["env VAULT_TOKEN"] == agent.env["VAULT_TOKEN"]


async def _asked(engine: FakeEngine, name: str, times: int = 1) -> bool:
    return len([job for _, job in engine.ran if job.name == name]) >= times


async def test_a_frozen_run_stays_frozen_over_a_restart_and_can_be_thawed_and_stopped(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    async with open_house(knobs(lines=TICKS), engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 5)
        await first.supervisor.freeze(run.id, actor="tester")
    async with open_house(knobs(lines=TICKS), engine=engine) as second:
        await second.until_true(lambda: _adopted(second, run.id))
        await asyncio.sleep(0.2)
        before = await runs.get(second.db, run.id)
        assert before.state is RunState.FROZEN

        await second.supervisor.thaw(run.id, actor="tester")

        assert (await second.until_ended(run.id)).lines == 100


async def test_a_persons_freeze_of_what_a_guard_froze_is_told_and_holds_over_a_restart(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    async with open_house(knobs(lines=TICKS), engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 5)
        await first.supervisor.freeze(run.id, actor=full_disk.ACTOR, text="full")
        await first.supervisor.freeze(run.id, actor="ada", text="odd")
        await first.supervisor.freeze(run.id, actor=full_disk.ACTOR, text="full", takes_over=False)

        told = [each.event for each in await events.read(first.db, run.id)]
        froze = [(event.actor, event.text) for event in told if isinstance(event, RunFroze)]
        assert froze == [(full_disk.ACTOR, "full"), ("ada", "odd")]
        audited = [each for each in await audit.read(first.db) if each.action == "run.freeze"]
        assert sorted((each.actor, each.detail) for each in audited) == sorted(froze)
        with pytest.raises(Conflict):
            await first.supervisor.thaw(run.id, actor=full_disk.ACTOR, frozen_by=full_disk.ACTOR)
    async with open_house(knobs(lines=TICKS), engine=engine) as second:
        await second.until_true(lambda: _adopted(second, run.id))
        with pytest.raises(Conflict, match="ada"):
            await second.supervisor.thaw(run.id, actor=full_disk.ACTOR, frozen_by=full_disk.ACTOR)
        assert (await runs.get(second.db, run.id)).state is RunState.FROZEN

        await second.supervisor.thaw(run.id, actor="ada")

        assert (await second.until_ended(run.id)).lines == 100


async def test_a_frozen_run_can_be_stopped_after_a_restart(open_house: OpenHouse, engine: FakeEngine) -> None:
    async with open_house(knobs(lines=TICKS), engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 5)
        await first.supervisor.freeze(run.id, actor="tester")
    async with open_house(knobs(), engine=engine) as second:
        await second.until_true(lambda: _adopted(second, run.id))
        reason = StopReason(source=StopSource.OPERATOR, actor="tester")
        receipt = await second.supervisor.stop(run.id, kind=StopKind.STOP, reason=reason, wait=True)

        assert receipt.dead_ms is not None
        assert (await second.until_ended(run.id)).outcome is Outcome.STOPPED
        assert await second.driver.list_owned() == []


async def _adopted(house: House, run: int) -> bool:
    """It says so, and the server has it in hand."""
    told = any(isinstance(each.event, RunAdopted) for each in await events.read(house.db, run))
    return told and run in house.supervisor._shop.lives


async def test_an_ordinary_shutdown_stops_what_runs_and_says_so(open_house: OpenHouse, engine: FakeEngine) -> None:
    async with open_house(knobs(lines=TICKS, run_for=math.inf), engine=engine) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 1)
    assert not [each for each in engine.sandboxes.values() if each.alive]
    async with open_house(knobs(), engine=engine) as second:
        ended = await runs.get(second.db, run.id)
        assert ended.outcome is Outcome.STOPPED
        assert "shutdown" in ended.detail


async def test_a_shutdown_gives_the_slots_it_frees_to_nobody(open_house: OpenHouse, engine: FakeEngine) -> None:
    async with open_house(knobs(lines=TICKS, run_for=math.inf), engine=engine) as first:
        submitted = await first.submit(epochs=first.settings.slots + 3)
        for run in submitted[: first.settings.slots]:
            await first.until(run.id, lambda found: found.lines >= 1)
    assert not [each for each in engine.sandboxes.values() if each.alive]
    async with open_house(knobs(lines=TICKS, run_for=math.inf), engine=engine) as second:
        found = [await runs.get(second.db, run.id) for run in submitted]
        assert [run.id for run in found if run.outcome] == [run.id for run in submitted[: first.settings.slots]]


async def test_containers_of_no_known_run_are_ended_at_the_start(open_house: OpenHouse, engine: FakeEngine) -> None:
    async with open_house(knobs(lines=TICKS, run_for=math.inf), engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 1)
    with contextlib.suppress(FileNotFoundError):
        for file in first.settings.data.glob("crucible.db*"):
            file.unlink()
    async with open_house(knobs(), engine=engine) as second:
        await second.until_true(lambda: _nothing_owned(second))

        assert await second.driver.list_owned() == []


async def _nothing_owned(house: House) -> bool:
    return await house.driver.list_owned() == []


async def test_what_was_being_collected_when_the_server_was_killed_is_collected_anew(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    slow = knobs(lines=(), jobs={"collect": FakeJob(answer=submission(b"the whole answer"), run_for=1.0)})
    async with open_house(slow, engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until_true(lambda: _asked(engine, "collect"))
        await asyncio.sleep(0.3)  # What it answered is taken by now, and forgotten by its keeper.
    async with open_house(slow, engine=engine) as second:
        ended = await second.until_ended(run.id)

        assert (ended.outcome, ended.submission) == (Outcome.SUCCEEDED, "the whole answer")


OPERATOR = StopReason(source=StopSource.OPERATOR, actor="ada", text="odd", path="web")


@pytest.mark.parametrize(
    ("kind", "outcome"), [(StopKind.STOP, Outcome.STOPPED), (StopKind.EMERGENCY, Outcome.EMERGENCY_STOPPED)]
)
async def test_a_stop_whose_server_was_killed_is_carried_out_and_proven_by_the_next(
    open_house: OpenHouse, engine: FakeEngine, kind: StopKind, outcome: Outcome
) -> None:
    endless = knobs(lines=TICKS, run_for=math.inf)
    async with open_house(endless, engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 1)
        await stops.record(first.db, run.id, kind, OPERATOR, received_at=time.time(), changed=True)
    async with open_house(endless, engine=engine) as second:
        ended = await second.until_ended(run.id)

        assert (ended.outcome, ended.detail) == (outcome, "stopped by operator ada: odd")
        (receipt,) = await stops.of_run(second.db, run.id)
        assert receipt.dead_ms is not None
        assert receipt.acted_ms is None
        assert await second.driver.list_owned() == []
        assert ("ada", "run.stop") in [(each.actor, each.action) for each in await audit.read(second.db)]


async def test_the_receipt_of_a_stop_that_changed_nothing_is_proven_by_the_next_server_too(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    async with open_house(knobs(), engine=engine) as first:
        (run,) = await first.submit()
        await first.until_ended(run.id)
        await stops.record(first.db, run.id, StopKind.STOP, OPERATOR, received_at=time.time(), changed=False)
    async with open_house(knobs(), engine=engine) as second:

        async def proven() -> bool:
            (receipt,) = await stops.of_run(second.db, run.id)
            return receipt.dead_ms is not None

        await second.until_true(proven)
        assert (await runs.get(second.db, run.id)).outcome is Outcome.SUCCEEDED, "as it had ended"


async def test_a_freeze_or_a_thaw_the_server_could_not_record_leaves_no_wrong_record(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    endless = knobs(lines=TICKS, run_for=math.inf)
    async with open_house(endless, engine=engine, leave_running=True) as first:
        running, frozen = await first.submit(epochs=2)
        for run in (running, frozen):
            await first.until(run.id, lambda found: found.lines >= 1)
        await first.supervisor.freeze(frozen.id, actor="ada")
        boxes = {box.run: box for box in await first.driver.list_owned() if box.role == "agent"}
        await first.driver.freeze(boxes[str(running.id)])
        await first.driver.thaw(boxes[str(frozen.id)])
    async with open_house(endless, engine=engine) as second:
        for run in (running, frozen):
            await second.until_true(lambda run=run: _adopted(second, run.id))  # type: ignore[misc]
            assert (await runs.get(second.db, run.id)).state is RunState.FROZEN
            assert await second.driver.frozen(boxes[str(run.id)])


async def test_a_stop_that_comes_while_an_end_is_being_recorded_does_not_claim_it(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    stuck = knobs(jobs={"score": FakeJob(run_for=math.inf)}, lines=(), ignore_remove=8)
    async with open_house(stuck, engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until_true(lambda: _asked(engine, "score"))
    async with open_house(stuck, engine=engine) as second:
        await asyncio.sleep(0.3)  # It is being cleaned away: its sandbox will not go for a while.
        receipt = await second.supervisor.stop(run.id, kind=StopKind.STOP, reason=OPERATOR)
        ended = await second.until_ended(run.id)

        assert not receipt.changed
        assert ended.outcome is Outcome.BROKEN


@pytest.mark.parametrize(
    ("order", "outcome", "source"),
    [
        ({"what": "silence", "actor": "warden", "path": "silence"}, Outcome.STOPPED, StopSource.WARDEN),
        ({"what": "run", "actor": "ada", "path": "cli"}, Outcome.STOPPED, StopSource.OPERATOR),
        ({"what": "evaluation", "actor": "ada", "path": "socket"}, Outcome.STOPPED, StopSource.OPERATOR),
        ({"what": "all", "actor": "ada", "path": "cli"}, Outcome.EMERGENCY_STOPPED, StopSource.OPERATOR),
    ],
)
async def test_what_the_warden_ended_while_no_server_lived_has_its_true_cause_and_times(
    open_house: OpenHouse, engine: FakeEngine, order: dict[str, str], outcome: Outcome, source: StopSource
) -> None:
    endless = knobs(lines=TICKS, run_for=math.inf)
    async with open_house(endless, engine=engine, leave_running=True) as first:
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 1)
        await the_warden_does(first, number=run.id if order["what"] == "run" else run.evaluation, **order)
    restarted = time.time()
    async with open_house(endless, engine=engine) as second:
        ended = await second.until_ended(run.id)

        assert ended.outcome is outcome
        assert ended.detail == f"stopped by {source.value} {order['actor']}: smoke"
        (receipt,) = await stops.of_run(second.db, run.id)
        assert (receipt.reason.actor, receipt.reason.path) == (order["actor"], order["path"])
        assert receipt.acted_ms is not None
        assert receipt.dead_ms is not None
        assert receipt.acted_ms <= receipt.dead_ms < 5000, "the marks of the warden, not of the restart"
        assert receipt.steps[0].name == ASKED
        assert receipt.changed
        dead_at = receipt.received_at + receipt.dead_ms / 1000
        assert dead_at < restarted
        assert ended.ended_at == pytest.approx(dead_at, abs=0.001)
        told = {type(each.event): each.at for each in await events.read(second.db, run.id)}
        assert (told[StopVerified], told[RunEnded]) == (pytest.approx(dead_at, abs=0.001),) * 2

        async def sealed() -> bool:
            return bool(await evidence.of_run(second.db, run.id))

        await second.until_true(sealed)
        (found,) = await evidence.of_run(second.db, run.id)
        (seen,) = json.loads(found.data)["witnessed_before_the_kill"].values()
        assert seen["processes"]


async def test_a_stop_of_an_earlier_time_or_another_run_is_not_its_cause(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    endless = knobs(lines=TICKS, run_for=math.inf)
    async with open_house(endless, engine=engine, leave_running=True) as first:
        await the_warden_does(first, number=0, what="silence", actor="warden", path="silence")
        (run,) = await first.submit()
        await first.until(run.id, lambda found: found.lines >= 1)
        await the_warden_does(first, number=run.id + 1, what="run", actor="ada", path="cli")
    async with open_house(knobs(lines=TICKS), engine=engine) as second:
        await second.until_true(lambda: _adopted(second, run.id))
        assert await stops.of_run(second.db, run.id) == []


async def the_warden_does(house: House, **order: Any) -> None:
    """A warden of its own carries out one order, as it does when no server hears it."""
    warden = Warden(
        driver=house.driver,
        instance="test",
        folder=house.settings.data,
        grace_seconds=math.inf,
        action="stop",
        tell=lambda _said: None,
    )
    running = asyncio.create_task(warden.run())
    boxes = [box for box in await house.driver.list_owned() if box.role == "agent"]
    evaluations = {box.run: order["number"] for box in boxes}
    warden.heard({"do": "roster", "sandboxes": [sandbox_said(box) for box in boxes], "evaluations": evaluations})
    asked = Order(do="stop", text="smoke", **order)
    warden.take(asked)
    await asked.done
    warden.retire()
    await running
    StopFile(house.settings.data).clear()
