"""What the warden was asked, as the record's own words: told over its pipe, or read from its journal afterwards."""

from __future__ import annotations

import time
from typing import Protocol

from app.domain.stops import StopKind, StopReason, StopSource, StopStep
from app.supervision.live_run import StopRequest
from sandbox_runner.warden_journal import Entry


class Told(Protocol):
    """An order, however it became known."""

    @property
    def what(self) -> str: ...
    @property
    def actor(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def path(self) -> str: ...


def reason_of(told: Told) -> StopReason:
    source = StopSource.WARDEN if told.path == "silence" else StopSource.OPERATOR
    return StopReason(source=source, actor=told.actor, text=told.text, path=told.path)


def kind_of(told: Told) -> StopKind:
    return StopKind.EMERGENCY if told.what == "all" else StopKind.STOP


def carried_out(run: int, entry: Entry) -> StopRequest:
    """The stop of a run as the warden carried it out, with its marks where it proved the end of what it found."""
    request = StopRequest(
        kind=kind_of(entry),
        reason=reason_of(entry),
        received_at=entry.received_at,
        begun=time.monotonic() - max(0.0, time.time() - entry.received_at),
    )
    request.witnessed.update(entry.seen.get(str(run), {}))
    take_marks(run, request, entry, set())
    return request


def take_marks(run: int, request: StopRequest, entry: Entry, there: set[str]) -> None:
    """Those of the warden, where it ended all that was `there` and had the proof first."""
    ended = [each for each in entry.ended if each.run == str(run)]
    if not ended or not there <= {each.sandbox for each in ended}:
        return
    dead_ms = max(each.gone_ms for each in ended)
    acted_ms = min((each.acted_ms for each in ended if each.acted_ms is not None), default=None)
    if request.dead_ms is not None and (request.dead_ms <= dead_ms or acted_ms is None):
        return
    steps = sorted((step for each in ended for step in each.steps), key=lambda step: step[1])
    request.steps = [StopStep(name=name, ms=ms) for name, ms in steps]
    request.acted_ms = acted_ms
    request.dead_ms = dead_ms
