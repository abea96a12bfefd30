"""The bell carries no news and loses no ring."""

from __future__ import annotations

import asyncio

from app.supervision.doorbell import Doorbell


async def test_rings_while_nobody_waits_are_heard_at_the_next_wait_once() -> None:
    doorbell = Doorbell()
    with doorbell.listen() as bell:
        doorbell.ring(1)
        doorbell.ring(2)
        doorbell.ring(1)

        assert await bell.wait() == {1, 2}
        waiting = asyncio.ensure_future(bell.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        doorbell.ring(3)
        assert await waiting == {3}


async def test_a_listener_of_one_run_does_not_hear_another() -> None:
    doorbell = Doorbell()
    with doorbell.listen(5) as bell:
        doorbell.ring(6)
        doorbell.ring(5)

        assert await bell.wait() == {5}


async def test_who_left_is_forgotten() -> None:
    doorbell = Doorbell()
    with doorbell.listen(5), doorbell.listen():
        pass
    assert not doorbell._of_run
    assert not doorbell._all
