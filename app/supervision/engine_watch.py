"""Whether the container engine answers, and since when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sandbox_runner.driver import Driver, Engine, SandboxError

#: Seconds between looks while it answers, and while it does not.
CALM, WORRIED = 5.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """`text` names the engine and its version, or says what is wrong. `since` is unix seconds."""

    reachable: bool
    text: str
    since: float
    engine: Engine | None = None  #: who answered last


class EngineWatch:
    """Looks at the engine for ever; tells when it comes and goes."""

    def __init__(self, driver: Driver, changed: Callable[[EngineStatus], Awaitable[None]]) -> None:
        self._driver = driver
        self._changed = changed
        self._look_now = asyncio.Event()
        self.status = EngineStatus(reachable=False, text="not asked yet", since=time.time())

    def look_now(self) -> None:
        """Something failed: do not wait for the next turn."""
        self._look_now.set()

    async def look(self) -> None:
        """One look. Calls `changed` when it differs from the last; an engine that fails it there does not answer."""
        engine = self.status.engine
        try:
            engine = await self._driver.check()
            await self._tell(reachable=True, text=f"{engine.name} {engine.version}", engine=engine)
        except SandboxError as error:
            await self._tell(reachable=False, text=str(error), engine=engine)

    async def _tell(self, *, reachable: bool, text: str, engine: Engine | None) -> None:
        was = self.status
        if (reachable, text, engine) != (was.reachable, was.text, was.engine):
            since = time.time() if reachable != was.reachable else was.since
            self.status = EngineStatus(reachable=reachable, text=text, since=since, engine=engine)
            await self._changed(self.status)

    async def run(self) -> None:
        while True:
            await self.look()
            try:
                # Not `wait_for`: on Python 3.11 it can swallow a cancellation, and this would go on for ever.
                async with asyncio.timeout(CALM if self.status.reachable else WORRIED):
                    await self._look_now.wait()
            except TimeoutError:
                continue
            self._look_now.clear()
            await asyncio.sleep(0.2)
