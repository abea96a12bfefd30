"""Opening, sharing and closing the database."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from app.domain.errors import Broken, Unavailable
from app.domain.runs import RunState
from app.store import audit, database, runs, tables
from app.store.database import FOLLOWERS, READERS, Database, sqlite_url

AUDITED = select(func.count()).select_from(tables.audit)


def entry(number: int) -> dict[str, object]:
    return {"at": float(number), "actor": "a", "action": "b", "subject": "c", "detail": "d"}


async def test_the_folder_and_the_files_in_it_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        db = await Database.open(sqlite_url(tmp_path / "deep" / "data"))
        await audit.append(db, at=1.0, actor="a", action="b")
        folder = tmp_path / "deep" / "data"
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
        await db.close()
    finally:
        os.umask(before)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes == {"crucible.db": 0o600, "crucible.db-wal": 0o600, "crucible.db-shm": 0o600}


async def test_a_database_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "crucible.db"
    file.touch(mode=0o644)

    await (await Database.open(sqlite_url(tmp_path))).close()

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_closing_leaves_one_whole_file(db: Database, url: str, tmp_path: Path) -> None:
    await audit.append(db, at=1.0, actor="ada", action="closing")
    await db.close()

    assert [file.name for file in (tmp_path / "data").iterdir()] == ["crucible.db"]
    again = await Database.open(url)
    assert [each.action for each in await audit.read(again)] == ["closing"]
    await again.close()


@pytest.mark.parametrize("form", ["sqlite:///{}", "sqlite+aiosqlite:///{}"])
async def test_the_driver_need_not_be_named(form: str, tmp_path: Path) -> None:
    db = await Database.open(form.format(tmp_path / "x.db"))
    await audit.append(db, at=1.0, actor="a", action="b")
    assert [entry.actor for entry in await audit.read(db)] == ["a"]
    await db.close()
    assert (tmp_path / "x.db").is_file()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "Write the database as"),
        ("mysql://host/name", "Use sqlite or postgresql"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite:////proc/nowhere/crucible.db", "the database cannot be opened"),
    ],
)
async def test_what_cannot_be_opened_says_what_to_do(url: str, said: str) -> None:
    with pytest.raises(Unavailable, match=said):
        await Database.open(url)


async def test_a_file_that_is_no_database_is_unavailable_and_unharmed(tmp_path: Path) -> None:
    file = tmp_path / "crucible.db"
    file.write_bytes(b"precious notes, not a database. " * 100)

    with pytest.raises(Unavailable, match="no database or is damaged"):
        await Database.open(sqlite_url(tmp_path))

    assert file.read_bytes() == b"precious notes, not a database. " * 100


async def test_a_block_that_fails_leaves_nothing(db: Database) -> None:
    async def fail() -> None:
        async with db.writing() as connection:
            await connection.execute(insert(tables.audit), [entry(1)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    async with db.reading() as connection:
        assert await connection.scalar(AUDITED) == 0


async def test_a_block_that_is_cancelled_leaves_nothing_and_frees_the_writer(db: Database) -> None:
    written = asyncio.Event()

    async def stuck() -> None:
        async with db.writing() as connection:
            await connection.execute(insert(tables.audit), [entry(1)])
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stuck())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await audit.append(db, at=2.0, actor="next", action="goes on")
    assert [each.actor for each in await audit.read(db)] == ["next"]


async def test_writers_cancelled_at_any_moment_never_leave_half_a_block(db: Database) -> None:
    async def write(number: int) -> None:
        async with db.writing() as connection:
            await connection.execute(insert(tables.audit), [entry(number)])
            await connection.execute(insert(tables.audit), [entry(number)])

    # Each a little later than the one before, until one is through: at the lock, in BEGIN, in the inserts, in COMMIT.
    for number in itertools.count():
        task = asyncio.create_task(write(number))
        await asyncio.wait([task], timeout=number / 10_000)
        if not task.cancel():
            await task
            break
        await asyncio.gather(task, return_exceptions=True)

    await audit.append(db, at=1.0, actor="last", action="goes on")
    counts = select(func.count()).where(tables.audit.c.actor == "a").group_by(tables.audit.c.at)
    async with db.reading() as connection:
        assert set(await connection.scalars(counts)) <= {2}


async def test_a_reader_sees_one_state_while_the_writer_goes_on(db: Database) -> None:
    async with db.reading() as connection:
        assert await connection.scalar(AUDITED) == 0
        await audit.append(db, at=1.0, actor="a", action="b")
        assert await connection.scalar(AUDITED) == 0

    async with db.reading() as connection:
        assert await connection.scalar(AUDITED) == 1


async def test_readers_do_not_wait_for_the_writer(db: Database) -> None:
    async with db.writing() as connection:
        await connection.execute(insert(tables.audit), [entry(1)])
        assert await asyncio.wait_for(audit.read(db), 20) == []


async def test_many_writers_and_readers_at_once_lose_nothing(db: Database) -> None:
    await asyncio.gather(
        *(audit.append(db, at=float(n), actor=str(n), action="write") for n in range(100)),
        *(audit.read(db) for _ in range(100)),
    )

    assert sorted(int(each.actor) for each in await audit.read(db)) == list(range(100))


async def test_the_writer_is_first_come_first_served(db: Database) -> None:
    order: list[int] = []

    async def write(number: int) -> None:
        async with db.writing():
            order.append(number)

    await asyncio.gather(*(write(number) for number in range(20)))

    assert order == list(range(20))


async def test_rows_that_point_nowhere_are_refused(db: Database) -> None:
    with pytest.raises(Broken, match="FOREIGN KEY"):
        async with db.writing() as connection:
            await connection.execute(insert(tables.relay_positions).values(run=99, sandbox="x", offset=0, pending=b""))


async def test_a_run_is_ended_exactly_when_it_has_an_outcome_whoever_writes(db: Database, run: int) -> None:
    for values in ({"state": RunState.ENDED.value}, {"outcome": "stopped"}):
        with pytest.raises(Broken, match="CHECK"):
            async with db.writing() as connection:
                await connection.execute(update(tables.runs).where(tables.runs.c.id == run).values(values))

    assert (await runs.get(db, run)).state is RunState.QUEUED


async def test_a_database_held_by_another_process_is_broken_after_a_while(db: Database, tmp_path: Path) -> None:
    async with db.writing() as connection:
        await connection.exec_driver_sql("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(tmp_path / "data" / "crucible.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(Broken, match="Another process holds the database"):
        await audit.append(db, at=1.0, actor="a", action="b")

    other.execute("ROLLBACK")
    other.close()
    await audit.append(db, at=2.0, actor="a", action="b")


async def test_two_processes_may_open_a_new_folder_at_once(url: str) -> None:
    program = (
        "import asyncio, sys\n"
        "from app.store.database import Database\n"
        "async def main():\n"
        "    db = await Database.open(sys.argv[1])\n"
        "    await db.close()\n"
        "asyncio.run(main())\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", program, url], cwd=Path.cwd(), stderr=subprocess.PIPE) for _ in range(2)
    ]

    for process in both:
        _, errors = await asyncio.to_thread(process.communicate, None, 60)
        assert (process.returncode, errors) == (0, b"")


async def test_hundreds_that_follow_runs_leave_connections_to_everybody_else(db: Database) -> None:
    at_it, let_go = asyncio.Semaphore(0), asyncio.Event()

    async def follow() -> None:
        async with db.reading(following=True):
            at_it.release()
            await let_go.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(follow())
        for _ in range(FOLLOWERS):
            await at_it.acquire()
        async with asyncio.timeout(10):
            assert await audit.read(db) == []
        assert at_it.locked(), "the others wait for each other, and hold nothing"
        let_go.set()


class Cut:
    """`work`, whose task is cancelled at its await number `place`; `reached` is False when it has fewer."""

    def __init__(self, work: Coroutine[Any, Any, object], place: int) -> None:
        self.work = work
        self.place = place
        self.reached = False

    async def run(self) -> None:
        task = asyncio.create_task(self._through())
        await asyncio.wait({task})
        if task.cancelled():
            assert self.reached
        else:
            task.result()

    async def _through(self) -> None:
        await self

    def __await__(self) -> Generator[Any, None, None]:
        steps = self.work.__await__()
        error: BaseException | None = None
        for number in itertools.count():
            try:
                waits_for = steps.send(None) if error is None else steps.throw(error)
            except StopIteration:
                return
            error = None
            if number == self.place:
                self.reached = True
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                yield waits_for
            except BaseException as raised:
                error = raised


@pytest.fixture
def left_open(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What says that a connection was let go of and never closed, once all garbage is collected."""
    said: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda each: said.append(str(each.exc_value)))

    def collected() -> list[str]:
        gc.collect()
        return said

    return collected


