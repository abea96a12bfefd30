"""Windows by their end and by their time."""

from __future__ import annotations

import itertools

import pytest

from app.domain.errors import NotFound
from app.domain.levels import Level
from app.store import output
from app.store.compacting import compact
from app.store.database import Database
from tests.integration.store.outputs import damage, fill, line, some_lines


async def test_the_last_lines_before_any_place_can_be_read(db: Database, run: int) -> None:
    lines = some_lines(1500)
    await fill(db, run, lines)

    for before, limit in itertools.product((None, 1, 2, 3, 700, 1500, 1501, 9999), (1, 2, 500, 5000)):
        end = len(lines) if before is None else min(before - 1, len(lines))
        assert await output.tail(db, run, before=before, limit=limit) == lines[max(0, end - limit) : end]
    assert await output.tail(db, run, limit=0) == []


async def test_a_tail_may_say_how_many_bytes_it_takes(db: Database, run: int) -> None:
    lines = [line(number, b"x" * 60_000) for number in range(1, 41)]
    for each in lines:
        await output.append(db, run, [each])

    for before, most, count in [
        (None, 1, 1), (None, 60_000, 1), (None, 200_000, 3), (None, 10**9, 40),
        (38, 1, 1), (38, 200_000, 3), (2, 10**9, 1),
    ]:  # fmt: skip
        end = len(lines) if before is None else before - 1
        found = await output.tail(db, run, before=before, most_bytes=most)
        assert found == lines[end - count : end], (before, most)


async def test_a_run_that_printed_nothing_has_no_tail_and_a_missing_one_is_missing(db: Database, run: int) -> None:
    assert await output.tail(db, run) == []
    with pytest.raises(NotFound):
        await output.tail(db, 99)
    with pytest.raises(NotFound):
        await output.line_at(db, 99, 1.0)


@pytest.mark.parametrize("compacted", [False, True])
async def test_the_line_of_any_moment_is_found(db: Database, run: int, compacted: bool) -> None:
    lines = some_lines(3000)
    await fill(db, run, lines)
    if compacted:
        await compact(db, run)

    for number in (1, 2, 3, 999, 1000, 2999, 3000):
        at = 1000 + number / 1000
        assert await output.line_at(db, run, at) == number
        assert await output.line_at(db, run, at - 0.0005) == number
    assert await output.line_at(db, run, 0) == 1
    assert await output.line_at(db, run, -5.0) == 1
    assert await output.line_at(db, run, 1003.0001) == 3001
    assert await output.line_at(db, run, float("inf")) == 3001


async def test_before_anything_is_printed_every_moment_is_the_first_line(db: Database, run: int) -> None:
    assert await output.line_at(db, run, 5.0) == 1


async def test_of_lines_of_one_moment_the_first_counts(db: Database, run: int) -> None:
    await output.append(db, run, [line(number, at=5.0 + number // 10) for number in range(1, 50)])

    assert await output.line_at(db, run, 6.0) == 10


@pytest.mark.parametrize("each", [1, 10, 100, 1000])
async def test_a_clock_that_was_set_leads_to_the_nearest_passage(db: Database, run: int, each: int) -> None:
    # An hour forward, ten lines in the year 2100, and ten minutes that were lived through twice.
    times = [*range(1000, 1300), *[4_102_444_800] * 10, *range(1300, 1600), *range(1000, 1900)]
    lines = [line(number, at=float(at)) for number, at in enumerate(times, 1)]
    for begin in range(0, len(lines), each):
        await output.append(db, run, lines[begin : begin + each])

    assert await output.line_at(db, run, 1100.0) == 101
    # Inside one chunk it is the passage that its ends tell of.
    assert await output.line_at(db, run, 1400.0) in ({411} if each < 1000 else {411, 1011})
    assert await output.line_at(db, run, 1800.0) == 1411
    assert await output.line_at(db, run, 1900.0) in {301, 1511}


async def test_the_line_of_a_moment_in_a_damaged_chunk_is_its_first(db: Database, run: int) -> None:
    await fill(db, run, some_lines(3000))
    first, _ = await damage(db, run, holding=1500)

    assert await output.line_at(db, run, 1001.5) == first


async def test_levels_are_guessed_when_lines_are_stored_and_go_on_from_one_append_to_the_next(
    db: Database, run: int
) -> None:
    texts = [b"INFO: a", b"Traceback (most recent call last):", b'  File "x.py"', b"    x()", b"odd.Name: y", b"after"]
    for number, text in enumerate(texts, 1):
        await output.append(db, run, [line(number, text)])

    async def levels() -> str:
        return "".join("-diwe"[each.level] for each in await output.read(db, run, after=0))

    assert await levels() == "ieeee-"
    # Also when the small chunks are merged.
    await output.append(db, run, [line(number, b"x" * 1000) for number in range(7, 100)])
    assert (await levels())[:7] == "ieeee--"
    await compact(db, run)
    assert (await levels())[:7] == "ieeee--"


async def test_a_level_that_is_given_is_not_guessed(db: Database, run: int) -> None:
    said = line(1, b"ERROR: it says")._replace(level=Level.DEBUG)
    given = line(2, b"plain")._replace(level=Level.WARNING)
    await output.append(db, run, [said, given, line(3, b"plain")])

    assert [each.level for each in await output.read(db, run, after=0)] == [Level.DEBUG, Level.WARNING, Level.NONE]
