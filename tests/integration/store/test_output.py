"""Lines go in once, in order, and come back as they were, from any place."""

from __future__ import annotations

import asyncio
import itertools
import os
import random

import pytest
from sqlalchemy import func, select, update

from app.domain.errors import Broken, Conflict, NotFound
from app.store import output, runs, tables
from app.store.appending import MOST_OPEN
from app.store.database import Database
from app.store.lines import FULL
from app.store.output import RelayPosition, StoredLine
from tests.integration.store.conftest import Queue


def line(number: int, data: bytes = b"", *, stream: int = 1, complete: bool = True) -> StoredLine:
    return StoredLine(number=number, at=1000 + number / 1000, stream=stream, data=data, complete=complete)


def lines(first: int, *texts: bytes) -> list[StoredLine]:
    return [line(number, text) for number, text in enumerate(texts, first)]


def adversarial(first: int, count: int, dice: random.Random) -> list[StoredLine]:
    def data() -> bytes:
        kind = dice.randrange(8)
        if kind == 0:
            return dice.randbytes(dice.randrange(64 * 1024 + 1))
        if kind == 1:
            return b"\r\x1b[2J\x00" * dice.randrange(50)
        return dice.randbytes(dice.randrange(120)) if kind < 6 else b""

    return [
        line(number, data(), stream=dice.choice((1, 2)), complete=dice.random() < 0.8)
        for number in range(first, first + count)
    ]


async def everything(db: Database, run: int, *, page: int = 1000) -> list[StoredLine]:
    found: list[StoredLine] = []
    while more := await output.read(db, run, after=len(found), limit=page):
        found += more
    return found


async def chunks(db: Database, run: int) -> list[tuple[int, int]]:
    table = tables.output_chunks.c
    query = select(table.first_line, table.last_line).where(table.run == run).order_by(table.first_line)
    async with db.reading() as connection:
        return [(row.first_line, row.last_line) for row in await connection.execute(query)]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_appended_comes_back_however_it_was_cut(db: Database, run: int, seed: int) -> None:
    dice = random.Random(seed)
    stored: list[StoredLine] = []
    for _ in range(150):
        batch = adversarial(len(stored) + 1, dice.choice((0, 1, 1, 2, 5, 60)), dice)
        await output.append(db, run, batch)
        stored += batch

    assert await everything(db, run, page=dice.randrange(1, 200)) == stored
    found = await runs.get(db, run)
    assert found.lines == len(stored)
    # What was printed: every byte, and the newlines that were there.
    assert found.bytes == sum(len(each.data) + each.complete for each in stored)


async def test_any_window_can_be_read(db: Database, run: int) -> None:
    stored: list[StoredLine] = []
    for size in (1, 30, 3, 4, 900, 1, 1):
        batch = lines(len(stored) + 1, *[b"text %d" % n + b"." * 100 for n in range(size)])
        await output.append(db, run, batch)
        stored += batch

    for after, limit in itertools.product((0, 1, 2, 30, 31, 500, 937, 938, 939, 940, 5000), (1, 2, 40, 1000)):
        assert await output.read(db, run, after=after, limit=limit) == stored[after : after + limit]


async def test_no_limit_no_lines(db: Database, run: int) -> None:
    await output.append(db, run, lines(1, b"a"))

    assert await output.read(db, run, after=0, limit=0) == []


async def test_small_appends_are_merged_when_they_fill_a_chunk(db: Database, run: int) -> None:
    text = b"x" * 1016  # 1024 with what a line weighs: 64 of them are a chunk
    for number in range(1, 64):
        await output.append(db, run, [line(number, text)])
    assert await chunks(db, run) == [(n, n) for n in range(1, 64)]

    await output.append(db, run, [line(64, text)])
    assert await chunks(db, run) == [(1, 64)]

    await output.append(db, run, [line(65, text)])
    assert await chunks(db, run) == [(1, 64), (65, 65)]


async def test_tiny_appends_are_merged_when_there_are_many(db: Database, run: int) -> None:
    for number in range(1, 2 * MOST_OPEN + 2):
        await output.append(db, run, [line(number, b"tick")])
        assert len(await chunks(db, run)) <= MOST_OPEN + 1

    end = 2 * MOST_OPEN
    assert await chunks(db, run) == [(1, MOST_OPEN), (MOST_OPEN + 1, end), (end + 1, end + 1)]
    assert [each.number for each in await everything(db, run)] == list(range(1, end + 2))


