"""The whole output as a stream: the very bytes, or any other form of its lines."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import pytest

from app.domain.errors import NotFound
from app.store import output
from app.store.database import Database
from app.store.output import StoredLine
from app.store.query import Query
from tests.integration.store.outputs import damage, fill, line, some_lines


def printed(lines: Sequence[StoredLine], stream: int | None = None) -> bytes:
    return b"".join(
        each.data + (b"\n" if each.complete else b"") for each in lines if stream is None or each.stream == stream
    )


async def raw(db: Database, run: int, streams: list[int] | None = None, **bounds: int) -> bytes:
    return b"".join([part async for part in output.raw(db, run, streams, **bounds)])


async def test_the_raw_output_is_what_was_printed_to_the_byte(db: Database, run: int) -> None:
    lines = some_lines(5000)
    await fill(db, run, lines)

    assert await raw(db, run) == printed(lines)
    assert await raw(db, run, [1]) == printed(lines, 1)
    assert await raw(db, run, [2]) == printed(lines, 2)
    assert await raw(db, run, []) == b""
    assert await raw(db, run, after=1000, before=3000) == printed(lines[1000:2999])


async def test_one_stream_of_whole_lines_is_only_that_stream(db: Database, run: int) -> None:
    lines = [line(number, b"%d" % number, stream=1 + number % 2) for number in range(1, 1000)]
    await fill(db, run, lines)

    assert await raw(db, run, [2]) == printed(lines, 2)
    assert await raw(db, run) == printed(lines)


async def test_nothing_printed_is_nothing_raw(db: Database, run: int) -> None:
    assert await raw(db, run) == b""
    with pytest.raises(NotFound):
        await raw(db, 99)


async def test_binary_output_and_newlines_within_lines_come_back_exactly(db: Database, run: int) -> None:
    dice = random.Random(1)
    lines = [
        StoredLine(number=number, at=1.0, stream=1, data=dice.randbytes(dice.randrange(3000)), complete=True)
        for number in range(1, 500)
    ]
    await fill(db, run, lines)

    assert hashlib.sha256(await raw(db, run)).digest() == hashlib.sha256(printed(lines)).digest()


async def test_no_part_of_a_stream_is_large_however_much_was_printed(db: Database, run: int) -> None:
    await output.append(db, run, [
        StoredLine(number=number, at=1.0, stream=1, data=b"x" * 60_000, complete=True) for number in range(1, 401)
    ])  # fmt: skip

    sizes = [len(part) async for part in output.raw(db, run)]

    assert sum(sizes) == 400 * 60_001
    assert max(sizes) < 6 * 1024 * 1024


async def test_a_damaged_chunk_is_named_in_the_raw_output_and_the_rest_is_there(db: Database, run: int) -> None:
    lines = some_lines(3000)
    await fill(db, run, lines)
    first, last = await damage(db, run, holding=1500)

    lost = f"[lost: the stored output of lines {first} to {last} is damaged]\n".encode()
    assert await raw(db, run) == printed(lines[: first - 1]) + lost + printed(lines[last:])


async def test_lines_are_rendered_in_order_in_parts_and_never_none_at_a_time(db: Database, run: int) -> None:
    lines = some_lines(5000)
    await fill(db, run, lines)
    given: list[StoredLine] = []

    def render(some: Sequence[StoredLine]) -> bytes:
        assert some
        given.extend(some)
        return b"%d\n" % len(some)

    parts = [part async for part in output.rendered(db, run, render)]

    assert given == lines
    assert sum(map(int, parts)) == 5000
    given.clear()
    assert [part async for part in output.rendered(db, run, render, after=10, before=13)] == [b"2\n"]
    assert given == lines[10:12]


async def test_only_wanted_lines_are_rendered_and_those_that_are_lost(db: Database, run: int) -> None:
    lines = some_lines(3000)
    await fill(db, run, lines)
    first, last = await damage(db, run, holding=1500)

    def numbers(some: Sequence[StoredLine]) -> bytes:
        return b"".join([b"%d " % each.number for each in some])

    query = Query(pattern="alpha", case=True)
    found = b"".join([part async for part in output.rendered(db, run, numbers, query)])

    expected = [
        each.number for each in lines if first <= each.number <= last or b"alpha" in each.data
    ]  # fmt: skip
    assert [int(number) for number in found.split()] == expected
