"""Alerts: raised once, counted up, acknowledged, resolved."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from app.domain.alerts import Alert, AlertStatus, Category, Finding, Severity
from app.domain.errors import NotFound
from app.domain.events import AlertRaised
from app.store import alerts, events
from app.store.database import Database
from tests.integration.store.conftest import Queue

FINDING = Finding(
    rule="reads-shadow", category=Category.SYSTEM_ACCESS, severity=Severity.HIGH, title="Reads password hashes.",
    response="Look at what it does with them.", line=7, quote="cat /etc/shadow \x1b[8m",
)  # fmt: skip


def finding(rule: str, severity: Severity = Severity.HIGH, line: int | None = 7) -> Finding:
    return dataclasses.replace(FINDING, rule=rule, severity=severity, line=line)


async def test_a_finding_becomes_an_alert_with_its_event(db: Database, run: int) -> None:
    alert, new = await alerts.record(db, run, FINDING, at=9.0, action="froze")

    assert new
    assert alert == Alert(
        id=alert.id, run=run, at=9.0, finding=FINDING, status=AlertStatus.OPEN, count=1, last_line=7,
        action="froze", by="",
    )  # fmt: skip
    assert await alerts.get(db, alert.id) == alert
    [told] = await events.read(db, run, after=1)
    assert told.event == AlertRaised(
        alert=alert.id, rule="reads-shadow", category="system_access", severity="high", line=7, action="froze"
    )


async def test_the_same_rule_on_the_same_run_counts_up(db: Database, queue: Queue) -> None:
    one, other = (run.id for run in await queue(2))
    first, _ = await alerts.record(db, one, FINDING, at=9.0, action="notified")

    again, new = await alerts.record(db, one, finding("reads-shadow", line=30), at=10.0, action="notified")
    unplaced, _ = await alerts.record(db, one, finding("reads-shadow", line=None), at=11.0, action="notified")

    assert not new
    assert again == dataclasses.replace(first, count=2, last_line=30)
    assert unplaced == dataclasses.replace(first, count=3, last_line=30)
    assert (await alerts.record(db, one, finding("other"), at=9.0, action=""))[1]
    assert (await alerts.record(db, other, FINDING, at=9.0, action=""))[1]
    assert await events.last_seq(db, one) == 3


@pytest.mark.parametrize("status", [AlertStatus.ACKNOWLEDGED, AlertStatus.RESOLVED])
async def test_after_someone_looked_the_next_finding_is_a_new_alert(
    db: Database, run: int, status: AlertStatus
) -> None:
    first, _ = await alerts.record(db, run, FINDING, at=9.0, action="notified")
    await alerts.set_status(db, first.id, status, actor="ada", at=10.0)

    second, new = await alerts.record(db, run, FINDING, at=11.0, action="notified")

    assert new
    assert second.id != first.id


async def test_a_burst_of_findings_is_one_alert(db: Database, run: int) -> None:
    answers = await asyncio.gather(*(alerts.record(db, run, FINDING, at=9.0, action="") for _ in range(20)))

    assert [new for _, new in answers].count(True) == 1
    [alert] = await alerts.select(db)
    assert alert.count == 20


async def test_who_looked_is_kept_and_looking_again_changes_nothing(db: Database, run: int) -> None:
    alert, _ = await alerts.record(db, run, FINDING, at=9.0, action="notified")

    seen = await alerts.set_status(db, alert.id, AlertStatus.ACKNOWLEDGED, actor="ada", at=10.0)
    again = await alerts.set_status(db, alert.id, AlertStatus.ACKNOWLEDGED, actor="bob", at=11.0)
    done = await alerts.set_status(db, alert.id, AlertStatus.RESOLVED, actor="bob", at=12.0)

    assert (seen.status, seen.by) == (AlertStatus.ACKNOWLEDGED, "ada")
    assert again == seen
    assert (done.status, done.by) == (AlertStatus.RESOLVED, "bob")
    assert await alerts.get(db, alert.id) == done


async def test_alerts_are_open_first_then_worst_then_newest(db: Database, queue: Queue) -> None:
    one, other = (run.id for run in await queue(2))
    ids = {}
    for rule, severity, run in (
        ("low", Severity.LOW, one),
        ("high-1", Severity.HIGH, one),
        ("high-2", Severity.HIGH, other),
        ("critical-done", Severity.CRITICAL, other),
        ("medium", Severity.MEDIUM, one),
    ):
        ids[rule] = (await alerts.record(db, run, finding(rule, severity), at=9.0, action=""))[0].id
    await alerts.set_status(db, ids["critical-done"], AlertStatus.RESOLVED, actor="ada", at=10.0)

    async def chosen(**how: object) -> list[str]:
        return [alert.finding.rule for alert in await alerts.select(db, **how)]  # type: ignore[arg-type]

    assert await chosen() == ["high-2", "high-1", "medium", "low", "critical-done"]
    assert await chosen(limit=2) == ["high-2", "high-1"]
    assert await chosen(run=one) == ["high-1", "medium", "low"]
    assert await chosen(statuses={AlertStatus.RESOLVED}) == ["critical-done"]
    assert await chosen(statuses=[]) == []
    assert await chosen(least=Severity.HIGH) == ["high-2", "high-1", "critical-done"]
    assert await chosen(before=ids["high-2"]) == ["high-1", "low"]

    found = await alerts.open_by_run(db, [one, other, 99])
    assert {run: [alert.finding.rule for alert in each] for run, each in found.items()} == {
        one: ["high-1", "medium", "low"],
        other: ["high-2"],
    }
    assert await alerts.open_by_run(db, []) == {}


async def test_what_is_not_there_is_not_found(db: Database) -> None:
    with pytest.raises(NotFound, match="no run 5"):
        await alerts.record(db, 5, FINDING, at=1.0, action="")
    with pytest.raises(NotFound, match="no alert 5"):
        await alerts.get(db, 5)
    with pytest.raises(NotFound, match="no alert 5"):
        await alerts.set_status(db, 5, AlertStatus.RESOLVED, actor="ada", at=1.0)