async def test_a_large_append_is_cut_into_chunks(db: Database, run: int) -> None:
    await output.append(db, run, lines(1, *[os.urandom(1000) for _ in range(1000)]))

    sizes = [last - first + 1 for first, last in await chunks(db, run)]
    assert sum(sizes) == 1000
    assert max(sizes) * 1008 < 2 * FULL + 1008
    assert min(sizes) * 1008 >= FULL


async def test_a_flood_of_empty_lines_makes_many_chunks(db: Database, run: int) -> None:
    await output.append(db, run, lines(1, *[b""] * 50_000))

    assert len(await chunks(db, run)) >= 3
    assert len(await output.read(db, run, after=49_990)) == 10


async def test_several_runs_are_stored_at_once(db: Database, queue: Queue) -> None:
    one, two, three = (run.id for run in await queue(3))

    await output.append_many(
        db,
        {
            one: (lines(1, b"a", b"b"), RelayPosition(sandbox="s1", offset=4)),
            two: ([], RelayPosition(sandbox="s2", offset=9, pending={1: (4.5, b"par"), 2: (5.25, b"tial")})),
            three: (lines(1, b"c"), None),
        },
    )

    assert [each.data for each in await everything(db, one)] == [b"a", b"b"]
    assert await everything(db, two) == []
    assert [each.data for each in await everything(db, three)] == [b"c"]
    assert (await output.position(db, one, "s1")).offset == 4
    assert await output.position(db, two, "s2") == RelayPosition(
        sandbox="s2", offset=9, pending={1: (4.5, b"par"), 2: (5.25, b"tial")}
    )
    assert await output.position(db, three, "s3") == RelayPosition(sandbox="s3", offset=0)


async def test_nothing_at_all_can_be_stored_without_waiting_for_the_writer(db: Database) -> None:
    async with db.writing():
        storing = asyncio.create_task(output.append_many(db, {}))
        await asyncio.wait({storing}, timeout=5)
        stored = storing.done()

    await storing
    assert stored


async def test_several_runs_are_stored_all_or_none(db: Database, queue: Queue) -> None:
    one, two = (run.id for run in await queue(2))
    where = RelayPosition(sandbox="s", offset=1)

    with pytest.raises(Conflict, match=f"run {two}: line 7 does not follow line 0"):
        await output.append_many(db, {one: (lines(1, b"a"), where), two: (lines(7, b"b"), where)})
    with pytest.raises(NotFound, match="no run 99"):
        await output.append_many(db, {one: (lines(1, b"a"), where), 99: (lines(1, b"b"), where)})

    assert await everything(db, one) == []
    assert (await output.position(db, one, "s")).offset == 0
    assert (await runs.get(db, one)).lines == 0


@pytest.mark.parametrize("numbers", [[1], [2], [4], [3, 5], [3, 3], [3, 4, 4], [0]])
async def test_numbers_follow_without_holes_or_repeats(db: Database, run: int, numbers: list[int]) -> None:
    await output.append(db, run, lines(1, b"a", b"b"))

    with pytest.raises(Conflict, match="does not follow"):
        await output.append(db, run, [line(number) for number in numbers])

    assert (await runs.get(db, run)).lines == 2


async def test_two_who_append_the_same_lines_store_them_once(db: Database, run: int) -> None:
    answers = await asyncio.gather(*(output.append(db, run, lines(1, b"a")) for _ in range(5)), return_exceptions=True)

    assert [type(answer) for answer in answers].count(Conflict) == 4
    assert len(await everything(db, run)) == 1


async def test_each_sandbox_of_a_run_has_its_own_position(db: Database, run: int) -> None:
    await output.append(db, run, lines(1, b"a"), RelayPosition(sandbox="setup", offset=2, pending={2: (1.0, b"x")}))
    await output.append(db, run, lines(2, b"b"), RelayPosition(sandbox="agent", offset=20))
    await output.append(db, run, [], RelayPosition(sandbox="agent", offset=30, pending={1: (2.0, bytes(65536))}))

    assert await output.position(db, run, "setup") == RelayPosition(sandbox="setup", offset=2, pending={2: (1.0, b"x")})
    assert await output.position(db, run, "agent") == RelayPosition(
        sandbox="agent", offset=30, pending={1: (2.0, bytes(65536))}
    )


