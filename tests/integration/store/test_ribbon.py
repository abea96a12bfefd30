"""The whole run in a few pieces, counted exactly whether it is short or long."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from sqlalchemy import update

from app.domain.errors import NotFound
from app.domain.levels import Level
from app.store import output, tables
from app.store.compacting import compact
from app.store.database import Database
from app.store.query import Query
from app.store.ribbon import ribbon
from tests.integration.store.outputs import chunks, damage, fill, some_lines


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("buckets", [1, 2, 7, 100, 200, 2000])
async def test_a_ribbon_counts_every_line_once(db: Database, run: int, buckets: int, compacted: bool) -> None:
    await fill(db, run, some_lines(3000))
    if compacted:
        await compact(db, run)
    lines = await output.read(db, run, after=0, limit=3000)
    query = Query(pattern="beta", case=True)

    found = await ribbon(db, run, query, buckets=buckets)

    # About as many as asked for: where chunks are whole, a piece ends where a chunk does.
    assert min(buckets, len(await chunks(db, run))) / 3 <= len(found) <= buckets
    assert found[0].first == 1
    assert found[-1].last == 3000
    assert all(one.last + 1 == two.first for one, two in itertools.pairwise(found))
    for bucket in found:
        inside = lines[bucket.first - 1 : bucket.last]
        levels = Counter(each.level for each in inside)
        assert bucket.levels == {level: levels[level] for level in Level if level}
        assert bucket.hits == sum(b"beta" in each.data for each in inside)
        assert bucket.lines == len(inside)
        assert (bucket.first_at, bucket.last_at) == pytest.approx((inside[0].at, inside[-1].at))
        assert bucket.lost == 0


async def test_a_run_without_output_has_no_ribbon(db: Database, run: int) -> None:
    assert await ribbon(db, run) == []
    assert await ribbon(db, run, Query(pattern="x")) == []
    with pytest.raises(NotFound):
        await ribbon(db, 99)


async def test_a_short_run_has_a_piece_for_each_line(db: Database, run: int) -> None:
    await fill(db, run, some_lines(5))

    assert [(each.first, each.last) for each in await ribbon(db, run)] == [(n, n) for n in range(1, 6)]


async def test_what_is_lost_is_counted(db: Database, run: int) -> None:
    await output.append(db, run, some_lines(3000))
    first, last = await damage(db, run, holding=1500)

    found = await ribbon(db, run, Query(), buckets=50)

    assert sum(each.lost for each in found) == last - first + 1
    assert sum(each.hits for each in found) == 3000 - (last - first + 1)


async def test_chunks_older_than_levels_are_counted_too(db: Database, run: int) -> None:
    await fill(db, run, some_lines(2000))
    expected = await ribbon(db, run, buckets=1)
    async with db.writing() as connection:
        unknown = dict.fromkeys(("errors", "warnings", "infos", "debugs"))
        await connection.execute(update(tables.output_chunks).values(unknown))

    assert await ribbon(db, run, buckets=1) == expected
