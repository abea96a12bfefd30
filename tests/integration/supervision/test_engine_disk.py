"""The engine's disk runs full: root that fills it is ended at the reserve, what needs it says so, agents go on."""

from __future__ import annotations

import asyncio
import dataclasses
import math

from app.domain.alerts import AlertStatus
from app.domain.runs import Outcome, Phase, Run
from app.domain.stops import StopKind, StopReason, StopSource
from app.store import alerts
from app.supervision.host_alerts import ENGINE_DISK
from sandbox_runner.driver import DiskRoom, EngineDiskFull, Sandbox, Stream
from sandbox_runner.fake_script import FakeJob
from sandbox_runner.spec import MIB
from tests.integration.supervision.conftest import House, OpenHouse, knobs

RESERVE = 100 * MIB
WELL = DiskRoom(bytes=RESERVE, files=None)
SHORT = DiskRoom(bytes=RESERVE - 1, files=None)
NOTHING = DiskRoom(bytes=0, files=None)
TICKS = tuple((0.02, Stream.STDOUT, b"tick %d\n" % number) for number in range(100))
#: Its setup goes on for ever.
ROOT_AT_WORK = knobs(jobs={"setup": FakeJob(run_for=math.inf)})


async def two(house: House) -> tuple[Run, Run]:
    """The second to be begun has written the most."""
    small, large = await house.submit(epochs=2)
    house.driver.engine.layers = {str(small.id): 1 * MIB, str(large.id): 2 * MIB}
    return small, large


async def in_setup(house: House, *asked: Run) -> None:
    for run in asked:
        await house.until(run.id, lambda found: found.phase is Phase.SETUP)
    await house.until_true(lambda: _root_works(house, len(asked)))


async def _root_works(house: House, number: int) -> bool:
    return len(house.supervisor._disk._works) == number


async def told(house: House, status: AlertStatus) -> list[str]:
    return [alert.finding.rule for alert in await alerts.select(house.db, statuses={status})]


async def test_at_the_reserve_the_root_that_wrote_the_most_is_ended_and_the_other_goes_on(
    open_house: OpenHouse,
) -> None:
    async with open_house(ROOT_AT_WORK, engine_reserve_bytes=RESERVE) as house:
        small, large = await two(house)
        await in_setup(house, small, large)
        house.driver.engine.room = SHORT

        async def room_again() -> bool:
            gone = len(await house.driver.list_owned("test")) == 1
            if gone:
                house.driver.engine.room = WELL
            return gone

        await house.until_true(room_again)
        ended = await house.until_ended(large.id)
        assert ended.outcome is Outcome.BROKEN
        assert "the container engine's disk has" in ended.detail
        assert "this run's setup sandbox had written the most, 2.0 MiB, and was ended" in ended.detail
        await house.until_true(lambda: _is(house, AlertStatus.RESOLVED))
        assert await _root_works(house, 1)


async def _is(house: House, status: AlertStatus) -> bool:
    return await told(house, status) == [ENGINE_DISK.rule]


async def test_who_made_too_many_files_cannot_be_told_and_all_that_root_does_is_ended(open_house: OpenHouse) -> None:
    async with open_house(ROOT_AT_WORK, engine_reserve_bytes=RESERVE) as house:
        asked = await two(house)
        await in_setup(house, *asked)
        house.driver.engine.room = DiskRoom(bytes=2 * RESERVE, files=RESERVE // (16 * 1024) - 1)

        for run in asked:
            ended = await house.until_ended(run.id)
            assert ended.outcome is Outcome.BROKEN
            assert "room for 6399 files, 6400 are kept free" in ended.detail


async def test_a_sandbox_whose_size_the_engine_does_not_tell_is_ended_all_the_same(open_house: OpenHouse) -> None:
    async with open_house(ROOT_AT_WORK, engine_reserve_bytes=RESERVE) as house:
        (run,) = await house.submit()
        await in_setup(house, run)
        house.driver.layer_bytes = _never  # type: ignore[method-assign,assignment]
        house.driver.engine.room = SHORT

        assert "setup sandbox may have filled it and was ended" in (await house.until_ended(run.id)).detail


async def _never(_sandboxes: object) -> dict[str, int]:
    await asyncio.Event().wait()
    return {}


async def test_below_the_reserve_no_root_is_begun_and_an_agent_at_work_ends_as_ever(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=TICKS), engine_reserve_bytes=RESERVE) as house:
        (agent,) = await house.submit()
        await house.until(agent.id, lambda found: found.lines > 0)
        house.driver.engine.room = SHORT
        (late,) = await house.submit()

        refused = await house.until_ended(late.id)
        assert refused.outcome is Outcome.BROKEN
        assert "no setup sandbox was begun. Free space there (docker system df" in refused.detail
        await house.until_true(lambda: _is(house, AlertStatus.OPEN))
        ended = await house.until_ended(agent.id)
        assert (ended.outcome, ended.lines) == (Outcome.SUCCEEDED, len(TICKS))
        assert ended.score is not None
        assert "no scoring sandbox was begun" in ended.score.explanation


async def test_an_image_that_would_not_leave_the_reserve_is_not_made(open_house: OpenHouse) -> None:
    async with open_house(knobs(), engine_reserve_bytes=RESERVE) as house:
        house.driver.engine.room = DiskRoom(bytes=RESERVE + 5 * MIB, files=None)
        house.driver.engine.layers = {"1": 6 * MIB}
        (run,) = await house.submit()

        ended = await house.until_ended(run.id)
        assert ended.outcome is Outcome.BROKEN
        assert "takes 6.0 MiB, and the container engine's disk has 5.0 MiB left beyond the 100.0 MiB" in ended.detail
        assert house.driver.engine.images == set()


