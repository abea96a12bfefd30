"""What a proof found: attacks played in real sandboxes on this very host, line by line."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """What came of an attack."""

    HELD = "held"
    BROKE = "did NOT hold"
    UNTESTED = "not testable here"
    NOT_OFFERED = "not offered here"  #: of a runtime that a probe refused: no run gets it, so nothing was played on it


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofLine:
    """One attack, played on one runtime."""

    attack: str
    title: str  #: what was attempted
    should: str  #: what should happen
    runtime: str
    verdict: Verdict
    happened: str  #: for people
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A whole proof. `begun_at` is unix seconds; `id` 0 until it is recorded."""

    id: int = 0
    begun_at: float
    seconds: float
    actor: str  #: who asked for it
    engine: str  #: name and version
    lines: tuple[ProofLine, ...]

    def count(self, verdict: Verdict) -> int:
        return sum(line.verdict is verdict for line in self.lines)
