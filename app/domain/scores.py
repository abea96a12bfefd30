"""The result of scoring. No score is never zero."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ScoreStatus(enum.StrEnum):
    """What scoring came to."""

    SCORED = "scored"  #: there is a number
    MANUAL = "manual"  #: the task answered None: a person must score
    NOT_A_NUMBER = "not_a_number"  #: the task answered NaN
    FAILED = "failed"  #: the scoring process raised, exited or ran out of time
    NOT_SCORED = "not_scored"  #: scoring was not tried (stopped, broken)

    @property
    def words(self) -> str:
        """For people, in place of a number."""
        return _WORDS[self]


_WORDS = {
    ScoreStatus.SCORED: "scored",
    ScoreStatus.MANUAL: "needs a person",
    ScoreStatus.NOT_A_NUMBER: "not a number",
    ScoreStatus.FAILED: "scoring failed",
    ScoreStatus.NOT_SCORED: "not scored",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """`value` is a number exactly when `status` is SCORED; by convention 0 to 1, never clipped."""

    status: ScoreStatus
    value: float | None = None
    explanation: str = ""
