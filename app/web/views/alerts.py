"""Alerts, ready to print. Pure. Quotes were written by an adversary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.domain.alerts import Alert, Category
from app.web.parts import AlertView
from app.web.text import visible

CATEGORY_WORDS: Mapping[Category, str] = {
    Category.SELF_REPLICATION: "Self-replication",
    Category.MANIPULATION: "Manipulation",
    Category.SYSTEM_ACCESS: "System access",
    Category.DECEPTION: "Deception",
    Category.RESOURCE_ABUSE: "Resource abuse",
    Category.HOST: "This machine",
}


def alert_view(alert: Alert, *, task_id: str = "") -> AlertView:
    finding = alert.finding
    return AlertView(
        id=alert.id,
        run=alert.run,
        task_id=visible(task_id),
        at=alert.at,
        rule=finding.rule,
        category=finding.category.value,
        category_word=CATEGORY_WORDS[finding.category],
        severity=finding.severity.word,
        title=visible(finding.title),
        response=visible(finding.response),
        line=finding.line,
        last_line=alert.last_line,
        quote=visible(finding.quote, limit=1000),
        status=alert.status.value,
        count=alert.count,
        action=alert.action,
        by=visible(alert.by),
        href=_href(alert),
    )


def _href(alert: Alert) -> str:
    if alert.run is None:
        return "/health"
    return f"/runs/{alert.run}#L{alert.finding.line}" if alert.finding.line else f"/runs/{alert.run}"


def worst(alerts: Iterable[Alert]) -> str:
    """The worst severity's word, "" without alerts."""
    severities = [alert.finding.severity for alert in alerts]
    return max(severities).word if severities else ""
