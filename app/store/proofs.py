"""Proofs of the sandbox on this host: what was found, when, asked by whom."""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy import Row, insert, select

from app.domain.errors import NotFound
from app.domain.proofs import Proof, ProofLine, Verdict
from app.store import tables
from app.store.database import Database
from app.store.whole import whole

_TABLE = tables.proofs


@whole
async def record(db: Database, proof: Proof) -> Proof:
    """The proof with its id."""
    values = {
        "begun_at": proof.begun_at,
        "seconds": proof.seconds,
        "actor": proof.actor,
        "engine": proof.engine,
        "held": proof.count(Verdict.HELD),
        "broke": proof.count(Verdict.BROKE),
        "untested": proof.count(Verdict.UNTESTED),
        "verdicts": [{**dataclasses.asdict(line), "verdict": line.verdict.value} for line in proof.lines],
    }
    async with db.writing() as connection:
        return _proof((await connection.execute(insert(_TABLE).values(values).returning(_TABLE))).one())


@whole
async def recent(db: Database, *, limit: int = 10) -> list[Proof]:
    """Newest first."""
    query = select(_TABLE).order_by(_TABLE.c.id.desc()).limit(limit)
    async with db.reading() as connection:
        return [_proof(row) for row in await connection.execute(query)]


@whole
async def get(db: Database, proof: int) -> Proof:
    """Raises `NotFound`."""
    async with db.reading() as connection:
        row = (await connection.execute(select(_TABLE).where(_TABLE.c.id == proof))).one_or_none()
    if row is None:
        raise NotFound(f"there is no proof {proof}")
    return _proof(row)


def _proof(row: Row[Any]) -> Proof:
    lines = [ProofLine(**{**values, "verdict": Verdict(values["verdict"])}) for values in row.verdicts]
    return Proof(
        id=row.id,
        begun_at=row.begun_at,
        seconds=row.seconds,
        actor=row.actor,
        engine=row.engine,
        lines=tuple(lines),
    )
