"""What was sealed of a run when it was stopped: kept exactly as its SHA-256 was taken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select

from app.store import audit, tables
from app.store.columns import storable
from app.store.database import Database
from app.store.whole import whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """`data` is canonical JSON: keys sorted, no blanks. `sha256` is of its UTF-8 bytes."""

    receipt: int
    run: int
    at: float
    sha256: str
    data: str


@whole
async def seal(db: Database, *, receipt: int, run: int, data: Mapping[str, Any], at: float) -> Evidence:
    """Stores it, with its digest in the audit log, in one transaction. Raises `Broken` when there is one already."""
    text = storable(json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
    digest = hashlib.sha256(text.encode()).hexdigest()
    async with db.writing() as connection:
        row = {"receipt": receipt, "run": run, "at": at, "sha256": digest, "data": text}
        await connection.execute(insert(tables.evidence).values(row))
        await audit.record(
            connection, at=at, actor="server", action="evidence.seal", subject=f"run {run}", detail=f"sha256 {digest}"
        )
    return Evidence(receipt=receipt, run=run, at=at, sha256=digest, data=text)


@whole
async def of_run(db: Database, run: int) -> list[Evidence]:
    """In order of the stops."""
    query = select(tables.evidence).where(tables.evidence.c.run == run).order_by(tables.evidence.c.receipt)
    async with db.reading() as connection:
        return [
            Evidence(receipt=row.receipt, run=row.run, at=row.at, sha256=row.sha256, data=row.data)
            for row in await connection.execute(query)
        ]


@whole
async def digests(db: Database, run: int) -> Mapping[int, str]:
    """Receipt -> SHA-256, without the data."""
    table = tables.evidence.c
    query = select(table.receipt, table.sha256).where(table.run == run)
    async with db.reading() as connection:
        return {row.receipt: row.sha256 for row in await connection.execute(query)}