async def read_once(db: Database) -> None:
    async with db.reading() as connection:
        await connection.scalar(AUDITED)


async def write_once(db: Database) -> None:
    async with db.writing() as connection:
        await connection.execute(insert(tables.audit), [entry(1)])


@pytest.mark.parametrize("work", [read_once, write_once])
async def test_a_transaction_cancelled_at_any_await_leaves_no_connection_open(
    url: str, work: Callable[[Database], Coroutine[Any, Any, None]], left_open: Callable[[], list[str]]
) -> None:
    for place in itertools.count():
        db = await Database.open(url)
        await db._readers.dispose()  # So that the connection is made by whoever is cancelled.
        cut = Cut(work(db), place)
        await cut.run()
        await work(db)
        await db.close()
        del db
        assert left_open() == []
        if not cut.reached:
            break
    assert place > 10


@pytest.mark.parametrize("new", [True, False])
async def test_opening_cancelled_at_any_await_leaves_no_connection_open(
    tmp_path: Path, new: bool, left_open: Callable[[], list[str]]
) -> None:
    for place in itertools.count():
        opened: list[Database] = []

        async def open_it(folder: Path = tmp_path / (str(place) if new else "one")) -> None:
            opened.append(await Database.open(sqlite_url(folder)))  # noqa: B023

        cut = Cut(open_it(), place)
        await cut.run()
        for db in opened:
            await db.close()
            del db
        opened.clear()
        assert left_open() == []
        if not cut.reached:
            break
    assert place > 10


