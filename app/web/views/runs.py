"""A run, ready to print. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.runs import Evaluation, Outcome, Run, RunState
from app.domain.scores import Score
from app.domain.stops import Receipt
from app.web.parts import EvaluationView, ReceiptView, RunView, ScoreView
from app.web.text import visible, visible_block

_OUTCOMES: Mapping[Outcome, tuple[str, str]] = {
    Outcome.SUCCEEDED: ("Succeeded", "good"),
    Outcome.FAILED: ("Failed", "warn"),
    Outcome.LIMIT_EXCEEDED: ("Limit exceeded", "warn"),
    Outcome.STOPPED: ("Stopped", "stop"),
    Outcome.EMERGENCY_STOPPED: ("Emergency stopped", "stop"),
    Outcome.CANCELLED: ("Cancelled", "calm"),
    Outcome.BROKEN: ("Broken", "bad"),
    Outcome.LOST: ("Lost", "bad"),
}
_STATES: Mapping[RunState, tuple[str, str]] = {
    RunState.QUEUED: ("Queued", "wait"),
    RunState.STARTING: ("Starting", "wait"),
    RunState.RUNNING: ("Running", "calm"),
    RunState.FROZEN: ("Frozen", "warn"),
    RunState.STOPPING: ("Stopping", "stop"),
    RunState.ENDED: ("Ended", "calm"),
}


def run_view(run: Run, *, now: float) -> RunView:
    """The run as cards, tables and the run page show it."""
    word, tone = _OUTCOMES[run.outcome] if run.outcome else _STATES[run.state]
    phase = run.phase.value if run.phase and run.live else ""
    elapsed = 0.0 if run.started_at is None else max(0.0, (run.ended_at or now) - run.started_at)
    return RunView(
        id=run.id,
        evaluation=run.evaluation,
        suite=run.suite,
        task_id=visible(run.task_id),
        agent=run.agent,
        model=run.model or "",
        epoch=run.epoch,
        state=run.state.value,
        phase=phase,
        outcome=run.outcome.value if run.outcome else "",
        word=f"{word} · {phase}" if phase and run.state is not RunState.STOPPING else word,
        tone=tone,
        detail=visible(run.detail, limit=2000),
        live=run.live,
        policy=run.policy.value,
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        elapsed=elapsed,
        wall_seconds=run.limits.wall_seconds,
        fraction=fraction(elapsed, run.limits.wall_seconds),
        lines=run.lines,
        bytes=run.bytes,
        score=score_view(run.score) if run.score else None,
        retry_of=run.retry_of,
        can_stop=run.live,
        can_freeze=run.state is RunState.RUNNING,
        can_thaw=run.state is RunState.FROZEN,
        can_again=not run.live,
    )


def score_view(score: Score) -> ScoreView:
    word = f"{score.value:.4g}" if score.value is not None else score.status.words
    return ScoreView(
        status=score.status.value,
        word=word,
        value=score.value,
        explanation=visible_block(score.explanation, limit=8192),
    )


def receipt_view(receipt: Receipt, evidence: str = "") -> ReceiptView:
    return ReceiptView(
        id=receipt.id,
        run=receipt.run,
        kind=receipt.kind.value,
        source=receipt.reason.source.value,
        actor=visible(receipt.reason.actor),
        text=visible(receipt.reason.text),
        path=receipt.reason.path,
        received_at=receipt.received_at,
        acted_ms=receipt.acted_ms,
        dead_ms=receipt.dead_ms,
        changed=receipt.changed,
        failure=visible(receipt.failure),
        verified=receipt.dead_ms is not None,
        steps=tuple((step.name, step.ms) for step in receipt.steps),
        evidence=evidence,
    )


def evaluation_view(evaluation: Evaluation) -> EvaluationView:
    return EvaluationView(
        id=evaluation.id,
        suite=evaluation.suite,
        agent=evaluation.agent or "",
        model=evaluation.model or "",
        epochs=evaluation.epochs,
        actor=evaluation.actor,
        created_at=evaluation.created_at,
        runs=evaluation.runs,
        ended=evaluation.ended,
        done=evaluation.ended >= evaluation.runs,
    )


def fraction(used: float, allowed: float) -> float:
    """`used` as a part of `allowed`, between 0 and 1."""
    return min(1.0, max(0.0, used / allowed)) if allowed > 0 else 0.0
