"""Whether those who read may still read: signing out, or revoking a token, ends streams that are open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

#: Seconds for which an answer holds for all streams of a session.
FRESH_SECONDS = 1.0


class Permits:
    """Asks the record for one session at a time.

    A thousand streams that asked at once would take all connections to the record for seconds, and a stop has to find
    out who presses it.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._answers: dict[str, tuple[float, bool]] = {}  #: by secret, of the last `FRESH_SECONDS`

    async def hold(self, secret: str, look: Callable[[], Awaitable[bool]]) -> bool:
        """What `look` says of this session or token now, or said just before."""
        async with self._turn:
            since = time.monotonic() - FRESH_SECONDS
            self._answers = {secret: answer for secret, answer in self._answers.items() if answer[0] > since}
            if secret not in self._answers:
                self._answers[secret] = (time.monotonic(), await look())
            return self._answers[secret][1]
