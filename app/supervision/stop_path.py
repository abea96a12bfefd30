"""Proof of life of the way a stop goes: the same lane to the engine, and the warden, each few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sandbox_runner.driver import Driver, SandboxError

if TYPE_CHECKING:
    from app.supervision.warden_link import WardenLink

#: Seconds between proofs, and within which one must succeed.
EACH, WITHIN = 5.0, 4.0
#: Seconds after which a proof no longer counts: a control that may be out of action must not look like a working one.
STALE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopPath:
    """The last proof. `proven_at` is unix seconds, 0 before the first; `ms` how long it took."""

    proven_at: float = 0.0
    ms: float = 0.0
    warden: bool = False  #: the proof went through a warden too
    problem: str = "not proven yet"  #: why the newest one failed, "" when it did not
    port: int = 0  #: where the warden hears pages; 0: nowhere

    def proven(self, now: float) -> bool:
        return now - self.proven_at <= STALE


class StopProof:
    """Proves for ever; `status` is the last answer. `changed` is called after each."""

    def __init__(self, driver: Driver, warden: WardenLink | None, changed: Callable[[], None]) -> None:
        self._driver = driver
        self._warden = warden
        self._changed = changed
        self.status = StopPath()

    async def run(self) -> None:
        while True:
            await self.prove()
            proven = not self.status.problem
            await asyncio.sleep(EACH if proven else 1.0)

    async def prove(self) -> None:
        begun = time.monotonic()
        problem = " · ".join(said for said in await asyncio.gather(self._own(), self._wardens()) if said)
        ms = round((time.monotonic() - begun) * 1000, 1)
        last, port = self.status, 0 if self._warden is None else self._warden.door.port
        if problem:
            self.status = replace(last, problem=problem, port=port)
        else:
            proven_at, warden = time.time(), self._warden is not None
            self.status = StopPath(proven_at=proven_at, ms=ms, warden=warden, problem="", port=port)
        self._changed()

    async def _own(self) -> str:
        try:
            async with asyncio.timeout(WITHIN):
                await self._driver.ready()
        except (SandboxError, TimeoutError) as error:
            return str(error) or f"the engine did not answer in {WITHIN:.0f} s"
        return ""

    async def _wardens(self) -> str:
        if self._warden is None:
            return ""
        try:
            answer = await self._warden.prove(WITHIN)
        except TimeoutError:
            return f"the warden did not answer in {WITHIN:.0f} s"
        return "" if answer.get("ok") else f"the warden: {answer.get('error')}"
