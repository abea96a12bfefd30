"""A stop works in every state, at every moment, and leaves nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest

from app.domain.errors import Conflict, Unavailable
from app.domain.runs import Outcome, Run, RunState
from app.domain.stops import StopKind, StopReason, StopSource
from app.store import hold, runs, stops
from app.store.database import Database
from app.supervision.live_run import LiveRun
from app.supervision.owners import Owners
from app.supervision.reconcile import Found
from sandbox_runner.driver import Stream
from sandbox_runner.stop_file import StopFile
from tests.integration.supervision.conftest import House, OpenHouse, knobs

REASON = StopReason(source=StopSource.OPERATOR, actor="tester", text="enough", path="test")

ENDLESS = knobs(lines=((0.0, Stream.STDOUT, b"at work\n"),), run_for=math.inf)


async def at_work(house: House, run: int) -> None:
    await house.until(run, lambda found: found.lines >= 1)


async def test_a_running_run_is_stopped_and_proven_dead(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit()
        await at_work(house, run.id)

        receipt = await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True)

        assert receipt.changed
        assert receipt.acted_ms is not None
        assert receipt.dead_ms is not None
        assert 0 <= receipt.acted_ms <= receipt.dead_ms
        assert await house.driver.list_owned() == []
        ended = await house.until_ended(run.id)
        assert ended.outcome is Outcome.STOPPED
        assert "enough" in ended.detail
        assert [stored.id for stored in await stops.of_run(house.db, run.id)] == [receipt.id]


async def test_a_queued_run_is_cancelled_without_a_container(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS, slots=1) as house:
        first, second = await house.submit(epochs=2)
        await at_work(house, first.id)

        receipt = await house.supervisor.stop(second.id, kind=StopKind.STOP, reason=REASON, wait=True)

        assert receipt.changed
        assert receipt.dead_ms is not None
        assert (await runs.get(house.db, second.id)).outcome is Outcome.CANCELLED
        assert {box.run for box in await house.driver.list_owned()} == {str(first.id)}


async def test_stopping_an_ended_run_changes_nothing_and_says_so(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=())) as house:
        (run,) = await house.submit()
        await house.until_ended(run.id)

        receipt = await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True)

        assert not receipt.changed
        assert receipt.dead_ms is not None
        assert (await runs.get(house.db, run.id)).outcome is Outcome.SUCCEEDED


async def test_pressing_twice_is_recorded_and_harmless(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit()
        await at_work(house, run.id)

        first, second = await asyncio.gather(
            house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True),
            house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True),
        )

        assert sorted([first.changed, second.changed]) == [False, True]
        assert all(each.dead_ms is not None for each in await stops.of_run(house.db, run.id))
        assert (await house.until_ended(run.id)).outcome is Outcome.STOPPED


async def test_a_sandbox_that_ignores_kills_is_killed_again_until_it_is_dead(open_house: OpenHouse) -> None:
    stubborn = knobs(lines=((0.0, Stream.STDOUT, b"at work\n"),), run_for=math.inf, ignore_kill=2)
    async with open_house(knobs(lines=())) as house:
        house.driver.by_run["1"] = stubborn
        (run,) = await house.submit()
        assert run.id == 1
        await house.until(run.id, lambda found: found.lines >= 1, within=30)

        receipt = await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True)

        assert receipt.dead_ms is not None
        assert await house.driver.list_owned() == []


async def test_a_frozen_run_can_be_stopped(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit()
        await at_work(house, run.id)
        await house.supervisor.freeze(run.id, actor="tester", text="look")
        assert (await runs.get(house.db, run.id)).state is RunState.FROZEN

        await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True)

        assert (await house.until_ended(run.id)).outcome is Outcome.STOPPED
        assert await house.driver.list_owned() == []


async def test_a_frozen_run_makes_no_lines_and_goes_on_when_thawed(open_house: OpenHouse) -> None:
    ticking = knobs(lines=tuple((0.05, Stream.STDOUT, b"tick\n") for _ in range(40)))
    async with open_house(ticking) as house:
        (run,) = await house.submit()
        await house.until(run.id, lambda found: found.lines >= 3)
        await house.supervisor.freeze(run.id, actor="tester")
        await asyncio.sleep(0.3)
        before = (await runs.get(house.db, run.id)).lines
        await asyncio.sleep(0.3)
        assert (await runs.get(house.db, run.id)).lines == before

        await house.supervisor.thaw(run.id, actor="tester")

        ended = await house.until_ended(run.id)
        assert (ended.outcome, ended.lines) == (Outcome.SUCCEEDED, 40)


async def test_what_is_not_at_work_cannot_be_frozen(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=())) as house:
        (run,) = await house.submit()
        await house.until_ended(run.id)

        with pytest.raises(Conflict):
            await house.supervisor.freeze(run.id, actor="tester")
        with pytest.raises(Conflict):
            await house.supervisor.thaw(run.id, actor="tester")


async def test_stop_all_ends_everything_and_holds_the_queue_until_a_person_releases_it(
    open_house: OpenHouse,
) -> None:
    async with open_house(ENDLESS, slots=2) as house:
        submitted = await house.submit(epochs=4)
        await at_work(house, submitted[0].id)
        await at_work(house, submitted[1].id)

        receipts = await house.supervisor.stop_all(reason=REASON, wait=True)

        assert len(receipts) == 4
        assert await house.driver.list_owned() == []
        outcomes = [(await house.until_ended(run.id)).outcome for run in submitted]
        assert outcomes == [Outcome.EMERGENCY_STOPPED] * 2 + [Outcome.CANCELLED] * 2
        assert (held := await hold.current(house.db)) is not None
        assert held.actor == "tester"
        house.driver.knobs = knobs(lines=())
        (after,) = await house.submit()
        await asyncio.sleep(0.3)
        assert (await runs.get(house.db, after.id)).state is RunState.QUEUED

        assert await house.supervisor.release(actor="tester", text="all clear")

        assert (await house.until_ended(after.id)).outcome is Outcome.SUCCEEDED


async def test_a_hold_outlives_the_server(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=())) as house:
        await house.supervisor.stop_all(reason=REASON, wait=True)
    async with open_house(knobs(lines=())) as house:
        (run,) = await house.submit()
        await asyncio.sleep(0.3)

        assert (await runs.get(house.db, run.id)).state is RunState.QUEUED


@pytest.mark.parametrize("moment", ["read from the queue", "taken", "its image looked for"])
async def test_nothing_starts_once_stop_all_is_pressed(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    async with open_house(ENDLESS, slots=2) as house:
        (first,) = await house.submit()
        await at_work(house, first.id)
        pressed: list[asyncio.Task[Any]] = []

        def press() -> None:
            if not pressed:
                pressed.append(asyncio.create_task(house.supervisor.stop_all(reason=REASON, wait=True)))

        next_queued, owner, image_id = runs.next_queued, Owners._own, house.driver.image_id

        async def read(db: Database) -> Run | None:
            if (found := await next_queued(db)) is not None:
                press()
                await asyncio.sleep(0)  # The press is in before the queue hears what it asked for.
            return found

        async def own(owners: Owners, live: LiveRun, adopt: Found | None) -> None:
            press()
            await owner(owners, live, adopt)

        async def look(reference: str) -> str | None:
            press()
            return await image_id(reference)

        match moment:
            case "read from the queue":
                monkeypatch.setattr(runs, "next_queued", read)
            case "taken":
                monkeypatch.setattr(Owners, "_own", own)
            case _:
                monkeypatch.setattr(house.driver, "image_id", look)
        started = len(house.driver.engine.sandboxes)
        (second,) = await house.submit()
        await house.until_true(lambda: _pressed(pressed))

        receipts = await pressed[0]

        assert {receipt.run for receipt in receipts} == {first.id, second.id}
        assert all(receipt.dead_ms is not None for receipt in receipts)
        assert (await house.until_ended(second.id)).outcome in {Outcome.CANCELLED, Outcome.EMERGENCY_STOPPED}
        assert len(house.driver.engine.sandboxes) == started, "a sandbox was made under the hold"
        assert await _nothing_left(house)
        assert len(await stops.of_run(house.db, second.id)) == 1


async def _pressed(pressed: list[asyncio.Task[Any]]) -> bool:
    return bool(pressed)


@pytest.mark.parametrize("how", ["pressed before it is recorded", "pressed after it is recorded", "the file"])
async def test_a_stop_all_that_comes_during_a_release_wins(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with open_house(knobs(lines=())) as house:
        await house.supervisor.stop_all(reason=REASON, wait=True)
        release, late = hold.release, dataclasses.replace(REASON, actor="eve", text="smoke")

        async def slow(db: Database, **named: Any) -> bool:
            if how == "pressed before it is recorded":
                await house.supervisor.stop_all(reason=late)
            released = await release(db, **named)
            if how == "pressed after it is recorded":
                await house.supervisor.stop_all(reason=late)
            if how == "the file":
                StopFile(house.settings.data).set(actor="eve", text="smoke")
            return released

        monkeypatch.setattr(hold, "release", slow)
        (run,) = await house.submit()
        with pytest.raises(Conflict, match="eve"):
            await house.supervisor.release(actor="ada", text="all clear")
        await asyncio.sleep(0.3)

        assert house.driver.engine.sandboxes == {}
        assert (latch := StopFile(house.settings.data).read()) is not None
        assert (held := await hold.current(house.db)) is not None
        assert (latch.actor, held.actor, held.text) == ("eve", "eve", "smoke")
        monkeypatch.undo()
        (after,) = await house.submit()
        await house.supervisor.release(actor="ada", text="all clear")
        assert (await house.until_ended(after.id)).outcome is Outcome.SUCCEEDED
        assert await stops.of_run(house.db, after.id) == []
        assert (await house.until_ended(run.id)).outcome in {Outcome.CANCELLED, Outcome.SUCCEEDED}


async def test_a_run_that_is_stopped_while_its_start_cannot_be_recorded_does_not_start_later(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(ENDLESS) as house:
        transition, stopping = runs.transition, list[asyncio.Task[Any]]()

        async def refuse(db: Database, run: int, before: RunState, after: RunState, **named: Any) -> bool:
            if not stopping:
                stop = house.supervisor.stop(run, kind=StopKind.STOP, reason=REASON, wait=True)
                stopping.append(asyncio.create_task(stop))
                raise Unavailable("the disk is full")
            return await transition(db, run, before, after, **named)

        monkeypatch.setattr(runs, "transition", refuse)
        (run,) = await house.submit()

        assert (await house.until_ended(run.id)).outcome is Outcome.STOPPED
        assert (await stopping[0]).changed
        assert house.driver.engine.sandboxes == {}


class StopAt(Coroutine[Any, Any, Any]):
    """A coroutine that calls `hook` at its `moment`-th suspension: a stop at that very await."""

    def __init__(self, inner: Coroutine[Any, Any, Any], seen: Callable[[], None]) -> None:
        self._inner = inner
        self._seen = seen

    def send(self, value: Any) -> Any:
        result = self._inner.send(value)
        self._seen()
        return result

    def throw(self, *error: Any) -> Any:
        return self._inner.throw(*error)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError


#: Names of the coroutines a run's attempt consists of.
ATTEMPT = ("Attempt.from_the_start", "Attempt._work", "OpenSandbox._feed")


class Moments:
    """Counts the suspensions of attempts, and fires once at the chosen one."""

    def __init__(self) -> None:
        self.count = 0
        self.fire_at: int | None = None
        self.fire: Callable[[], None] = lambda: None

    def seen(self) -> None:
        self.count += 1
        if self.count == self.fire_at:
            self.fire()

    def factory(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        if getattr(coro, "__qualname__", "") in ATTEMPT:
            coro = StopAt(coro, self.seen)
        return asyncio.Task(coro, loop=loop, **options)


async def test_a_stop_at_every_await_of_an_attempt_leaves_no_container(open_house: OpenHouse) -> None:
    moments = Moments()
    asyncio.get_running_loop().set_task_factory(moments.factory)  # type: ignore[arg-type]
    quick = knobs(lines=((0.0, Stream.STDOUT, b"one\n"), (0.0, Stream.STDERR, b"two\n")))
    async with open_house(quick, batch_seconds=0.0) as house:
        (run,) = await house.submit()
        assert (await house.until_ended(run.id)).outcome is Outcome.SUCCEEDED
        awaits = moments.count
        assert awaits > 50, "the attempt is not counted"

        reached = 0
        for moment in range(1, awaits + 1):
            stopping: list[asyncio.Task[Any]] = []
            (run,) = await _armed(house, moments, moment, stopping)
            ended = await house.until_ended(run.id)
            assert await _nothing_left(house), f"a stop at await {moment} left a container"
            if stopping:
                receipt = await stopping[0]
                assert receipt.dead_ms is not None, f"a stop at await {moment} was not proven"
                reached += ended.outcome is Outcome.STOPPED
                assert ended.outcome in {Outcome.STOPPED, Outcome.SUCCEEDED}, f"await {moment}: {ended.detail}"
        assert reached > awaits * 0.8, f"only {reached} of {awaits} stops came in time"


async def _armed(house: House, moments: Moments, moment: int, stopping: list[asyncio.Task[Any]]) -> Any:
    """Submit a run that is stopped at its `moment`-th await."""

    def fire() -> None:
        (live,) = house.supervisor._shop.lives
        stop = house.supervisor.stop(live, kind=StopKind.STOP, reason=REASON, wait=True)
        stopping.append(asyncio.get_running_loop().create_task(stop))

    moments.count, moments.fire_at, moments.fire = 0, moment, fire
    # The family's image is made again each time: a stop must also work while one is built.
    house.driver.engine.images.clear()
    return await house.submit()


async def _nothing_left(house: House) -> bool:
    return await house.driver.list_owned() == []
