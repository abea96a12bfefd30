"""Frames sent by whoever has them, and the reader's task only when something has to be waited for."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from app.web.live.ears import Ear
from app.web.live.wire import Wire


class Connection:
    """Takes frames while it is open; what comes while it is not waits."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.got: list[bytes] = []
        self.senders: set[asyncio.Task[object] | None] = set()
        self.given_up = 0

    async def send(self, message: Message) -> None:
        try:
            if not self.open.is_set():
                await self.open.wait()
        except BaseException:
            self.given_up += 1
            raise
        self.got.append(message["body"])
        self.senders.add(asyncio.current_task())


def wire_to(connection: Connection) -> Wire:
    wire = Wire()
    wire.connect(connection.send)
    return wire


async def test_what_is_taken_at_once_is_sent_by_who_has_it() -> None:
    connection = Connection()
    wire = wire_to(connection)
    assert wire.send(b"one")
    assert wire.send(b"two")
    assert connection.got == [b"one", b"two"]
    await wire.rest()  # There is none.
    assert connection.got == [b"one", b"two"]


async def test_what_has_to_wait_is_finished_by_another_task_and_sent_once() -> None:
    connection = Connection()
    wire = wire_to(connection)
    connection.open.clear()
    assert not wire.send(b"slow")
    finishing = asyncio.create_task(wire.rest())
    await asyncio.sleep(0)
    assert connection.got == []
    connection.open.set()
    await finishing
    assert connection.got == [b"slow"]
    assert connection.senders == {finishing}
    assert wire.send(b"next")
    assert connection.got == [b"slow", b"next"]


async def test_room_that_came_before_anyone_waited_for_it_is_noticed() -> None:
    connection = Connection()
    wire = wire_to(connection)
    connection.open.clear()
    assert not wire.send(b"slow")
    connection.open.set()
    await asyncio.sleep(0)
    await wire.rest()
    assert connection.got == [b"slow"]


async def test_a_task_that_is_cancelled_gives_up_what_was_begun() -> None:
    connection = Connection()
    wire = wire_to(connection)
    connection.open.clear()
    assert not wire.send(b"slow")
    finishing = asyncio.create_task(wire.rest())
    await asyncio.sleep(0)
    finishing.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await finishing
    assert cancelled.traceback  # As long as it is held, so is all that was begun.
    connection.open.set()
    await asyncio.sleep(0)
    assert (connection.got, connection.given_up) == ([], 1)


async def test_what_sending_fails_with_is_raised_to_who_waits_for_it() -> None:
    waits = asyncio.Event()

    async def broken(message: Message) -> None:
        if message["body"] == b"later":
            await waits.wait()
        raise OSError("gone")

    wire = Wire()
    wire.connect(broken)
    with pytest.raises(OSError, match="gone"):
        wire.send(b"now")
    assert not wire.send(b"later")
    waits.set()
    with pytest.raises(OSError, match="gone"):
        await wire.rest()


class Listening:
    """A task that waits at its ear; `answers` are what is done at once at each ring."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.ear: Ear
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        self.ear = Ear()
        await self.ear.wait(self._at_once)

    def _at_once(self) -> bool:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_an_ear_wakes_its_reader_only_for_what_cannot_be_done_at_once() -> None:
    one = Listening(True, True, False)
    await turns()
    for _ in range(2):
        one.ear.ring()
        await turns()
        assert not one.task.done()
    one.ear.ring()
    one.ear.ring()  # It is awake already: nothing is done at once beside it.
    await one.task
    assert one.answers == []


async def test_what_one_reader_fails_with_is_raised_in_its_own_task_and_not_where_it_was_rung() -> None:
    one = Listening(ValueError("its own"))
    await turns()
    one.ear.ring()
    with pytest.raises(ValueError, match="its own"):
        await one.task
