"""The open database: many readers, one writer at a time. The only module that knows SQLite from PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.domain.errors import Broken, Unavailable
from app.store.failures import explained, mapped
from app.store.schema import MIGRATIONS, migrate
from app.store.whole import whole

log = logging.getLogger(__name__)

#: Readers at once; on SQLite each is a connection with a thread of its own. More wait their turn.
READERS = 4
#: Seconds a statement waits for a lock another process holds (a backup, a stray shell), then `Broken`.
BUSY_SECONDS = 5.0
#: Of these, how many those who follow a run take at most, together: there are hundreds of them, and the loop that
#: serves them is busy. The others are for everybody else.
FOLLOWERS = 2
#: Who may hold chunks they have read before these are asked for: some megabytes each.
READS_AHEAD = 2
#: Seconds to wait for a free reader before `Broken`.
POOL_SECONDS = 30.0
#: Seconds that closing waits for what is under way: a database that hangs must not keep a server from ending.
CLOSE_SECONDS = 10.0

#: Free pages that are kept for what is written next, and how many go back to the disk in one transaction (2 MiB).
FREE_PAGES, RECLAIMED_PAGES = 128, 512

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}

_PRAGMAS = (
    # The log mode is kept in the file: `_prepare_file` sets it.
    # A power cut may lose the last commits, never the database; a killed process loses nothing.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}",
    # After a burst the log file shrinks back to this.
    f"PRAGMA journal_size_limit = {64 * 1024 * 1024}",
    f"PRAGMA cache_size = {-8 * 1024}",
    "PRAGMA temp_store = MEMORY",
    # Some builds overwrite what is deleted; merging chunks deletes all the time.
    "PRAGMA secure_delete = FAST",
)


def sqlite_url(folder: Path) -> str:
    """The URL of the database in a data folder."""
    return URL.create("sqlite+aiosqlite", database=str(folder / "crucible.db")).render_as_string(hide_password=False)


class Database:
    """SQLite (WAL) by default, PostgreSQL by URL. Open with `Database.open`, close with `close`."""

    def __init__(self, writer: AsyncEngine, readers: AsyncEngine) -> None:
        self._writer = writer
        self._readers = readers
        # A lock of our own, so that waiting writers queue in order instead of polling the file's lock.
        self._one_writer = asyncio.Lock()
        self._followers = asyncio.Semaphore(FOLLOWERS)
        #: Held by whoever takes chunks apart in threads for a reader: all searches together are one at work, in turns.
        self.one_scan = asyncio.Lock()
        #: How many more may hold chunks nobody has asked them for yet.
        self.reads_ahead = READS_AHEAD
        self._under_way = 0  #: transactions, and those that wait for their turn
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    @classmethod
    async def open(cls, url: str, *, migrations: Path = MIGRATIONS) -> Self:
        """Connect and migrate to the newest schema. A SQLite file and its folder are made, for their owner only.

        Raises `Unavailable` with what to do.
        """
        with mapped("the database cannot be opened", into=Unavailable):
            place = _parsed(url)
            if place.get_backend_name() == "sqlite":
                await asyncio.to_thread(_prepare_file, Path(place.database or ""))
            db = cls(_engine(place, writer=True), _engine(place, writer=False))
            try:
                await migrate(db._readers, lambda: _engine(place, writer=True), migrations)
            except BaseException:
                await db.close()
                raise
            return db

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """`close` waits for the end of the block; after it there is none."""
        if self._closed:
            raise Broken("the database was closed")
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        async with engine.connect() as connection:
            try:
                async with connection.begin():
                    yield connection
            finally:
                if self._closed:  # Those it belongs to may be closed already: nobody would close it later.
                    await connection.invalidate()

    def reading(self, *, following: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for reading; sees one consistent state. Raises `Broken` when it cannot.

        `following`: for a reader that catches up or keeps up, of whom there may be any number. They wait for each
        other first, in order and as long as it takes, so that they never hold all connections.
        """
        return self._reading(self._followers if following else contextlib.nullcontext())

    @asynccontextmanager
    async def _reading(self, lane: AbstractAsyncContextManager[None]) -> AsyncIterator[AsyncConnection]:
        with self._at_work(), mapped("the record cannot be read"):
            async with lane, self._transaction(self._readers) as connection:
                yield connection

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """The writer: BEGIN IMMEDIATE under one asyncio lock; commits at the end, rolls back on an error.

        Raises `Broken` when it cannot be stored; nothing of the block is stored then.
        """
        return self._writing()

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        with self._at_work(), mapped("the record cannot be written"):
            async with self._one_writer, self._transaction(self._writer) as connection:
                yield connection

    def free_bytes(self) -> int | None:
        """What is free on the disk of the record, for who may not use what is reserved; None when that is elsewhere."""
        if self._writer.dialect.name != "sqlite":
            return None
        try:
            disk = os.statvfs(self._writer.url.database or "")
        except OSError:
            return None  # The write that follows says it better.
        return disk.f_bavail * disk.f_frsize

    async def reclaim(self) -> bool:
        """Give some megabytes of free pages back to the disk; whether it is worth calling again.

        Does nothing in a file an older version made, nor elsewhere than on SQLite: there, free pages are used again.
        """
        if self._writer.dialect.name != "sqlite":
            return False
        with self._at_work(), mapped("free pages cannot be given back"):
            async with self._one_writer:
                return await asyncio.to_thread(_vacuum_some, self._writer.url.database or "")

    @whole
    async def close(self) -> None:
        """Close all connections, when what is under way has ended; whoever asks for one from now on gets `Broken`.

        To its end, also when the caller is cancelled. A connection that comes back, or is made, after the others were
        closed would be left open: nobody has it any more.
        """
        self._closed = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            log.error("the database is closed with %d transactions under way", self._under_way)
        with mapped("the database cannot be closed"):
            await self._readers.dispose()
            # Last, so that SQLite folds its write-ahead log into the file.
            await self._writer.dispose()


