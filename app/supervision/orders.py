"""Stops and freezes that come by other ways than the server's own: through the warden, or by the file STOP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping

from app.domain.errors import Conflict, CrucibleError
from app.domain.stops import StopKind, StopReason, StopSource
from app.supervision.freezing import Freezing
from app.supervision.live_run import LiveRun
from app.supervision.queue import Queue
from app.supervision.stopping import Stopping
from app.supervision.warden_link import Ordered
from app.supervision.warden_told import reason_of
from sandbox_runner.driver import Sandbox
from sandbox_runner.stop_file import StopFile

log = logging.getLogger(__name__)

#: Seconds between looks for the file STOP.
LOOK = 1.0


class Orders:
    """What the warden was asked it does already: here the same is done once more, and recorded."""

    def __init__(
        self,
        *,
        lives: Mapping[int, LiveRun],
        queue: Queue,
        stopping: Stopping,
        freezing: Freezing,
        latch: StopFile,
        group: asyncio.TaskGroup,
    ) -> None:
        self._lives = lives
        self._queue = queue
        self._stopping = stopping
        self._freezing = freezing
        self._latch = latch
        self._group = group

    def roster(self) -> list[tuple[Sandbox, int]]:
        """Who lives, for the warden, each with its evaluation."""
        return [(box, live.run.evaluation) for live in self._lives.values() for box in live.sandboxes.values()]

    def taken(self, ordered: Ordered) -> None:
        """The warden took an order."""
        what = _named(ordered)
        log.warning("the warden was told to %s %s, by %s (%s)", ordered.do, what, ordered.actor, ordered.path)
        self._group.create_task(self._obey(ordered), name=f"ordered by {ordered.path}")

    async def _obey(self, ordered: Ordered) -> None:
        if ordered.path == "file" and (self._queue.held or time.monotonic() - ordered.ago <= self._queue.released_at):
            return  # It is our own, was acted upon already, or was read just before a person released it.
        reason = reason_of(ordered)
        stop = StopKind.STOP
        try:
            match ordered.do, ordered.what:
                case "freeze", _:
                    await self._freeze_those(ordered)
                case _, "all":
                    await self._stopping.stop_all(reason=reason, ordered=ordered)
                case _, "evaluation":
                    await self._stopping.stop_evaluation(ordered.number, kind=stop, reason=reason, ordered=ordered)
                case _, "run":
                    await self._stopping.stop(ordered.number, kind=stop, reason=reason, ordered=ordered)
                case _:
                    self._stopping.stop_under_way(kind=stop, reason=reason, ordered=ordered)
        except CrucibleError as error:
            log.error("ordered by %s: %s", ordered.path, error)

    async def _freeze_those(self, ordered: Ordered) -> None:
        number = {"run": lambda live: live.id, "evaluation": lambda live: live.run.evaluation}.get(ordered.what)
        for run, live in list(self._lives.items()):
            if live.agent_sandbox is not None and (number is None or number(live) == ordered.number):
                with contextlib.suppress(Conflict):
                    await self._freezing.freeze(run, actor=ordered.actor, text=ordered.text)

    async def watch_file(self) -> None:
        """For ever: the file STOP works without a warden too."""
        while True:
            latch = self._latch.read()
            if latch is not None and not self._queue.held:
                reason = StopReason(source=StopSource.OPERATOR, actor=latch.actor, text=latch.text, path="file")
                try:
                    await self._stopping.stop_all(reason=reason)
                except CrucibleError as error:  # Whatever lived is being killed; the queue is held.
                    log.error("the file STOP: %s", error)
            await asyncio.sleep(LOOK)


def _named(ordered: Ordered) -> str:
    """What it is about, in words."""
    if ordered.what == "silence":
        return "all that lives"
    return "all" if ordered.what == "all" else f"{ordered.what} {ordered.number}"