async def test_a_position_is_stored_with_its_lines_or_not_at_all(db: Database, run: int) -> None:
    await output.append(db, run, lines(1, b"a"), RelayPosition(sandbox="s", offset=2))

    with pytest.raises(Conflict):
        await output.append(db, run, lines(1, b"a"), RelayPosition(sandbox="s", offset=4))

    assert (await output.position(db, run, "s")).offset == 2


async def test_a_reader_may_say_how_many_bytes_it_takes(db: Database, run: int) -> None:
    stored = lines(1, *[os.urandom(60_000) for _ in range(40)])
    for each in stored:
        await output.append(db, run, [each])

    assert await output.read(db, run, after=0, most_bytes=1) == stored[:1]
    assert await output.read(db, run, after=3, most_bytes=60_000) == stored[3:4]
    assert await output.read(db, run, after=3, most_bytes=200_000) == stored[3:6]
    assert await output.read(db, run, after=3, limit=2, most_bytes=200_000) == stored[3:5]
    assert await output.read(db, run, after=30, most_bytes=10**9) == stored[30:]
    assert await output.read(db, run, after=40, most_bytes=10**9) == []


async def test_reading_decompresses_only_what_it_answers(db: Database, run: int) -> None:
    for begin in range(1, 20_001, 1000):
        await output.append(db, run, lines(begin, *[b"y" * 100] * 1000))
    # A chunk outside the window may be damaged: it is not looked at.
    await damage(db, run, holding=1)

    assert all(not each.damaged for each in await output.read(db, run, after=10_000, limit=200))


async def damage(db: Database, run: int, *, holding: int, **changes: object) -> None:
    table = tables.output_chunks
    async with db.writing() as connection:
        await connection.execute(
            update(table)
            .where(table.c.run == run, table.c.first_line <= holding, table.c.last_line >= holding)
            .values(changes or {"crc32": table.c.crc32 + 1})
        )


@pytest.mark.parametrize(
    "changes",
    [{}, {"data": b""}, {"data": b"\x28\xb5\x2f\xfd" + bytes(50)}, {"codec": 9}, {"codec": 0}, {"raw_bytes": 1}],
)
async def test_a_damaged_chunk_says_which_lines_are_lost_and_the_rest_is_readable(
    db: Database, run: int, changes: dict[str, object]
) -> None:
    stored = lines(1, *[b"line %d " % n + b"z" * 700 for n in range(300)])
    for begin in range(0, 300, 100):
        await output.append(db, run, stored[begin : begin + 100])

    await damage(db, run, holding=150, **changes)

    found = await everything(db, run, page=37)
    assert [each.number for each in found] == list(range(1, 301))
    assert (found[:100], found[200:]) == (stored[:100], stored[200:])
    assert all(each.damaged for each in found[100:200])
    assert found[150].data == b"[lost: the stored output of lines 101 to 200 is damaged]"


async def test_writing_goes_on_after_a_damaged_end(db: Database, run: int) -> None:
    await output.append(db, run, lines(1, b"a", b"b"))
    await damage(db, run, holding=1)

    await output.append(db, run, lines(3, *[b"c" * 1000] * 100))
    await output.append(db, run, lines(103, b"d"))

    found = await everything(db, run)
    assert [each.number for each in found] == list(range(1, 104))
    assert [each.damaged for each in found] == [True, True] + [False] * 101


async def test_a_number_no_database_holds_is_refused_in_our_words(db: Database, run: int) -> None:
    with pytest.raises(Broken, match="too large"):
        await output.append(db, run, [], RelayPosition(sandbox="s", offset=2**70))


async def test_merging_gives_back_the_room_of_small_chunks(db: Database, run: int) -> None:
    for number in range(1, 1001):
        await output.append(db, run, [line(number, b"an ordinary line of a log, number %d" % number)])

    async with db.reading() as connection:
        rows = await connection.scalar(select(func.count()).select_from(tables.output_chunks))
    assert rows == 1000 // MOST_OPEN
