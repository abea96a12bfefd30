"""Frames to one reader's connection from whoever has them: its task need not be woken for what nothing waits for."""

from __future__ import annotations

import types
from collections.abc import Awaitable, Generator
from typing import Any

from starlette.types import Send


class Wire:
    """One reader's. Not while its task sends something itself."""

    __slots__ = ("_rest", "_send")

    def __init__(self) -> None:
        self._send: Send | None = None
        self._rest: Awaitable[None] | None = None

    def connect(self, send: Send) -> None:
        """Before the first `send`: to where an answer goes whose head has been sent."""
        self._send = send

    def send(self, frame: bytes) -> bool:
        """Whether it was taken at once; if not, `rest` is to be awaited before anything else is sent.

        Raises what sending raises.
        """
        assert self._send is not None
        assert self._rest is None
        sending = self._send({"type": "http.response.body", "body": frame, "more_body": True}).__await__()
        try:
            waits_for = next(sending)
        except StopIteration:
            return True
        self._rest = _go_on(sending, waits_for)
        return False

    async def rest(self) -> None:
        """Until what `send` began is sent. Raises what sending raises."""
        if self._rest is not None:
            rest, self._rest = self._rest, None
            await rest


@types.coroutine
def _go_on(sending: Generator[Any, None, None], waits_for: object) -> Generator[Any, None, None]:
    """What is left of an await that ran until it `waits_for` something, for another task to await."""
    try:
        yield waits_for
        yield from sending
    finally:
        sending.close()
