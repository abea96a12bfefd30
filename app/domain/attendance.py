"""Attended runs: an agent that may go on only while a person looks at it. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

#: Seconds between the warning and standing still, and between that and the end; less for those who allow less.
NOTICE = 60.0


class Stage(enum.IntEnum):
    """What has become of a run that nobody attends."""

    ATTENDED = 0
    WARNED = 1  #: people were told
    FROZEN = 2
    STOPPED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Attended:
    """Where an attended run stands. `due_at` is when the next stage comes, unix seconds."""

    stage: Stage
    due_at: float


def stage_after(unattended: float, allowed: float) -> Stage:
    """The stage after so many seconds without a sign of a person, where `allowed` is the limit."""
    notice = min(NOTICE, allowed)
    return Stage(sum(unattended >= allowed + step * notice for step in range(3)))


def until_next(unattended: float, allowed: float) -> float:
    """Seconds until the next stage; 0 at the last."""
    reached = stage_after(unattended, allowed)
    return 0.0 if reached is Stage.STOPPED else allowed + reached * min(NOTICE, allowed) - unattended