async def test_closing_is_carried_out_wherever_its_caller_is_cancelled(
    url: str, left_open: Callable[[], list[str]], tmp_path: Path
) -> None:
    for place in itertools.count():
        db = await Database.open(url)
        await asyncio.gather(*(audit.read(db) for _ in range(READERS)), audit.append(db, at=1.0, actor="a", action="b"))
        cut = Cut(db.close(), place)
        await cut.run()
        del db
        assert left_open() == []
        assert [file.name for file in (tmp_path / "data").iterdir()] == ["crucible.db"], "closed, and folded into one"
        if not cut.reached:
            break
    assert place > 0


@pytest.mark.parametrize("writing", [False, True])
async def test_closing_waits_for_what_is_under_way_and_lets_nobody_else_in(
    url: str, writing: bool, left_open: Callable[[], list[str]]
) -> None:
    db = await Database.open(url)
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def work(db: Database) -> int:
        async with db.writing() if writing else db.reading() as connection:
            inside.set()
            await go_on.wait()
            return int(await connection.scalar(AUDITED) or 0)

    working = asyncio.create_task(work(db))
    await inside.wait()
    closing = asyncio.create_task(db.close())
    await asyncio.wait({closing}, timeout=0.1)
    assert not closing.done()
    with pytest.raises(Broken, match="was closed"):
        await audit.read(db)

    go_on.set()
    assert await working == 0
    await closing
    with pytest.raises(Broken, match="was closed"):
        await audit.append(db, at=1.0, actor="a", action="b")
    del db, working
    assert left_open() == []


async def test_a_transaction_that_hangs_keeps_nobody_from_closing(
    url: str, left_open: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "CLOSE_SECONDS", 0.01)
    db = await Database.open(url)
    async with db.reading():
        await db.close()

    assert "with 1 transactions under way" in caplog.text
    del db
    assert left_open() == []
