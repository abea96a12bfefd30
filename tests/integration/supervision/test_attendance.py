"""Attended runs: nobody there is a warning, then standing still, then the end."""

from __future__ import annotations

import asyncio
import math

import pytest

from app.domain.attendance import Stage
from app.domain.errors import Conflict
from app.domain.events import RunFroze
from app.domain.runs import Outcome, RunState
from app.store import alerts, events, stops
from tests.integration.supervision.conftest import House, OpenHouse, knobs

ENDLESS = knobs(lines=(), run_for=math.inf)


async def at_work(house: House, run: int) -> bool:
    return house.supervisor.attended(run) is not None


async def test_without_a_person_it_is_told_frozen_and_stopped_in_this_order(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit(unattended_seconds=1)
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.STOPPED
        assert "limit unattended" in ended.detail
        (alert,) = await alerts.select(house.db, run=run.id)
        (froze,) = [each for each in await events.read(house.db, run.id) if isinstance(each.event, RunFroze)]
        (receipt,) = await stops.of_run(house.db, run.id)
        assert receipt.dead_ms is not None
        assert alert.at < froze.at < receipt.received_at
        assert await house.driver.list_owned() == []


async def test_a_person_who_shows_up_begins_the_time_anew_and_thaws_nothing(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit(unattended_seconds=2)
        frozen = await house.until(run.id, lambda found: found.state is RunState.FROZEN)
        await house.supervisor.attend(run.id, actor="ada")

        standing = house.supervisor.attended(run.id)
        assert standing is not None
        assert standing.stage is Stage.ATTENDED
        for _ in range(4):
            await asyncio.sleep(0.5)
            await house.supervisor.attend(run.id, actor="ada")
        assert (await house.until(run.id, lambda found: True)).state is frozen.state
        await house.supervisor.thaw(run.id, actor="ada")
        assert (await house.until(run.id, lambda found: found.state is RunState.RUNNING)).live


async def test_what_a_person_holds_still_is_not_stopped_for_want_of_one(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit(unattended_seconds=1)
        await house.until_true(lambda: at_work(house, run.id))
        await house.supervisor.freeze(run.id, actor="ada")
        await asyncio.sleep(4.5)

        assert (await house.until(run.id, lambda found: True)).state is RunState.FROZEN
        assert await stops.of_run(house.db, run.id) == []


async def test_a_run_that_needs_nobody_cannot_be_attended(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit()
        await house.until(run.id, lambda found: found.state is RunState.RUNNING)

        assert house.supervisor.attended(run.id) is None
        with pytest.raises(Conflict):
            await house.supervisor.attend(run.id, actor="ada")
