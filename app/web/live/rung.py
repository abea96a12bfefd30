"""Asking a bell without waiting for ever."""

from __future__ import annotations

import asyncio

from app.supervision.doorbell import Bell


async def rung_within(bell: Bell, seconds: float) -> frozenset[int]:
    """The runs that rang since the last call; waits until one does, and not longer than so. Empty when none did."""
    try:
        # `wait` answers without giving way when something rang; the time limit is for when nothing did.
        async with asyncio.timeout(max(0.0, seconds)):
            return await bell.wait()
    except TimeoutError:
        return frozenset()


async def rung_since(bell: Bell) -> frozenset[int]:
    """The runs that rang since the last call, empty when none did."""
    return await rung_within(bell, 0.0)
