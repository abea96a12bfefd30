"""Asking whether a session still holds, for many streams at once."""

from __future__ import annotations

import asyncio

from app.web.live.permits import Permits


async def test_streams_that_ask_together_ask_the_record_for_one_session_at_a_time_and_once_each() -> None:
    permits, asked, at_once = Permits(), list[str](), 0

    async def ask(secret: str) -> bool:
        async def look() -> bool:
            nonlocal at_once
            at_once += 1
            assert at_once == 1
            asked.append(secret)
            await asyncio.sleep(0)
            at_once -= 1
            return secret != "out"

        return await permits.hold(secret, look)

    answers = await asyncio.gather(*(ask(secret) for secret in ["a", "out", "b"] * 100))
    assert answers == [True, False, True] * 100
    assert sorted(asked) == ["a", "b", "out"]
