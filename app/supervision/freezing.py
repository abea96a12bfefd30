"""Standing agents still, and letting them go on."""

from __future__ import annotations

import time

from app.domain.errors import Conflict
from app.store import runs
from app.supervision.stop import until_recorded
from app.supervision.workshop import Workshop
from sandbox_runner.driver import FreezeFailed, Sandbox, SandboxError


class Freezing:
    """One change of a run at a time; a stop waits for none of them."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop

    async def freeze(self, run: int, *, actor: str, text: str = "", takes_over: bool = True) -> None:
        """Stand the agent still. Raises `Conflict` when it is not running or could not be proven frozen.

        What stands still already does so from now on for `actor` too, and says so; a guard, which lets go by itself,
        takes nothing over.
        """
        live = self._shop.lives.get(run)
        if live is None or live.agent_sandbox is None or live.stop is not None:
            raise Conflict(f"run {run} has no agent at work that could be frozen")
        if live.frozen and takes_over:
            live.frozen_by = actor  # At once: a guard may be about to let go.
        async with live.freezing:
            if live.frozen and not takes_over:
                return
            if not live.frozen:
                await self._stand(run, live.agent_sandbox)
                live.thawed.clear()
            live.frozen_by = actor
            await until_recorded(lambda: runs.record_freeze(self._shop.db, run, actor=actor, text=text, at=time.time()))
        self._shop.doorbell.ring(run)

    async def _stand(self, run: int, agent: Sandbox) -> None:
        try:
            await self._shop.driver.freeze(agent)
        except FreezeFailed as error:
            raise Conflict(f"run {run} could not be proven frozen: {error}; stop it instead") from error
        except SandboxError as error:
            raise Conflict(f"run {run} could not be frozen: {error}") from error

    async def thaw(self, run: int, *, actor: str, frozen_by: str | None = None) -> None:
        """Let a frozen agent go on. Raises `Conflict` when it is not frozen, or by another than `frozen_by` says."""
        live = self._shop.lives.get(run)
        if live is None or live.agent_sandbox is None or not live.frozen or live.stop is not None:
            raise Conflict(f"run {run} is not frozen")
        async with live.freezing:
            if frozen_by not in (None, live.frozen_by):
                raise Conflict(f"run {run} stands still for {live.frozen_by or 'nobody'}, not for {frozen_by}")
            try:
                await self._shop.driver.thaw(live.agent_sandbox)
            except SandboxError as error:
                raise Conflict(f"run {run} could not be thawed: {error}") from error
            live.thawed.set()
            live.frozen_by = ""
            await until_recorded(lambda: runs.record_thaw(self._shop.db, run, actor=actor, at=time.time()))
        self._shop.doorbell.ring(run)
