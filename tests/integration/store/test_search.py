"""A search of a run finds what reading all of it finds, in either direction, live and after damage."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing

import pytest

from app.domain.errors import NotFound
from app.domain.levels import Level
from app.store import audit, output
from app.store.chunk import encode, opened
from app.store.compacting import compact
from app.store.database import READERS, READS_AHEAD, Database
from app.store.lines import as_columns
from app.store.output import StoredLine
from app.store.query import Finder
from app.store.search import Query, SearchPart, find, search
from tests.integration.store.outputs import chunks, damage, fill, line, some_lines

QUERIES = [
    Query(),
    Query(pattern="alpha"),
    Query(pattern="ALPHA.*beta", regex=True),
    Query(pattern="alpha", inverse=True),
    Query(pattern=r"\d7\.", regex=True, case=True),
    Query(levels=frozenset({Level.ERROR, Level.WARNING})),
    Query(pattern="a", levels=frozenset({Level.NONE}), streams=frozenset({2})),
    Query(pattern="nothing like it"),
]


def wanted(query: Query, lines: list[StoredLine]) -> list[int]:
    """One line at a time."""
    finder = Finder(query)
    return [each.number for each in lines if list(finder.find(opened(encode(as_columns([each])[0]))))]


async def all_parts(db: Database, run: int, query: Query, **how: object) -> list[SearchPart]:
    return [part async for part in search(db, run, query, **how)]  # type: ignore[arg-type]


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
@pytest.mark.parametrize("compacted", [False, True])
async def test_a_search_finds_every_wanted_line_in_either_direction(
    db: Database, run: int, query: Query, compacted: bool
) -> None:
    await fill(db, run, some_lines(9000))
    if compacted:
        await compact(db, run)
    # With the levels that were guessed when they were stored: a line may inherit one.
    expected = wanted(query, await output.read(db, run, after=0, limit=9000))

    for newest_first in (False, True):
        parts = await all_parts(db, run, query, newest_first=newest_first)

        hits = [number for part in parts for number in part.hits]
        assert hits == (expected[::-1] if newest_first else expected)
        assert (parts[-1].matches, parts[-1].lost, parts[-1].total) == (len(expected), 0, 9000)
        assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
        # Each line is looked at once: the parts follow each other without holes.
        spans = [(part.first, part.last) for part in parts]
        assert sorted(spans)[0][0] == 1
        assert sorted(spans)[-1][1] == 9000
        assert all(one[1] + 1 == two[0] for one, two in itertools.pairwise(sorted(spans)))
        assert spans == sorted(spans, reverse=newest_first)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(("after", "before"), [(0, 1), (0, 2), (100, 101), (100, 102), (1321, 1700), (2999, None)])
async def test_a_search_looks_at_no_line_outside_its_bounds(
    db: Database, run: int, newest_first: bool, after: int, before: int | None
) -> None:
    await fill(db, run, some_lines(3000))

    parts = await all_parts(db, run, Query(), after=after, before=before, newest_first=newest_first)

    hits = [number for part in parts for number in part.hits]
    assert sorted(hits) == list(range(after + 1, 3001 if before is None else before))


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_search_can_be_taken_up_where_it_was_left(db: Database, run: int, newest_first: bool) -> None:
    await fill(db, run, some_lines(9000))
    expected = [part.hits for part in await all_parts(db, run, Query(pattern="beta"), newest_first=newest_first)]
    found: list[int] = []
    bounds: dict[str, int | None] = {"after": 0, "before": None}
    done = False
    while not done:
        async with aclosing(
            search(db, run, Query(pattern="beta"), newest_first=newest_first, **bounds)  # type: ignore[arg-type]
        ) as parts:
            part = await anext(parts)
        found += part.hits
        bounds["before" if newest_first else "after"] = part.scanned_to
        done = part.done

    assert found == [number for hits in expected for number in hits]


async def test_an_empty_run_answers_one_part_that_says_so(db: Database, run: int) -> None:
    [part] = await all_parts(db, run, Query(pattern="x"))

    assert (part.hits, part.matches, part.total, part.done) == ((), 0, 0, True)
    assert part.first == part.last + 1
    [part] = await all_parts(db, run, Query(pattern="x"), newest_first=True)
    assert (part.hits, part.done) == ((), True)


async def test_there_is_nothing_to_search_in_a_run_that_is_not_there(db: Database) -> None:
    with pytest.raises(NotFound):
        await all_parts(db, 99, Query())


async def test_no_more_hits_are_listed_than_asked_but_all_are_counted(db: Database, run: int) -> None:
    await fill(db, run, some_lines(5000))

    parts = await all_parts(db, run, Query(), limit=7)

    assert [number for part in parts for number in part.hits] == [1, 2, 3, 4, 5, 6, 7]
    assert parts[-1].matches == 5000
    assert sum(part.found for part in parts) == 5000


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_damaged_chunk_is_counted_as_lost_and_the_rest_is_searched(
    db: Database, run: int, newest_first: bool
) -> None:
    await fill(db, run, some_lines(4000))
    first, last = await damage(db, run, holding=1500)

    parts = await all_parts(db, run, Query(), newest_first=newest_first)

    hits = {number for part in parts for number in part.hits}
    assert hits == set(range(1, 4001)) - set(range(first, last + 1))
    assert parts[-1].lost == last - first + 1


async def test_a_search_sees_what_is_printed_while_it_goes_on(db: Database, run: int) -> None:
    await fill(db, run, some_lines(9000))
    found = []
    async for part in search(db, run, Query()):
        found += part.hits
        if part.first == 1:
            await output.append(db, run, [line(9001, b"late")])

    assert found == list(range(1, 9002))
    # And what comes after its end is found by going on.
    await output.append(db, run, [line(9002, b"later")])
    [part] = await all_parts(db, run, Query(), after=9001)
    assert part.hits == (9002,)


async def test_a_search_from_the_end_is_not_confused_by_chunks_that_are_merged_under_it(db: Database, run: int) -> None:
    lines = some_lines(6000)
    for number in range(0, 6000, 50):
        await output.append(db, run, lines[number : number + 50])
    found: list[int] = []
    before = await chunks(db, run)
    async for part in search(db, run, Query(), newest_first=True):
        found += part.hits
        await compact(db, run)

    assert found == list(range(6000, 0, -1))
    assert len(await chunks(db, run)) < len(before)


async def test_a_search_that_is_cancelled_ends_at_once_and_leaves_nothing_open(db: Database, run: int) -> None:
    await fill(db, run, some_lines(9000))
    seen = asyncio.Event()

    async def watch() -> None:
        async for _ in search(db, run, Query(pattern="beta")):
            seen.set()

    for _ in range(10):
        seen.clear()
        task = asyncio.create_task(watch())
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    # Readers and the writer are free: more searches than there are readers, and a write.
    found = await asyncio.gather(*(all_parts(db, run, Query(pattern="beta")) for _ in range(8)))
    assert len({parts[-1].matches for parts in found}) == 1
    await audit.append(db, at=1.0, actor="next", action="write")


async def test_searches_that_stand_still_hold_nobody_up(db: Database, run: int) -> None:
    await fill(db, run, some_lines(9000))
    searches = [search(db, run, Query()) for _ in range(2 * READERS)]
    for one in searches:
        assert not (await anext(one)).done

    async with asyncio.timeout(10):
        await audit.append(db, at=1.0, actor="a", action="b")
        assert len(await output.read(db, run, after=5000, limit=200)) == 200
        assert (await all_parts(db, run, Query()))[-1].matches == 9000

    for one in searches:
        await one.aclose()


async def test_lines_printed_before_a_part_is_asked_for_are_in_it(db: Database, run: int) -> None:
    """Also where the end was read ahead by then."""
    await fill(db, run, some_lines(20_000))
    found: list[int] = []
    printed = 20_000
    async for part in search(db, run, Query(), limit=30_000):
        found += part.hits
        if not part.done:
            printed += 1
            await output.append(db, run, [line(printed, b"late")])

    assert printed > 20_001
    assert found == list(range(1, printed + 1))


@pytest.mark.parametrize("newest_first", [False, True])
async def test_few_that_stand_still_hold_what_they_read_ahead_and_none_after_their_end(
    db: Database, run: int, newest_first: bool
) -> None:
    await fill(db, run, some_lines(20_000))
    searches = [search(db, run, Query(), newest_first=newest_first) for _ in range(3 * READS_AHEAD)]
    for one in searches:
        for _ in range(2):
            assert not (await anext(one)).done

    assert db.reads_ahead == 0
    await asyncio.gather(*[one.aclose() for one in searches])
    assert db.reads_ahead == READS_AHEAD
    assert (await all_parts(db, run, Query(), newest_first=newest_first))[-1].matches == 20_000
    assert db.reads_ahead == READS_AHEAD


async def test_a_search_cancelled_while_it_reads_ahead_leaves_nothing_open(db: Database, run: int) -> None:
    await fill(db, run, some_lines(20_000))
    for _ in range(5):
        second = asyncio.Event()

        async def watch(second: asyncio.Event = second) -> None:
            async for part in search(db, run, Query()):
                if part.first > 1:
                    second.set()

        task = asyncio.create_task(watch())
        await second.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert db.reads_ahead == READS_AHEAD


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_filtered_view_is_read_page_by_page(db: Database, run: int, newest_first: bool) -> None:
    await fill(db, run, some_lines(4000))
    query = Query(pattern="gamma")
    expected = wanted(query, await output.read(db, run, after=0, limit=9000))
    pages = []
    bounds: dict[str, int | None] = {"after": 0, "before": None}
    done = False
    while not done:
        page = await find(db, run, query, newest_first=newest_first, limit=100, **bounds)  # type: ignore[arg-type]
        assert [each.number for each in page.lines] == sorted(each.number for each in page.lines)
        assert page.done or len(page.lines) == 100
        pages.append([each.number for each in page.lines])
        bounds["before" if newest_first else "after"] = page.scanned_to
        done = page.done

    assert [number for page in (pages[::-1] if newest_first else pages) for number in page] == expected


async def test_a_filtered_page_is_bounded_in_bytes_and_never_empty_while_there_is_more(db: Database, run: int) -> None:
    await output.append(db, run, [line(number, b"x" * 50_000) for number in range(1, 11)])

    page = await find(db, run, Query(pattern="x"), most_bytes=120_000)
    assert [each.number for each in page.lines] == [1, 2]
    assert (page.scanned_to, page.done) == (2, False)
    page = await find(db, run, Query(pattern="x"), most_bytes=1, after=2)
    assert [each.number for each in page.lines] == [3]


async def test_a_filter_does_not_hide_that_something_is_lost(db: Database, run: int) -> None:
    await fill(db, run, some_lines(2000))
    first, last = await damage(db, run, holding=700)

    page = await find(db, run, Query(pattern="nothing like it"), limit=9000)

    assert [each.number for each in page.lines] == list(range(first, last + 1))
    assert all(each.damaged for each in page.lines)
