"""The JSON shapes of the API, documented in docs/api.md. Pure. Times are unix seconds, sizes bytes."""

from __future__ import annotations

import base64
import dataclasses

from app.domain.alerts import Alert
from app.domain.events import Recorded
from app.domain.runs import Evaluation, Run
from app.domain.stops import Receipt
from app.store.output import StoredLine
from app.store.usage import UsagePoint

Json = dict[str, object]


def run_json(run: Run) -> Json:
    score = None if run.score is None else {**dataclasses.asdict(run.score), "status": run.score.status.value}
    return {
        "id": run.id,
        "evaluation": run.evaluation,
        "suite": run.suite,
        "task": run.task_id,
        "agent": run.agent,
        "model": run.model,
        "epoch": run.epoch,
        "state": run.state.value,
        "phase": run.phase.value if run.phase else None,
        "outcome": run.outcome.value if run.outcome else None,
        "detail": run.detail,
        "policy": run.policy.value,
        "runtime": run.runtime.value,
        "profile": run.profile.value,
        "sandbox": dataclasses.asdict(run.sandbox) if run.sandbox else None,
        "honeytokens": run.honeytokens,
        "limits": dataclasses.asdict(run.limits),
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "lines": run.lines,
        "bytes": run.bytes,
        "score": score,
        "retry_of": run.retry_of,
    }


def run_whole_json(run: Run, peak: UsagePoint | None, receipts: list[Receipt]) -> Json:
    """One run with everything that is too large for a list."""
    highest = None
    if peak is not None:
        highest = {
            "cpus": peak.cpu_max,
            "memory_bytes": peak.memory_bytes,
            "pids": peak.pids,
            "disk_written_bytes": peak.disk_written_bytes,
            "network_attempts": peak.network_attempts,
            "disk_bytes": peak.disk_used_bytes,
            "cpu_seconds": peak.cpu_seconds,
        }
    return {
        **run_json(run),
        "instructions": run.instructions,
        "submission": run.submission,
        "peak": highest,
        "receipts": [receipt_json(receipt) for receipt in receipts],
    }


def evaluation_json(evaluation: Evaluation) -> Json:
    return dataclasses.asdict(evaluation)


def receipt_json(receipt: Receipt) -> Json:
    """`dead_ms` is null until no process was left and the container was gone, as read from the host."""
    return {
        "id": receipt.id,
        "run": receipt.run,
        "kind": receipt.kind.value,
        "source": receipt.reason.source.value,
        "actor": receipt.reason.actor,
        "text": receipt.reason.text,
        "path": receipt.reason.path,
        "received_at": receipt.received_at,
        "acted_ms": receipt.acted_ms,
        "dead_ms": receipt.dead_ms,
        "changed": receipt.changed,
        "failure": receipt.failure,
        "steps": [{"name": step.name, "ms": step.ms} for step in receipt.steps],
    }


def alert_json(alert: Alert) -> Json:
    finding = alert.finding
    return {
        "id": alert.id,
        "run": alert.run,
        "at": alert.at,
        "rule": finding.rule,
        "category": finding.category.value,
        "severity": finding.severity.word,
        "title": finding.title,
        "response": finding.response,
        "line": finding.line,
        "last_line": alert.last_line,
        "quote": finding.quote,
        "status": alert.status.value,
        "count": alert.count,
        "action": alert.action,
        "by": alert.by,
    }


def event_json(recorded: Recorded) -> Json:
    """`facts` are the fields of the event's class."""
    return {
        "seq": recorded.seq,
        "at": recorded.at,
        "line": recorded.line,
        "kind": type(recorded.event).__name__,
        "facts": dataclasses.asdict(recorded.event),
    }


def line_json(line: StoredLine) -> Json:
    """`text` when the line is UTF-8, else `base64`: the very bytes can always be had back.

    `damaged` comes only with a line whose stored bytes are lost: its text is ours.
    """
    try:
        content: Json = {"text": line.data.decode()}
    except UnicodeDecodeError:
        content = {"base64": base64.b64encode(line.data).decode()}
    if line.damaged:
        content["damaged"] = True
    return {"number": line.number, "at": line.at, "stream": line.stream, **content, "complete": line.complete}
