"""The engine watch ends when it is told to, whatever else it was told in the same moment."""

from __future__ import annotations

import asyncio

import pytest

from app.supervision.engine_watch import EngineStatus, EngineWatch
from sandbox_runner.driver import EngineUnreachable
from sandbox_runner.fake_driver import FakeDriver
from sandbox_runner.fake_script import FakeKnobs


async def test_a_cancellation_in_the_moment_of_news_is_not_lost() -> None:
    driver, looked = FakeDriver(FakeKnobs()), asyncio.Event()

    async def changed(_status: EngineStatus) -> None:
        looked.set()

    watch = EngineWatch(driver, changed)
    running = asyncio.create_task(watch.run())
    await looked.wait()
    await asyncio.sleep(0.01)  # It waits for the next turn by now.

    watch.look_now()
    await asyncio.sleep(0)  # The news is on its way to it.
    running.cancel()

    done, _ = await asyncio.wait({running}, timeout=2)
    assert done
    with pytest.raises(asyncio.CancelledError):
        running.result()
    await driver.close()


async def test_an_engine_that_goes_away_while_it_is_asked_more_is_looked_at_again() -> None:
    driver, told, failures = FakeDriver(FakeKnobs()), list[EngineStatus](), [EngineUnreachable("reset by peer")]

    async def changed(status: EngineStatus) -> None:
        told.append(status)
        if status.reachable and failures:
            raise failures.pop()

    watch = EngineWatch(driver, changed)
    await watch.look()
    assert not watch.status.reachable
    await watch.look()

    assert [status.reachable for status in told] == [True, False, True]
    assert told[1].text == "reset by peer"
    await driver.close()
