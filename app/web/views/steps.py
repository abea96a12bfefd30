"""Which step of its run printed a line: where in the output phases begin and jobs end. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.domain.events import OperationEnded, PhaseEntered, Recorded


def steps(recorded: Sequence[Recorded]) -> Mapping[int, str]:
    """The last line before each turn, and what to write there: {0: "setup", 12: "start ended · agent"}.

    A phase or a job that printed nothing is not worth a word, unless the job failed or the phase is the last.
    """
    ends: dict[int, list[str]] = {}
    phases: dict[int, str] = {}
    turned_at = 0
    for each in recorded:
        match each.event:
            case PhaseEntered(phase=phase):
                phases[each.line] = phase
            case OperationEnded(name=name, code=code) if code or each.line > turned_at:
                words = f"{name} ended with code {code}" if code else f"{name} ended"
                ends.setdefault(each.line, []).append(words)
            case _:
                continue
        turned_at = each.line
    begun = {line: [phase] for line, phase in phases.items()}
    return {line: " · ".join(ends.get(line, []) + begun.get(line, [])) for line in sorted(ends.keys() | begun.keys())}
