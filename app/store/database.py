"""The open database: many readers, one writer at a time."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Self

from sqlalchemy.ext.asyncio import AsyncConnection


class Database:
    """SQLite (WAL) by default, PostgreSQL by URL. Open with `Database.open`, close with `close`."""

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect and migrate to the newest schema (Alembic). Raises `Unavailable` with what to do."""
        raise NotImplementedError

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for reading; sees one consistent state."""
        raise NotImplementedError

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """The writer: BEGIN IMMEDIATE under one asyncio lock; commits at the end, rolls back on an error."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
