"""A proof of the sandbox while the server runs: one at a time, beside the runs, recorded when it is whole."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from app.domain.errors import Conflict, Unavailable
from app.domain.proofs import Proof, ProofLine
from app.proof.proof import Plan, plan, prove
from app.store import audit, proofs
from app.store.database import Database
from sandbox_runner.driver import Driver, SandboxError

#: Seconds for which what the engine said of its versions is believed, and which a page may wait for it.
VERSIONS_SECONDS, VERSIONS_WITHIN = 60.0, 2.0

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class UnderWay:
    """A proof that is being played."""

    actor: str
    begun_at: float
    engine: str
    plan: Plan
    lines: list[ProofLine] = field(default_factory=list)

    @property
    def next(self) -> str:
        """What is played now, for people."""
        done, attacks = len(self.lines), self.plan.attacks
        if done >= self.plan.played:
            return "recording"
        return f"{attacks[done % len(attacks)].name} on {self.plan.runtimes[done // len(attacks)]}"


class Proving:
    """An async context manager; leaving it ends a proof that is under way, with its sandboxes."""

    def __init__(
        self, *, db: Database, driver: Driver, image: str, refused: Callable[[], Awaitable[Mapping[str, str]]]
    ) -> None:
        """`refused` tells which runtimes a probe refused, and why."""
        self._db = db
        self._driver = driver
        self._image = image
        self._refused = refused
        self._task: asyncio.Task[None] | None = None
        self._versions: Mapping[str, str] = {}
        self._versions_at = float("-inf")
        self.under_way: UnderWay | None = None
        self.failure = ""  #: why the last one did not come to its end

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def versions(self) -> Mapping[str, str]:
        """Of what makes the sandboxes, as last told; nothing while the engine has not answered."""
        if time.monotonic() - self._versions_at > VERSIONS_SECONDS:
            with contextlib.suppress(SandboxError, TimeoutError):
                async with asyncio.timeout(VERSIONS_WITHIN):
                    self._versions = await self._driver.versions()
            self._versions_at = time.monotonic()
        return self._versions

    async def begin(self, *, actor: str) -> None:
        """Raises `Conflict` while one is under way, `Unavailable` when the engine or the base image is missing."""
        if self.under_way is not None:
            raise Conflict("a proof is under way; wait for its end")
        try:
            engine = await self._driver.check()
            image = await self._driver.image_id(self._image)
        except SandboxError as error:
            raise Unavailable(f"the engine does not answer: {error}") from error
        if image is None:
            raise Unavailable(f"there is no image {self._image}: run scripts/bootstrap")
        wanted = plan(engine.runtimes, refused=await self._refused())
        if not wanted.size:
            raise Unavailable(f"the engine offers neither runc nor runsc, but {', '.join(engine.runtimes)}")
        if self.under_way is not None:  # while the engine was asked
            raise Conflict("a proof is under way; wait for its end")
        begun = UnderWay(actor=actor, begun_at=time.time(), engine=f"{engine.name} {engine.version}", plan=wanted)
        self.under_way, self.failure = begun, ""
        self._task = asyncio.create_task(self._prove(begun), name="proof")
        await audit.append(
            self._db, at=time.time(), actor=actor, action="proof.begin", subject="sandbox", detail=begun.engine
        )

    async def _prove(self, begun: UnderWay) -> None:
        try:
            async with contextlib.aclosing(prove(self._driver, self._image, begun.plan)) as lines:
                async for line in lines:
                    begun.lines.append(line)
            proof = Proof(
                begun_at=begun.begun_at,
                seconds=round(time.time() - begun.begun_at, 1),
                actor=begun.actor,
                engine=begun.engine,
                lines=tuple(begun.lines),
            )
            await proofs.record(self._db, proof)
        except Exception as error:
            self.failure = f"the proof did not come to its end: {error}"
            log.exception("the proof failed")
        finally:
            self.under_way = None
