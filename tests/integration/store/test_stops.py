"""Receipts: who stopped what, and what was proven when."""

from __future__ import annotations

import pytest

from app.domain.errors import NotFound
from app.domain.events import StopFailed, StopRequested, StopVerified
from app.domain.runs import Outcome, RunState
from app.domain.stops import Receipt, StopKind, StopReason, StopSource
from app.store import audit, events, runs, stops
from app.store.database import Database
from app.store.stops import Toll
from tests.integration.store.conftest import Queue

REASON = StopReason(source=StopSource.OPERATOR, actor="ada", text="it wanders", path="web")


async def told(db: Database, run: int) -> list[object]:
    return [each.event for each in await events.read(db, run, after=1)]


async def record(db: Database, run: int, *, changed: bool = True) -> Receipt:
    return await stops.record(db, run, StopKind.STOP, REASON, received_at=50.5, changed=changed)


async def test_a_stop_is_received_with_its_event(db: Database, run: int) -> None:
    receipt = await record(db, run)

    assert receipt == Receipt(
        id=receipt.id, run=run, kind=StopKind.STOP, reason=REASON, received_at=50.5, acted_ms=None, dead_ms=None,
        changed=True, failure="",
    )  # fmt: skip
    assert await told(db, run) == [
        StopRequested(receipt=receipt.id, kind="stop", source="operator", actor="ada", text="it wanders", path="web")
    ]


async def test_receipts_are_in_order_of_arrival(db: Database, run: int) -> None:
    first = await record(db, run)
    second = await stops.record(
        db, run, StopKind.EMERGENCY, StopReason(source=StopSource.RULE, actor="fork-bomb"),
        received_at=1.0, changed=False,
    )  # fmt: skip

    assert await stops.of_run(db, run) == [first, second]
    assert (second.kind, second.reason.source, second.changed) == (StopKind.EMERGENCY, StopSource.RULE, False)
    assert await stops.of_run(db, run + 1) == []


async def test_death_is_proven_once_and_the_first_proof_stays(db: Database, run: int) -> None:
    receipt = await record(db, run)

    proven = await stops.verified(db, receipt.id, acted_ms=1.5, dead_ms=20.25, at=51.0)
    again = await stops.verified(db, receipt.id, acted_ms=9.0, dead_ms=99.0, at=60.0)

    assert (proven.acted_ms, proven.dead_ms) == (1.5, 20.25)
    assert again == proven
    assert await stops.of_run(db, run) == [proven]
    assert (await told(db, run))[1:] == [StopVerified(receipt=receipt.id, acted_ms=1.5, dead_ms=20.25)]


async def test_a_death_not_proven_yet_says_why_until_it_is(db: Database, run: int) -> None:
    receipt = await record(db, run)

    failing = await stops.failed(db, receipt.id, "the engine does not answer", at=52.0)
    assert (failing.failure, failing.dead_ms) == ("the engine does not answer", None)

    proven = await stops.verified(db, receipt.id, acted_ms=1.0, dead_ms=900.0, at=53.0)
    assert (proven.failure, proven.dead_ms) == ("", 900.0)
    assert (await told(db, run))[1:] == [
        StopFailed(receipt=receipt.id, why="the engine does not answer"),
        StopVerified(receipt=receipt.id, acted_ms=1.0, dead_ms=900.0),
    ]


async def test_a_proven_death_does_not_fail_afterwards(db: Database, run: int) -> None:
    receipt = await record(db, run)
    proven = await stops.verified(db, receipt.id, acted_ms=1.0, dead_ms=2.0, at=51.0)

    assert await stops.failed(db, receipt.id, "late", at=52.0) == proven
    assert len(await told(db, run)) == 2


async def test_the_reason_may_be_given_later(db: Database, run: int) -> None:
    receipt = await record(db, run)

    await stops.set_text(db, receipt.id, "it dug a tunnel", actor="ada", at=1.0)

    [found] = await stops.of_run(db, run)
    assert found.reason.text == "it dug a tunnel"
    assert found.reason.actor == "ada"


async def test_one_press_is_asked_once_and_its_reason_is_that_of_all_it_ended(db: Database, queue: Queue) -> None:
    def pressed(actor: str = "ada", text: str = "") -> StopReason:
        return StopReason(source=StopSource.OPERATOR, actor=actor, text=text, path="web")

    async def press(run: int, reason: StopReason, at: float) -> Receipt:
        return await stops.record(db, run, StopKind.EMERGENCY, reason, received_at=at, changed=True)

    one, two, three, four, five = [each.id for each in await queue(5)]
    first = await press(one, pressed(), 50.125)
    await press(two, pressed(), 50.125)
    await press(three, pressed(text="said at once"), 50.125)
    later = await press(four, pressed(), 50.25)
    other = await press(five, pressed("bob"), 50.125)
    assert await stops.without_reason(db, limit=5) == [(other, 1), (later, 1), (first, 2)]
    assert await stops.without_reason(db, limit=1) == [(other, 1)]

    assert await stops.set_text(db, first.id, "smoke", actor="ada", at=1.0) == [one, two]

    texts = {run: found.reason.text for run in (one, two, three, four, five) for found in await stops.of_run(db, run)}
    assert texts == {one: "smoke", two: "smoke", three: "said at once", four: "", five: ""}
    assert [each.subject for each in await audit.read(db) if each.action == "stop.reason"] == [
        f"run {two}",
        f"run {one}",
    ]


async def test_a_toll_counts_what_stop_all_ended_and_names_what_is_not_proven(
    db: Database, run: int, queue: Queue
) -> None:
    assert await stops.toll(db, since=50.0, limit=5) == Toll(dead=0, cancelled=0, seconds=0.0, unverified=0, named=())
    await record(db, run)  # a stop of one run is no STOP ALL
    first, second, waiting = [each.id for each in await queue(3)]
    await runs.transition(db, waiting, RunState.QUEUED, RunState.ENDED, at=52.0, outcome=Outcome.CANCELLED)

    async def press(which: int, at: float) -> Receipt:
        return await stops.record(db, which, StopKind.EMERGENCY, REASON, received_at=at, changed=True)

    await press(run, 49.0)  # an earlier one
    dead, _, taken = [await press(each, 50.0) for each in (first, second, waiting)]
    await stops.verified(db, dead.id, acted_ms=1.0, dead_ms=250.0, at=51.0)
    await stops.verified(db, taken.id, acted_ms=2.0, dead_ms=125.0, at=51.0)

    assert await stops.toll(db, since=50.0, limit=5) == Toll(
        dead=1, cancelled=1, seconds=0.25, unverified=1, named=(second,)
    )
    assert (await stops.toll(db, since=50.0, limit=0)).named == ()


async def test_what_is_not_there_is_not_found(db: Database) -> None:
    with pytest.raises(NotFound, match="no run 8"):
        await record(db, 8)
    for asked in (
        stops.verified(db, 8, acted_ms=1.0, dead_ms=1.0, at=1.0),
        stops.failed(db, 8, "x", at=1.0),
        stops.set_text(db, 8, "x", actor="ada", at=1.0),
    ):
        with pytest.raises(NotFound, match="no receipt 8"):
            await asked
