"""Bringing a database to the newest schema. Loads the migrations only when one is needed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, String, column, inspect, select, table
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.errors import Unavailable
from app.store.tables import HEAD, metadata

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).resolve().parent.parent.parent / "migrations"

_VERSION = table("alembic_version", column("version_num", String))


async def migrate(readers: AsyncEngine, make_writer: Callable[[], AsyncEngine], folder: Path) -> None:
    """Make the schema the newest one, all or nothing; one look when it is already.

    `make_writer` makes an engine of its own for the migrations in `folder`, which run in another thread and event loop.
    Raises `Unavailable` for a database this version cannot know.
    """
    async with readers.connect() as connection:
        version = await connection.run_sync(_version)
    if version == HEAD:
        return
    await asyncio.to_thread(_upgrade, make_writer, folder)
    log.info("the database was brought from schema %s to %s", version or "none", HEAD)


def _version(connection: Connection) -> str | None:
    found = inspect(connection)
    if found.has_table(_VERSION.name):
        return connection.scalar(select(_VERSION.c.version_num))
    foreign = sorted(set(found.get_table_names()) & set(metadata.tables))
    if foreign:
        raise Unavailable(
            f"the database has a table {foreign[0]!r} that is not ours. Use another database, or an empty file."
        )
    return None


def _upgrade(make_writer: Callable[[], AsyncEngine], folder: Path) -> None:
    async def upgrade() -> None:
        engine = make_writer()
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_run_migrations, folder)
        finally:
            await engine.dispose()

    asyncio.run(upgrade())


def _run_migrations(connection: Connection, folder: Path) -> None:
    # 60 ms to load, and only once in the life of most databases.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        # Read again: inside the write lock, another process may have been first.
        version = _version(connection)
        if version is not None and version not in known:
            raise Unavailable(
                f"the database has schema {version!r}, which this version does not know (its newest is {HEAD!r}). "
                "Run the version of Crucible that made it, or name another database."
            )
        command.upgrade(config, "head")
    except CommandError as error:
        raise Unavailable(f"the database cannot be migrated: {error}. Check the folder {folder}.") from error
