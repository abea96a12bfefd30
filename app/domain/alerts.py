"""Findings of the rules, each with the lines it rests on."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Category(enum.StrEnum):
    """What kind of danger an alert speaks of."""

    SELF_REPLICATION = "self_replication"
    MANIPULATION = "manipulation"
    SYSTEM_ACCESS = "system_access"
    DECEPTION = "deception"
    RESOURCE_ABUSE = "resource_abuse"
    HOST = "host"  #: of no agent: this machine or this server is not as it should be


class Severity(enum.IntEnum):
    """How bad, each with its response."""

    LOW = 1  #: look when you have time
    MEDIUM = 2  #: look today
    HIGH = 3  #: look now; the run's policy acts
    CRITICAL = 4  #: look now; the run's policy acts

    @property
    def word(self) -> str:
        return self.name.lower()


class AlertStatus(enum.StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a rule says before it is recorded."""

    rule: str
    category: Category
    severity: Severity
    title: str  #: one sentence for people
    response: str  #: what to do about it
    line: int | None  #: the output line it cites
    quote: str = ""  #: the cited text, cut; written by an adversary


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A recorded finding. `count` grows while the same rule finds more on the same run."""

    id: int
    run: int | None  #: None: of the host
    at: float
    finding: Finding
    status: AlertStatus
    count: int
    last_line: int | None
    action: str  #: what the policy did: "notified", "froze", "stopped"
    by: str = ""  #: who acknowledged or resolved it
    status_at: float = field(default=0.0, compare=False)  #: since when the status is what it is
