"""What the wall reads of many runs at once is what would be read of each alone."""

from __future__ import annotations

from app.domain.runs import RunState
from app.domain.stops import StopKind, StopReason, StopSource
from app.store import output, runs, stops, usage
from app.store.database import Database
from app.store.usage import UsagePoint
from tests.integration.store.conftest import Queue
from tests.integration.store.outputs import damage, fill, some_lines


def points(count: int) -> list[UsagePoint]:
    return [
        UsagePoint(seq=seq, at=float(seq), cpu_mean=0.5, cpu_max=1.0, memory_bytes=seq, pids=1)
        for seq in range(1, count + 1)
    ]


async def test_the_newest_points_of_more_runs_than_fit_into_one_statement(db: Database, queue: Queue) -> None:
    ids = [run.id for run in await queue(205)]
    for run in ids[::2]:
        await usage.append(db, run, points(5))
    found = await usage.newest(db, dict.fromkeys(ids, 0), 3)
    assert found.keys() == set(ids[::2])
    for run in ids[::50]:
        assert found.get(run, []) == await usage.last(db, run, 3)


async def test_points_that_are_known_are_not_read_again(db: Database, queue: Queue) -> None:
    one, other = [run.id for run in await queue(2)]
    for run in (one, other):
        await usage.append(db, run, points(10))
    found = await usage.newest(db, {one: 8, other: 10}, 60)
    assert [point.seq for point in found[one]] == [9, 10]
    assert other not in found


async def test_the_last_line_of_each_run(db: Database, queue: Queue) -> None:
    ids = [run.id for run in await queue(4)]
    for place, run in enumerate(ids[1:], 1):
        await fill(db, run, some_lines(300 * place, seed=place))
    await damage(db, ids[3], holding=900)
    found = await output.last_lines(db, ids)
    assert found.keys() == set(ids[1:])
    for run in ids[1:]:
        assert [found[run]] == await output.tail(db, run, limit=1)
    assert found[ids[3]].damaged


async def test_receipts_and_askers_of_many(db: Database, queue: Queue) -> None:
    one, other = await queue(2)
    reason = StopReason(source=StopSource.OPERATOR, actor="ada")
    for changed in (True, False):
        await stops.record(db, one.id, StopKind.STOP, reason, received_at=1.0, changed=changed)
    assert await stops.of_runs(db, [one.id, other.id]) == {one.id: await stops.of_run(db, one.id)}
    assert await runs.actors(db, [one.evaluation, 999]) == {one.evaluation: "ada"}


async def test_chosen_runs_without_what_may_be_long(db: Database, queue: Queue) -> None:
    one, other, _ = await queue(3)
    await runs.set_submission(db, one.id, "long " * 1000)
    (found,) = await runs.select(db, ids=[one.id], narrow=True)
    assert (found.id, found.submission, found.instructions) == (one.id, None, None)
    assert len(await runs.select(db, ids=[one.id, other.id], states={RunState.QUEUED})) == 2
    assert await runs.select(db, ids=[]) == []
