"""Where many runs stand and what is new of each, in one transaction: the same as if each were read alone."""

from __future__ import annotations

from app.store import output
from app.store.database import Database
from app.store.news import news_of
from tests.integration.store.conftest import Queue
from tests.integration.store.outputs import fill, some_lines


async def test_what_is_new_of_many_runs_is_what_is_new_of_each(db: Database, queue: Queue) -> None:
    ids = [run.id for run in await queue(7)]
    for place, run in enumerate(ids):
        await fill(db, run, some_lines(100 * place, seed=place), seed=place)
    before = await news_of(db, dict.fromkeys(ids), most_lines=1000, most_bytes=1 << 20)
    assert all(before[run].lines is None for run in ids)
    assert [before[run].standing.lines for run in ids] == [100 * place for place in range(7)]

    for place, run in enumerate(ids[:-1]):
        await fill(db, run, some_lines(30 * place, seed=place, first=100 * place + 1), seed=place)
    since = {run: before[run].standing for run in ids}
    found = await news_of(db, {**since, 999_999: None}, most_lines=1000, most_bytes=1 << 20)

    assert set(found) == set(ids)
    for place, run in enumerate(ids):
        assert list(found[run].lines or ()) == await output.read(db, run, after=100 * place, limit=1000), place
    assert found[ids[-1]].lines == ()
    few = await news_of(db, since, most_lines=60, most_bytes=1 << 20)
    assert [few[run].lines is None for run in ids] == [False, False, False, True, True, True, False]