def _parsed(url: str) -> URL:
    try:
        place = make_url(url)
    except SQLAlchemyError as error:
        raise Unavailable(
            f"{explained(error)}. Write the database as sqlite:////folder/crucible.db or postgresql://user@host/name."
        ) from None
    if place.drivername in _DRIVERS:
        place = place.set(drivername=_DRIVERS[place.drivername])
    if place.drivername not in _DRIVERS.values():
        raise Unavailable(f"there is no support for {place.drivername!r} databases. Use sqlite or postgresql.")
    if place.get_backend_name() == "sqlite" and place.database in {None, "", ":memory:"}:
        raise Unavailable("a SQLite database needs a file: many connections share it. Name one in the URL.")
    return place


def _prepare_file(path: Path) -> None:
    # The record holds what dangerous agents printed and who may sign in: for its owner only. SQLite gives its
    # companion files (-wal, -shm) the mode of the database.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # Only a new file is opened by hand: closing an old one would end the locks SQLite has on it in this process.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        new = True
    except FileExistsError:
        path.chmod(0o600)
        new = False
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        if new:
            # Only heeded before the first table: what is freed can be given back later, a little at a time.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _write_ahead(connection)
    finally:
        connection.close()


def _vacuum_some(path: str) -> bool:
    """Whether there is more to give back."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        (before,) = connection.execute("PRAGMA freelist_count").fetchone()
        if before < FREE_PAGES:
            return False
        # A script, because the module runs this statement for one page only when it is executed by itself.
        connection.executescript(f"PRAGMA incremental_vacuum({RECLAIMED_PAGES})")
        (left,) = connection.execute("PRAGMA freelist_count").fetchone()
        return bool(FREE_PAGES <= left < before)
    finally:
        connection.close()


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Readers never wait for the writer, nor the writer for readers."""
    latest = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            # The one lock SQLite does not wait for by itself: another process opens the new file too.
            if "locked" not in str(error) or time.monotonic() > latest:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise Unavailable(
                f"the disk of the database cannot share memory between connections (its log mode is {mode!r}). "
                "Put the data folder on a local disk."
            )
        return


def _engine(place: URL, *, writer: bool) -> AsyncEngine:
    common: dict[str, Any] = {
        "pool_size": 1 if writer else READERS,
        "max_overflow": 0,
        "pool_timeout": POOL_SECONDS,
        # What agents printed must not travel into our logs with a traceback.
        "hide_parameters": True,
    }
    if place.get_backend_name() == "sqlite":
        # The driver must not begin transactions by itself: we say which kind. Every transaction of ours is ended, so
        # that connections need no reset.
        engine = create_async_engine(place, pool_reset_on_return=None, connect_args={"isolation_level": None}, **common)
        event.listen(engine.sync_engine, "connect", _set_pragmas)
        event.listen(engine.sync_engine, "begin", _begin_immediate if writer else _begin)
        return engine
    # A snapshot for readers as SQLite gives it; the writer locks the rows it changes.
    level: Any = "READ COMMITTED" if writer else "REPEATABLE READ"
    try:
        return create_async_engine(place, pool_pre_ping=True, isolation_level=level, **common)
    except ModuleNotFoundError as error:
        raise Unavailable(f"PostgreSQL needs the package {error.name}: install it beside Crucible.") from None


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    # The write lock at once: a transaction that reads first and then writes could fail half-way otherwise.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
