"""Each event as one sentence. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from app.domain import events as e
from app.domain.events import Event, Recorded
from app.web.filters import bytes_text, number_text
from app.web.parts import EventView, PhaseView
from app.web.text import visible


def event_view(recorded: Recorded) -> EventView:
    text, tone = _sentence(recorded.event)
    return EventView(
        seq=recorded.seq,
        at=recorded.at,
        line=recorded.line,
        kind=type(recorded.event).__name__,
        text=visible(text, limit=1000),
        tone=tone,
    )


def phases(recorded: Sequence[Recorded]) -> tuple[PhaseView, ...]:
    """The phases a run went through, each until the next one or the end of the run."""
    marks = [(r.at, r.event) for r in recorded if isinstance(r.event, e.PhaseEntered | e.RunEnded)]
    found: list[PhaseView] = []
    for place, (at, event) in enumerate(marks):
        if isinstance(event, e.PhaseEntered):
            until = marks[place + 1][0] if place + 1 < len(marks) else None
            seconds = None if until is None else max(0.0, until - at)
            found.append(PhaseView(name=event.phase, at=at, seconds=seconds, current=until is None))
    return tuple(found)


def lost_bytes(recorded: Sequence[Recorded]) -> int:
    return sum(r.event.bytes for r in recorded if isinstance(r.event, e.OutputLost))


def _sentence(event: Event) -> tuple[str, str]:
    """What to say and in which tone."""
    match event:
        case e.RunQueued():
            return f"Queued by {event.actor}", "calm"
        case e.StateChanged():
            return f"{event.before} → {event.after}", "calm"
        case e.PhaseEntered():
            return f"Phase {event.phase}", "calm"
        case e.SandboxRefused():
            return f"Sandbox for {event.role} refused: {event.differences}", "bad"
        case e.SandboxCrashed():
            return f"Sandbox for {event.role} crashed: {event.runtime} ended with code {event.code}", "bad"
        case e.SandboxStarted() | e.SandboxRemoved() | e.OperationEnded() | e.FilesCollected():
            return _sandbox_sentence(event)
        case e.Scored():
            value = "" if event.value is None else f": {event.value:.4g}"
            return f"Score {event.status}{value} ({event.where})", "good" if event.value is not None else "calm"
        case e.AlertRaised():
            line = f" at line {event.line}" if event.line else ""
            return f"Alert, {event.severity}: {event.rule}{line}; {event.action}", "warn"
        case e.LimitReached():
            text = bytes_text if event.limit.endswith("_bytes") else "{:g}".format
            return f"Limit {event.limit} reached: {text(event.used)} of {text(event.allowed)}", "warn"
        case e.OutOfMemory():
            return f"Out of memory, {event.kills} killed", "warn"
        case e.ProcessesRefused():
            return f"Limit pids refused {number_text(event.refused)} new processes so far", "warn"
        case e.HoneytokensPlanted() | e.HoneytokenTouched() | e.NetworkAttempted() | e.ProgramsStarted():
            return _sighting_sentence(event)
        case e.StopRequested() | e.StopVerified() | e.StopFailed() | e.RunFroze() | e.RunThawed():
            return _stop_sentence(event)
        case e.RunAdopted():
            return f"Taken over after a restart at byte {number_text(event.resumed_at)}", "calm"
        case e.RunBegunAnew():
            return f"Begun anew, nothing of its agent had run: {event.why}", "warn"
        case e.RelayReconnected():
            return f"Output resumed at byte {number_text(event.resumed_at)}", "calm"
        case e.OutputLost():
            return f"{bytes_text(event.bytes)} of output could not be stored: {event.why}", "bad"
        case e.OutputCounted():
            said = (
                f"Printed {number_text(event.printed)} bytes as its keeper counts, stored {number_text(event.stored)}"
            )
            return said, "calm" if event.printed == event.stored else "bad"
        case e.Noted():
            return event.text, "calm"
        case e.RunEnded():
            detail = f": {event.detail}" if event.detail else ""
            return f"Ended {event.outcome}{detail}", "good" if event.outcome == "succeeded" else "warn"
        case _:
            assert_never(event)


def _sandbox_sentence(
    event: e.SandboxStarted | e.SandboxRemoved | e.OperationEnded | e.FilesCollected,
) -> tuple[str, str]:
    match event:
        case e.SandboxStarted():
            what = " ".join(filter(None, (event.profile, event.isolation, event.runtime)))
            compared = ", equal to its policy in every field" if event.policy_sha256 else ""
            return f"Sandbox for {event.role} started: {what}{compared}; {event.sandbox[:12]}", "calm"
        case e.SandboxRemoved():
            marks = f"no process after {event.dead_ms:.0f} ms, gone after {event.gone_ms:.0f} ms"
            return f"Sandbox for {event.role} proven gone: {marks}", "calm"
        case e.OperationEnded():
            reason = f": {event.reason}" if event.reason else ""
            return f"{event.name} ended with code {event.code}{reason}", "calm" if event.code == 0 else "warn"
        case e.FilesCollected():
            left = f", {event.left_out} left out" if event.left_out else ""
            return f"Collected {event.files} files, {bytes_text(event.bytes)}{left}", "calm"
        case _:
            assert_never(event)


def _sighting_sentence(
    event: e.HoneytokensPlanted | e.HoneytokenTouched | e.NetworkAttempted | e.ProgramsStarted,
) -> tuple[str, str]:
    match event:
        case e.HoneytokensPlanted():
            return f"Honeytokens laid out: {', '.join(event.tokens)}", "calm"
        case e.HoneytokenTouched():
            times = "" if event.count == 1 else f" {event.count} times"
            return f"Honeytoken {event.place} opened{times}", "warn"
        case e.NetworkAttempted():
            tries = "try" if event.count == 1 else "tries"
            to = f" ({event.to})" if event.to else ""
            return (
                f"{number_text(event.count)} {tries} to reach a network{to}, {number_text(event.total)} so far",
                "warn",
            )
        case e.ProgramsStarted():
            more = f" and {event.count - len(event.programs)} more" if event.count > len(event.programs) else ""
            return f"Started: {' · '.join(event.programs)}{more}", "calm"
        case _:
            assert_never(event)


def _stop_sentence(
    event: e.StopRequested | e.StopVerified | e.StopFailed | e.RunFroze | e.RunThawed,
) -> tuple[str, str]:
    match event:
        case e.StopRequested():
            why = f": {event.text}" if event.text else ""
            return f"{event.kind} asked by {event.source} {event.actor} ({event.path}){why}", "stop"
        case e.StopVerified():
            acted = "" if event.acted_ms is None else f"acted after {event.acted_ms:.0f} ms, "
            return f"Verified dead: {acted}dead after {event.dead_ms:.0f} ms", "stop"
        case e.StopFailed():
            return f"Stop not proven yet: {event.why}", "bad"
        case e.RunFroze():
            why = f": {event.text}" if event.text else ""
            return f"Frozen by {event.actor}{why}", "warn"
        case e.RunThawed():
            return f"Thawed by {event.actor}", "calm"
        case _:
            assert_never(event)
