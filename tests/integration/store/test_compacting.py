"""Chunks are made large after a run's end; nothing of what they hold changes."""

from __future__ import annotations

import asyncio
import itertools
import os

import pytest
from sqlalchemy import delete, func, select

from app.domain.runs import Outcome, RunState
from app.store import output, runs, tables
from app.store.compacting import LARGE, compact, due
from app.store.database import FREE_PAGES, Database
from app.store.lines import FULL, LINE_WEIGHT
from tests.integration.store.conftest import Queue
from tests.integration.store.outputs import chunks, damage, fill, line, some_lines


async def stored_bytes(db: Database, run: int) -> int:
    table = tables.output_chunks.c
    async with db.reading() as connection:
        return await connection.scalar(select(func.sum(func.length(table.data))).where(table.run == run)) or 0


@pytest.mark.parametrize("seed", range(3))
async def test_compacted_output_is_the_same_in_fewer_and_smaller_chunks(db: Database, run: int, seed: int) -> None:
    lines = some_lines(12_000, seed=seed)
    await fill(db, run, lines, seed=seed)
    before, size = await output.read(db, run, after=0, limit=12_000), await stored_bytes(db, run)
    count = len(await chunks(db, run))

    await compact(db, run)

    after = await output.read(db, run, after=0, limit=12_000)
    assert after == before == lines
    assert [each.level for each in after] == [each.level for each in before]
    assert len(await chunks(db, run)) < count / 3
    assert await stored_bytes(db, run) < size * 0.9
    weights = [
        sum(len(each.data) + LINE_WEIGHT for each in lines[first - 1 : last]) for first, last in await chunks(db, run)
    ]
    assert max(weights) < LARGE + 2 * FULL + 1000
    assert (await runs.get(db, run)).lines == 12_000


async def test_compacting_again_changes_nothing(db: Database, run: int) -> None:
    await fill(db, run, some_lines(9000))
    await compact(db, run)
    before = await chunks(db, run)

    await compact(db, run)

    assert await chunks(db, run) == before


async def test_a_run_that_still_prints_may_be_compacted(db: Database, run: int) -> None:
    lines = some_lines(12_000)

    async def printing() -> None:
        for begin in range(0, len(lines), 40):
            await output.append(db, run, lines[begin : begin + 40])

    printer = asyncio.create_task(printing())
    while not printer.done():
        await compact(db, run)
    await printer
    # Appending goes on as ever: small chunks are merged when they fill one.
    for number in range(12_001, 12_700):
        await output.append(db, run, [line(number, b"y")])

    found = await output.read(db, run, after=0, limit=20_000)
    assert [each.number for each in found] == list(range(1, 12_700))
    assert found[:12_000] == lines
    assert len(await chunks(db, run)) < 250


async def test_a_damaged_chunk_stays_where_it_is_and_the_rest_is_compacted(db: Database, run: int) -> None:
    lines = some_lines(12_000)
    await fill(db, run, lines)
    first, last = await damage(db, run, holding=6000)
    count = len(await chunks(db, run))

    await compact(db, run)

    found = await output.read(db, run, after=0, limit=20_000)
    assert found[: first - 1] == lines[: first - 1]
    assert found[last:] == lines[last:]
    assert all(each.damaged for each in found[first - 1 : last])
    assert (first, last) in await chunks(db, run)
    assert len(await chunks(db, run)) < count / 2


async def test_compacting_that_is_cancelled_leaves_everything_readable(db: Database, run: int) -> None:
    lines = some_lines(12_000)
    await fill(db, run, lines)
    count = len(await chunks(db, run))
    task = asyncio.create_task(compact(db, run))
    while len(await chunks(db, run)) == count:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert await output.read(db, run, after=0, limit=12_000) == lines
    await compact(db, run)
    assert await output.read(db, run, after=0, limit=12_000) == lines


async def test_ended_runs_are_due_until_they_are_compacted(db: Database, queue: Queue) -> None:
    one, two, live = (run.id for run in await queue(3))
    for run in (one, two):
        await runs.transition(db, run, RunState.QUEUED, RunState.ENDED, at=1.0, outcome=Outcome.CANCELLED)
    assert await due(db) == [one, two]

    await compact(db, one)
    await compact(db, live)

    assert await due(db) == [two]


async def test_the_disk_gets_back_the_room_of_what_is_deleted(db: Database, run: int) -> None:
    async def pages() -> tuple[int, int]:
        async with db.reading() as connection:
            ((used,),) = await connection.exec_driver_sql("PRAGMA page_count")
            ((free,),) = await connection.exec_driver_sql("PRAGMA freelist_count")
        return used, free

    await output.append(db, run, [line(number, os.urandom(1000)) for number in range(1, 6001)])
    async with db.writing() as connection:
        await connection.execute(delete(tables.output_chunks).where(tables.output_chunks.c.last_line <= 5800))
    before, _ = await pages()

    await compact(db, run)

    used, free = await pages()
    assert used < before / 4
    assert free < FREE_PAGES
    assert len(await output.read(db, run, after=5900)) == 100
    assert not await db.reclaim()


async def test_chunks_that_were_merged_meanwhile_are_looked_at_again(db: Database, run: int) -> None:
    lines = some_lines(3000)
    await fill(db, run, lines[:2500])
    async with db.one_scan:
        # It has read its chunks, and waits for its turn to take them apart.
        compacting = asyncio.create_task(compact(db, run))
        while not db.one_scan._waiters:
            await asyncio.sleep(0)
        for each in lines[2500:]:
            await output.append(db, run, [each])
    await compacting

    assert await output.read(db, run, after=0, limit=9000) == lines
    spans = await chunks(db, run)
    assert all(one[1] + 1 == two[0] for one, two in itertools.pairwise(spans))


async def test_what_is_printed_after_a_compaction_is_not_merged_with_it(db: Database, run: int) -> None:
    await fill(db, run, some_lines(2500))
    await output.append(db, run, some_lines(3, first=2501))
    await compact(db, run)
    before = await chunks(db, run)

    await output.append(db, run, [line(number, b"x" * 1000) for number in range(2504, 2700)])

    assert (await chunks(db, run))[: len(before)] == before
