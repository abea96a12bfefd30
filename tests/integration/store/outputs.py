"""Output to store and to damage."""

from __future__ import annotations

import random
from collections.abc import Sequence

from sqlalchemy import select, update

from app.store import output, tables
from app.store.database import Database
from app.store.output import StoredLine

WORDS = (b"ERROR", b"warning: x", b"info", b"alpha", b"beta", b"gamma", b"\xff", b"\x1b[1m")


def line(number: int, data: bytes = b"", *, at: float | None = None, stream: int = 1) -> StoredLine:
    at = 1000 + number / 1000 if at is None else at
    return StoredLine(number=number, at=at, stream=stream, data=data, complete=True)


def some_lines(count: int, *, seed: int = 1, first: int = 1) -> list[StoredLine]:
    dice = random.Random(seed)
    return [
        StoredLine(
            number=number,
            at=1000 + number / 1000,
            stream=dice.choice((1, 1, 1, 2)),
            data=b" ".join(dice.choices(WORDS, k=dice.randrange(5))) + b"%d" % number + b"." * dice.randrange(200),
            complete=dice.random() < 0.95,
        )
        for number in range(first, first + count)
    ]


async def fill(db: Database, run: int, lines: Sequence[StoredLine], *, seed: int = 1) -> None:
    """Append in pieces of all sizes, so that there are chunks of all kinds."""
    dice = random.Random(seed)
    begin = 0
    while begin < len(lines):
        size = dice.choice((1, 2, 7, 300, 2000))
        await output.append(db, run, lines[begin : begin + size])
        begin += size


async def chunks(db: Database, run: int) -> list[tuple[int, int]]:
    """First and last line of each chunk."""
    table = tables.output_chunks.c
    query = select(table.first_line, table.last_line).where(table.run == run).order_by(table.first_line)
    async with db.reading() as connection:
        return [(row.first_line, row.last_line) for row in await connection.execute(query)]


async def damage(db: Database, run: int, *, holding: int) -> tuple[int, int]:
    """Spoil the chunk with line `holding`; its first and last line."""
    table = tables.output_chunks
    async with db.writing() as connection:
        await connection.execute(
            update(table)
            .where(table.c.run == run, table.c.first_line <= holding, table.c.last_line >= holding)
            .values(crc32=table.c.crc32 + 1)
        )
    return next((first, last) for first, last in await chunks(db, run) if first <= holding <= last)
