"""What is sealed of a run that is stopped: who was in it, last output and usage, image, policy, configuration."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import time
from typing import Any

from app.domain.events import SandboxStarted
from app.store import events, reading, runs, usage
from app.store.database import Database
from app.store.output import StoredLine
from app.supervision.live_run import LiveRun, StopRequest
from sandbox_runner.driver import Driver, SandboxError

#: Lines and bytes of the last output, and seconds of usage, that go into the seal.
LINES, BYTES, SECONDS = 1000, 256 * 1024, 60
#: Seconds the engine may take to tell an image's digest.
DIGEST_WITHIN = 3.0


async def gathered(db: Database, driver: Driver, live: LiveRun, request: StopRequest) -> dict[str, Any]:
    """All of it, from the record and the engine; to be called when the kill is over."""
    run = await runs.get(db, live.id)
    lines = await reading.tail(db, live.id, limit=LINES, most_bytes=BYTES)
    points = await usage.last(db, live.id, SECONDS)
    recorded = await events.read(db, live.id, limit=1000)
    sandboxes = [each.event for each in recorded if isinstance(each.event, SandboxStarted)]
    return {
        "run": live.id,
        "task": run.task_id,
        "suite": run.suite,
        "agent": run.agent,
        "model": run.model,
        "policy": run.policy.value,
        "limits": dataclasses.asdict(run.limits),
        "stop": {
            "kind": request.kind.value,
            "reason": {**dataclasses.asdict(request.reason), "source": request.reason.source.value},
            "received_at": request.received_at,
            "steps": [[step.name, step.ms] for step in request.steps],
        },
        "witnessed_before_the_kill": {name: dataclasses.asdict(seen) for name, seen in request.witnessed.items()},
        "sandboxes": [
            {**dataclasses.asdict(each), "image_digest": await _digest(driver, each.image)} for each in sandboxes
        ],
        "lines_stored": run.lines,
        "last_output": [_line(line) for line in lines],
        "usage": [dataclasses.asdict(point) for point in points],
        "sealed_at": time.time(),
    }


async def _digest(driver: Driver, image: str) -> str | None:
    """None when the engine does not say: the kill is over, and the seal waits no longer than this."""
    try:
        async with asyncio.timeout(DIGEST_WITHIN):
            return await driver.image_id(image)
    except (SandboxError, TimeoutError):
        return None


def _line(line: StoredLine) -> dict[str, Any]:
    """Bytes of an adversary: kept as they are, whatever they are."""
    data = base64.b64encode(line.data).decode()
    return {"number": line.number, "at": line.at, "stream": line.stream, "base64": data}
