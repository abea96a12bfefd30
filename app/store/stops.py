"""Receipts of stops."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.errors import NotFound
from app.domain.events import StopFailed, StopRequested, StopVerified
from app.domain.runs import Outcome
from app.domain.stops import Receipt, StopKind, StopReason, StopSource, StopStep
from app.store import audit, events, tables
from app.store.database import Database
from app.store.whole import whole

#: What all receipts of one press share: they are received in the same moment.
_PRESS = (
    tables.receipts.c.received_at,
    tables.receipts.c.kind,
    tables.receipts.c.source,
    tables.receipts.c.actor,
    tables.receipts.c.path,
)


@whole
async def record(
    db: Database, run: int, kind: StopKind, reason: StopReason, *, received_at: float, changed: bool
) -> Receipt:
    """A new receipt, with a StopRequested event and its entry in the audit. Raises `NotFound`."""
    said = {"kind": kind.value, "source": reason.source.value, "actor": reason.actor, "text": reason.text}
    async with db.writing() as connection:
        if await connection.scalar(select(tables.runs.c.id).where(tables.runs.c.id == run)) is None:
            raise NotFound(f"there is no run {run}")
        row = (
            await connection.execute(
                insert(tables.receipts)
                .values(**said, run=run, path=reason.path, received_at=received_at, changed=changed, failure="")
                .returning(tables.receipts)
            )
        ).one()
        requested = StopRequested(receipt=row.id, path=reason.path, **said)
        await events.record(connection, run, [requested], at=received_at)
        pressed = reason.text if changed else f"pressed again: {reason.text}".rstrip(": ")
        await audit.record(
            connection, at=received_at, actor=reason.actor, action="run.stop", subject=f"run {run}", detail=pressed
        )
        return _receipt(row)


@whole
async def verified(
    db: Database, receipt: int, *, acted_ms: float | None, dead_ms: float, at: float, steps: Sequence[StopStep] = ()
) -> Receipt:
    """Sets both marks and the steps, with a StopVerified event. What was set first stays.

    `acted_ms` is None where it is not known: the server that acted was killed before it could say. An earlier failure
    is cleared; its event tells of it. Raises `NotFound`.
    """
    async with db.writing() as connection:
        told = [[step.name, step.ms] for step in steps]
        row = await _set(connection, receipt, acted_ms=acted_ms, dead_ms=dead_ms, failure="", steps=told)
        if row is None:
            return await _get(connection, receipt)
        proven = StopVerified(receipt=receipt, acted_ms=acted_ms, dead_ms=dead_ms)
        await events.record(connection, row.run, [proven], at=at)
        return _receipt(row)


@whole
async def failed(db: Database, receipt: int, why: str, *, at: float) -> Receipt:
    """Says why death is not proven yet, with a StopFailed event; changes nothing once it is. Raises `NotFound`."""
    async with db.writing() as connection:
        row = await _set(connection, receipt, failure=why)
        if row is None:
            return await _get(connection, receipt)
        await events.record(connection, row.run, [StopFailed(receipt=receipt, why=why)], at=at)
        return _receipt(row)


@whole
async def of_run(db: Database, run: int) -> list[Receipt]:
    """In order of arrival."""
    query = select(tables.receipts).where(tables.receipts.c.run == run).order_by(tables.receipts.c.id)
    async with db.reading() as connection:
        return [_receipt(row) for row in await connection.execute(query)]


@whole
async def unproven(db: Database) -> list[Receipt]:
    """All without the mark of death, in order of arrival."""
    query = select(tables.receipts).where(tables.receipts.c.dead_ms.is_(None)).order_by(tables.receipts.c.id)
    async with db.reading() as connection:
        return [_receipt(row) for row in await connection.execute(query)]


@whole
async def of_runs(db: Database, runs: Collection[int]) -> Mapping[int, list[Receipt]]:
    """`of_run` for many. A run without any is no key."""
    query = select(tables.receipts).where(tables.receipts.c.run.in_(runs)).order_by(tables.receipts.c.id)
    found: dict[int, list[Receipt]] = {}
    async with db.reading() as connection:
        for row in await connection.execute(query):
            found.setdefault(row.run, []).append(_receipt(row))
    return found


@whole
async def proven(db: Database, *, limit: int) -> list[Receipt]:
    """Those that ended a run, with the mark of death; newest first."""
    table = tables.receipts
    query = select(table).where(table.c.changed, table.c.dead_ms.is_not(None)).order_by(table.c.id.desc()).limit(limit)
    async with db.reading() as connection:
        return [_receipt(row) for row in await connection.execute(query)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Toll:
    """What STOP ALL ended, as far as its receipts tell by now."""

    dead: int  #: runs proven dead
    cancelled: int  #: runs that were taken from the queue
    seconds: float  #: from the hold to the last of the proofs there are; 0 without any
    unverified: int  #: runs that are not proven dead yet
    named: tuple[int, ...]  #: the first of them


@whole
async def toll(db: Database, *, since: float, limit: int) -> Toll:
    """Of the emergency stops received from `since` on, unix seconds. At most `limit` unproven runs are named."""
    table, ended = tables.receipts, tables.runs
    proven, outcome = table.c.dead_ms.is_not(None), ended.c.outcome == Outcome.CANCELLED.value
    ours = (table.c.kind == StopKind.EMERGENCY.value, table.c.received_at >= since)
    verified = (
        select(
            func.count(),
            func.count().filter(outcome),
            func.max(table.c.received_at + table.c.dead_ms / 1000.0),
        )
        .select_from(table.join(ended, table.c.run == ended.c.id))
        .where(*ours, proven, table.c.changed)
    )
    waiting = select(table.c.run).where(*ours, ~proven).distinct().order_by(table.c.run)
    async with db.reading() as connection:
        every, cancelled, last = (await connection.execute(verified)).one()
        open_runs = [row.run for row in await connection.execute(waiting)]
    return Toll(
        dead=every - cancelled,
        cancelled=cancelled,
        seconds=0.0 if last is None else max(0.0, last - since),
        unverified=len(open_runs),
        named=tuple(open_runs[:limit]),
    )


@whole
async def without_reason(db: Database, *, limit: int) -> list[tuple[Receipt, int]]:
    """People's presses of which nobody has said why, newest first: the first receipt of each, and how many it has."""
    table = tables.receipts
    asked = (table.c.source == StopSource.OPERATOR.value, table.c.changed, table.c.text == "")
    first, many = func.min(table.c.id).label("first"), func.count().label("many")
    presses = select(first, many).where(*asked).group_by(*_PRESS).order_by(first.desc()).limit(limit).subquery()
    query = select(table, presses.c.many).join(presses, table.c.id == presses.c.first).order_by(table.c.id.desc())
    async with db.reading() as connection:
        return [(_receipt(row), row.many) for row in await connection.execute(query)]


