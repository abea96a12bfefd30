"""Proofs of the sandbox as the page Health shows them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.proofs import Proof, ProofLine, Verdict
from app.supervision.proving import UnderWay
from app.web.filters import duration_text
from app.web.parts import ProofLineView, ProofProgress, ProofRow, ProofRuntime, ProofView
from app.web.text import visible

_SHAPES = {
    Verdict.HELD: "succeeded",
    Verdict.BROKE: "failed",
    Verdict.UNTESTED: "cancelled",
    Verdict.NOT_OFFERED: "cancelled",
}
_TONES = {Verdict.HELD: "good", Verdict.BROKE: "stop", Verdict.UNTESTED: "warn", Verdict.NOT_OFFERED: "calm"}


def proof_view(proof: Proof) -> ProofView:
    runtimes = dict.fromkeys(line.runtime for line in proof.lines)
    return ProofView(
        row=proof_row(proof),
        runtimes=tuple(_runtime(name, [line for line in proof.lines if line.runtime == name]) for name in runtimes),
    )


def proof_row(proof: Proof) -> ProofRow:
    return ProofRow(
        id=proof.id,
        at=proof.begun_at,
        actor=proof.actor,
        engine=proof.engine,
        took=duration_text(proof.seconds),
        found=_counted(proof.lines),
        good=proof.count(Verdict.BROKE) == 0,
    )


def progress_view(under_way: UnderWay) -> ProofProgress:
    return ProofProgress(
        done=len(under_way.lines),
        total=under_way.plan.size,
        next=under_way.next,
        actor=under_way.actor,
        found=_counted(under_way.lines),
    )


def _runtime(name: str, lines: Sequence[ProofLine]) -> ProofRuntime:
    return ProofRuntime(
        name=name,
        found=_counted(lines),
        open=any(line.verdict is not Verdict.HELD for line in lines),
        lines=tuple(
            ProofLineView(
                title=line.title,
                should=line.should,
                happened=visible(line.happened, limit=500),
                verdict=line.verdict.value,
                shape=_SHAPES[line.verdict],
                tone=_TONES[line.verdict],
            )
            for line in lines
        ),
    )


def _counted(lines: Sequence[ProofLine]) -> str:
    counts = {verdict: sum(line.verdict is verdict for line in lines) for verdict in Verdict}
    return ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count) or "nothing yet"