async def test_root_whose_image_is_being_made_is_not_ended(open_house: OpenHouse) -> None:
    async with open_house(knobs(), engine_reserve_bytes=RESERVE) as house:
        begun, go_on, commit = asyncio.Event(), asyncio.Event(), house.driver.commit

        async def slow(sandbox: Sandbox, reference: str) -> str:
            begun.set()
            await go_on.wait()
            return await commit(sandbox, reference)

        house.driver.commit = slow  # type: ignore[method-assign]
        (run,) = await house.submit()
        await begun.wait()
        house.driver.engine.room = SHORT
        await house.supervisor._disk.look()
        house.driver.engine.room = WELL
        go_on.set()

        assert (await house.until_ended(run.id)).outcome is Outcome.SUCCEEDED


async def test_an_image_that_a_stop_came_into_the_middle_of_is_removed_when_the_engine_has_made_it(
    open_house: OpenHouse,
) -> None:
    async with open_house(knobs()) as house:
        begun, engine = asyncio.Event(), house.driver.engine

        async def slow(_sandbox: Sandbox, _reference: str) -> str:
            begun.set()
            await asyncio.Event().wait()
            return ""

        commit, house.driver.commit = house.driver.commit, slow  # type: ignore[method-assign]
        (stopped,) = await house.submit()
        await begun.wait()
        reason = StopReason(source=StopSource.OPERATOR, actor="ada", text="", path="test")
        await house.supervisor.stop(stopped.id, kind=StopKind.STOP, reason=reason, wait=True)
        await house.until_ended(stopped.id)
        house.driver.commit = commit  # type: ignore[method-assign]
        house.driver.knobs = knobs(run_for=math.inf)
        (at_work,) = await house.submit()
        await house.until(at_work.id, lambda found: found.phase is Phase.AGENT)
        late, another = f"crucible-run/test:{stopped.id}", "crucible-run/another:1"
        engine.images |= {late, f"{late}-2", "crucible-run/test:999", "crucible-run/test:odd", another}
        await house.supervisor._reconciler.remove_images_of_ended_runs()

        left = {name for name in engine.images if name.startswith("crucible-run/")}
        assert left == {f"crucible-run/test:{at_work.id}", "crucible-run/test:odd", another}, "999 is in no record"


async def test_two_images_at_once_are_reckoned_together(open_house: OpenHouse) -> None:
    async with open_house(knobs(), engine_reserve_bytes=RESERVE) as house:
        disk = house.supervisor._disk
        house.driver.engine.room = DiskRoom(bytes=RESERVE + 5 * MIB, files=None)
        disk._promised = 4 * MIB
        house.driver.engine.layers = {"1": 2 * MIB}
        (run,) = await house.submit()

        assert "has 1.0 MiB left beyond" in (await house.until_ended(run.id)).detail


async def test_where_nobody_sees_the_disk_the_engines_refusal_is_the_cause_and_an_alert_until_it_makes_something(
    open_house: OpenHouse,
) -> None:
    async with open_house(knobs(), engine_reserve_bytes=0) as house:
        house.driver.engine.room = NOTHING
        house.driver.disk_room = _unseen  # type: ignore[method-assign]
        (run,) = await house.submit()

        ended = await house.until_ended(run.id)
        assert ended.outcome is Outcome.BROKEN
        assert "the container engine's disk is full" in ended.detail
        assert "docker system df" in ended.detail
        await house.until_true(lambda: _is(house, AlertStatus.OPEN))
        await house.supervisor._disk.look()
        assert house.supervisor._disk._well is False

        house.driver.engine.room = WELL
        (later,) = await house.submit()
        assert (await house.until_ended(later.id)).outcome is Outcome.SUCCEEDED
        await house.supervisor._disk.look()
        await house.until_true(lambda: _is(house, AlertStatus.RESOLVED))


async def _unseen() -> None:
    return None


async def test_a_refusal_with_the_disk_seen_to_be_full_is_over_when_it_is_seen_to_have_room(
    open_house: OpenHouse,
) -> None:
    async with open_house(ROOT_AT_WORK, engine_reserve_bytes=RESERVE) as house:
        house.driver.engine.room = NOTHING
        await house.supervisor._disk.refused(EngineDiskFull("full"))
        await house.until_true(lambda: _is(house, AlertStatus.OPEN))
        house.driver.engine.room = WELL
        await house.supervisor._disk.look()
        await house.until_true(lambda: _is(house, AlertStatus.RESOLVED))


async def test_a_stop_of_what_is_being_ended_for_the_reserve_stays_a_stop(open_house: OpenHouse) -> None:
    async with open_house(dataclasses.replace(ROOT_AT_WORK, ignore_kill=2), engine_reserve_bytes=RESERVE) as house:
        (run,) = await house.submit()
        await in_setup(house, run)
        reason = StopReason(source=StopSource.OPERATOR, actor="ada", text="", path="test")
        house.driver.engine.room = SHORT
        stopping = asyncio.create_task(house.supervisor.stop(run.id, kind=StopKind.STOP, reason=reason, wait=True))
        await house.supervisor._disk.look()
        await stopping

        assert (await house.until_ended(run.id)).outcome is Outcome.STOPPED
