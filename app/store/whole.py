"""A transaction is whole or was never begun, also when whoever asked for it is cancelled in the middle.

Measured: a task cancelled inside a SQLite transaction leaves its connection with the write lock for ever, and every
later write fails with "database is locked".
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def whole(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Run `function` to its end in a task of its own. A cancelled caller leaves when that end is reached."""

    @functools.wraps(function)
    async def wholly(*args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.create_task(function(*args, **kwargs), name=f"store {function.__qualname__}")
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():
                try:
                    await asyncio.wait({task})
                except asyncio.CancelledError:
                    continue
            if not task.cancelled() and task.exception() is not None:
                raise asyncio.CancelledError from task.exception()
            raise

    return wholly