@whole
async def set_text(db: Database, receipt: int, text: str, *, actor: str, at: float) -> list[int]:
    """The reason, given after the stop, with its entry in the audit; the runs it was given for. Raises `NotFound`.

    One press is asked once: all of its receipts without a reason have this one.
    """
    table = tables.receipts
    async with db.writing() as connection:
        asked = (await connection.execute(select(*_PRESS).where(table.c.id == receipt))).one_or_none()
        if asked is None:
            raise NotFound(f"there is no receipt {receipt}")
        of_the_press = and_(table.c.text == "", *(column == value for column, value in zip(_PRESS, asked, strict=True)))
        changed = await connection.execute(
            update(table).where(or_(table.c.id == receipt, of_the_press)).values(text=text).returning(table.c.run)
        )
        found = sorted({row.run for row in changed})
        for run in found:
            await audit.record(connection, at=at, actor=actor, action="stop.reason", subject=f"run {run}", detail=text)
        return found


async def _set(connection: AsyncConnection, receipt: int, **values: object) -> Row[Any] | None:
    """The changed row; None when death was proven before, or there is no such receipt."""
    table = tables.receipts
    unproven = (table.c.id == receipt, table.c.dead_ms.is_(None))
    changed = await connection.execute(update(table).where(*unproven).values(values).returning(table))
    row: Row[Any] | None = changed.one_or_none()
    return row


async def _get(connection: AsyncConnection, receipt: int) -> Receipt:
    row = (await connection.execute(select(tables.receipts).where(tables.receipts.c.id == receipt))).one_or_none()
    if row is None:
        raise NotFound(f"there is no receipt {receipt}")
    return _receipt(row)


def _receipt(row: Row[Any]) -> Receipt:
    return Receipt(
        id=row.id,
        run=row.run,
        kind=StopKind(row.kind),
        reason=StopReason(source=StopSource(row.source), actor=row.actor, text=row.text, path=row.path),
        received_at=row.received_at,
        acted_ms=row.acted_ms,
        dead_ms=row.dead_ms,
        changed=row.changed,
        failure=row.failure,
        steps=tuple(StopStep(name=name, ms=ms) for name, ms in row.steps or ()),
    )
