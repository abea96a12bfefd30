"""Alerts: recorded findings and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Row, case, insert, update
from sqlalchemy import select as sql_select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.alerts import Alert, AlertStatus, Category, Finding, Severity
from app.domain.errors import NotFound
from app.domain.events import AlertRaised
from app.store import events, tables
from app.store.database import Database
from app.store.whole import whole

_TABLE = tables.alerts
_OPEN = AlertStatus.OPEN.value


@whole
async def record(db: Database, run: int | None, finding: Finding, *, at: float, action: str) -> tuple[Alert, bool]:
    """A new alert with its AlertRaised event, or the open one of the same rule and run counted up (False).

    Once it is acknowledged or resolved, the next finding is a new alert. `run` None: of the host, with no event.
    Raises `NotFound`.
    """
    async with db.writing() as connection:
        open_one = (
            sql_select(_TABLE.c.id)
            .where(_TABLE.c.run == run, _TABLE.c.rule == finding.rule, _TABLE.c.status == _OPEN)
            .order_by(_TABLE.c.id.desc())
            .limit(1)
        )
        known = await connection.scalar(open_one)
        if known is not None:
            return await _count_up(connection, known, finding.line), False
        here = sql_select(tables.runs.c.id).where(tables.runs.c.id == run)
        if run is not None and await connection.scalar(here) is None:
            raise NotFound(f"there is no run {run}")
        row = (
            await connection.execute(insert(_TABLE).values(_new(run, finding, at=at, action=action)).returning(_TABLE))
        ).one()
        raised = AlertRaised(
            alert=row.id,
            rule=finding.rule,
            category=finding.category.value,
            severity=finding.severity.word,
            line=finding.line,
            action=action,
        )
        if run is not None:
            await events.record(connection, run, [raised], at=at)
        return _alert(row), True


@whole
async def select(
    db: Database,
    *,
    run: int | None = None,
    statuses: Collection[AlertStatus] | None = None,
    least: Severity = Severity.LOW,
    before: int | None = None,
    limit: int = 200,
) -> list[Alert]:
    """Open first, then by severity, then newest first. `before`: ids below it."""
    conditions: list[ColumnElement[bool]] = [_TABLE.c.severity >= least.value]
    if run is not None:
        conditions.append(_TABLE.c.run == run)
    if statuses is not None:
        conditions.append(_TABLE.c.status.in_([status.value for status in statuses]))
    if before is not None:
        conditions.append(_TABLE.c.id < before)
    open_first = case((_TABLE.c.status == _OPEN, 0), else_=1)
    query = (
        sql_select(_TABLE)
        .where(*conditions)
        .order_by(open_first, _TABLE.c.severity.desc(), _TABLE.c.id.desc())
        .limit(limit)
    )
    async with db.reading() as connection:
        return [_alert(row) for row in await connection.execute(query)]


@whole
async def get(db: Database, alert: int) -> Alert:
    """Raises `NotFound`."""
    async with db.reading() as connection:
        return await _get(connection, alert)


@whole
async def set_status(db: Database, alert: int, status: AlertStatus, *, actor: str, at: float) -> Alert:
    """Raises `NotFound`. Setting the same status again changes nothing."""
    async with db.writing() as connection:
        await connection.execute(
            update(_TABLE)
            .where(_TABLE.c.id == alert, _TABLE.c.status != status.value)
            .values({"status": status.value, "by": actor, "status_at": at})
        )
        return await _get(connection, alert)


@whole
async def settle(db: Database, rule: str, *, actor: str, at: float) -> None:
    """Resolve what the host's `rule` has unresolved: it is well again."""
    resolved = AlertStatus.RESOLVED.value
    async with db.writing() as connection:
        await connection.execute(
            update(_TABLE)
            .where(_TABLE.c.run.is_(None), _TABLE.c.rule == rule, _TABLE.c.status != resolved)
            .values({"status": resolved, "by": actor, "status_at": at})
        )


@whole
async def open_by_run(db: Database, runs: Collection[int]) -> Mapping[int, list[Alert]]:
    """Open alerts of these runs, worst first: for cards. A run without any is no key."""
    query = (
        sql_select(_TABLE)
        .where(_TABLE.c.run.in_(list(runs)), _TABLE.c.status == _OPEN)
        .order_by(_TABLE.c.severity.desc(), _TABLE.c.id.desc())
    )
    found: dict[int, list[Alert]] = {}
    async with db.reading() as connection:
        for row in await connection.execute(query):
            found.setdefault(row.run, []).append(_alert(row))
    return found


async def _count_up(connection: AsyncConnection, alert: int, line: int | None) -> Alert:
    changes: dict[str, object] = {"count": _TABLE.c.count + 1}
    if line is not None:
        changes["last_line"] = line
    await connection.execute(update(_TABLE).where(_TABLE.c.id == alert).values(changes))
    return await _get(connection, alert)


async def _get(connection: AsyncConnection, alert: int) -> Alert:
    row = (await connection.execute(sql_select(_TABLE).where(_TABLE.c.id == alert))).one_or_none()
    if row is None:
        raise NotFound(f"there is no alert {alert}")
    return _alert(row)


def _new(run: int | None, finding: Finding, *, at: float, action: str) -> dict[str, object]:
    return {
        "run": run,
        "at": at,
        "rule": finding.rule,
        "category": finding.category.value,
        "severity": finding.severity.value,
        "title": finding.title,
        "response": finding.response,
        "line": finding.line,
        "quote": finding.quote,
        "status": _OPEN,
        "count": 1,
        "last_line": finding.line,
        "action": action,
        "by": "",
        "status_at": at,
    }


def _alert(row: Row[Any]) -> Alert:
    values = row._mapping  # "count" and "index" are methods of a row
    return Alert(
        id=row.id,
        run=row.run,
        at=row.at,
        finding=Finding(
            rule=row.rule,
            category=Category(row.category),
            severity=Severity(row.severity),
            title=row.title,
            response=row.response,
            line=row.line,
            quote=row.quote,
        ),
        status=AlertStatus(row.status),
        count=values["count"],
        last_line=row.last_line,
        action=row.action,
        by=row.by,
        status_at=row.status_at,
    )
