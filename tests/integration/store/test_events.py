"""Events: dense, in order, in place, never changed."""

from __future__ import annotations

import asyncio
import dataclasses
import typing
from collections.abc import Mapping

import pytest

from app.domain.errors import NotFound
from app.domain.events import KINDS, Noted, Recorded, RunQueued
from app.store import events, output
from app.store.database import Database
from app.store.output import StoredLine
from tests.integration.store.conftest import Queue


def example(kind: type) -> typing.Any:
    """One event of a kind, with a value of each field's type."""
    samples: dict[object, object] = {
        str: "text ✓", int: 7, float: 1.5, bool: True, float | None: None, int | None: 3,
        list[str]: ["a", "✓"], Mapping[str, str]: {"a": "✓"},
    }  # fmt: skip
    hints = typing.get_type_hints(kind)
    return kind(**{field.name: samples[hints[field.name]] for field in dataclasses.fields(kind)})


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_every_kind_of_event_comes_back(db: Database, run: int, kind: type) -> None:
    recorded = await events.append(db, run, example(kind), at=2.25)

    assert recorded == [Recorded(seq=2, run=run, at=2.25, line=0, event=example(kind))]
    assert await events.read(db, run, after=1) == recorded


async def test_numbers_are_dense_per_run_from_one(db: Database, queue: Queue) -> None:
    one, other = (run.id for run in await queue(2))

    await asyncio.gather(
        *(events.append(db, run, Noted(text="a"), Noted(text="b"), at=1.0) for run in (one, other) for _ in range(20))
    )

    for run in (one, other):
        assert [each.seq for each in await events.read(db, run)] == list(range(1, 42))
        assert await events.last_seq(db, run) == 41


async def test_events_of_one_call_stand_together(db: Database, run: int) -> None:
    await asyncio.gather(
        *(events.append(db, run, *(Noted(text=str(who)) for _ in range(5)), at=1.0) for who in range(10))
    )

    told = [each.event for each in await events.read(db, run, after=1)]
    for begin in range(0, 50, 5):
        assert len(set(told[begin : begin + 5])) == 1


async def test_an_event_knows_the_last_line_stored_before_it(db: Database, run: int) -> None:
    lines = [StoredLine(number=n, at=1.0, stream=1, data=b"x", complete=True) for n in (1, 2, 3)]
    await output.append(db, run, lines[:2])
    [first] = await events.append(db, run, Noted(text="between"), at=1.0)
    await output.append(db, run, lines[2:])
    [second] = await events.append(db, run, Noted(text="after"), at=1.0)

    assert (first.line, second.line) == (2, 3)


async def test_reading_goes_on_after_a_cursor(db: Database, run: int) -> None:
    await events.append(db, run, *(Noted(text=str(n)) for n in range(9)), at=1.0)

    assert [each.seq for each in await events.read(db, run, after=3, limit=4)] == [4, 5, 6, 7]
    assert [each.seq for each in await events.read(db, run, after=8)] == [9, 10]
    assert await events.read(db, run, after=10) == []


async def test_nothing_to_append_changes_nothing(db: Database, run: int) -> None:
    assert await events.append(db, run, at=1.0) == []
    assert [each.event for each in await events.read(db, run)] == [RunQueued(actor="ada")]


async def test_a_run_that_is_not_there_has_no_events(db: Database) -> None:
    with pytest.raises(NotFound, match="no run 12"):
        await events.append(db, 12, Noted(text="x"), at=1.0)

    assert await events.read(db, 12) == []
    assert await events.last_seq(db, 12) == 0
