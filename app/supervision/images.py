"""Task images: made once per family content and base image, by the run that needs one first."""

from __future__ import annotations

import asyncio
import time

from app.domain.errors import Broken
from app.domain.events import Noted, OperationEnded
from app.domain.runs import Phase
from app.store import events, runs
from app.supervision.workshop import Workshop
from app.task_standard import image, operations
from app.task_standard.family import Family
from sandbox_runner.spec import Role


class TaskImages:
    """One build at a time per image; who waits finds it made, or makes it when the first maker was stopped."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._locks: dict[str, asyncio.Lock] = {}

    async def ensure(self, run: int, family: Family) -> str:
        """The reference of the family's image on this engine. Raises `Broken` when it cannot be made."""
        base = self._workshop.settings.base_image
        base_id = await self._workshop.driver.image_id(base)
        if base_id is None:
            raise Broken(f"the base image {base} is not on this engine; run scripts/bootstrap")
        reference = image.image_reference(family, base_id)
        if await self._workshop.driver.image_id(reference) is not None:
            return reference
        async with self._locks.setdefault(reference, asyncio.Lock()):
            if await self._workshop.driver.image_id(reference) is None:
                await runs.enter_phase(self._workshop.db, run, Phase.BUILD, at=time.time())
                await self._build(run, family, base, reference)
        return reference

    async def _build(self, run: int, family: Family, base: str, reference: str) -> None:
        shop = self._workshop
        live = shop.live(run)
        began = time.monotonic()
        async with shop.sandbox(live, Role.BUILD, base) as box:
            limit = shop.settings.operation_seconds
            unpack = operations.unpack_job(1, destination="/root", uid=0, gid=0)
            outcome = await box.run(unpack, feed=image.family_archive(family), within=limit)
            if outcome.code != 0:
                raise Broken(f"the files of family {family.name} could not be laid out, exit code {outcome.code}")
            outcome = await box.run(operations.install_job(2, family), within=limit)
            ended = OperationEnded(name="install", code=outcome.code, reason=outcome.reason)
            await events.append(shop.db, run, ended, at=time.time())
            operations.parse_done("install", outcome.result, outcome.code)
            await shop.disk.save(box.sandbox, reference)
        took = time.monotonic() - began
        await events.append(shop.db, run, Noted(text=f"made image {reference} in {took:.1f} s"), at=time.time())
