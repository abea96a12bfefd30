"""An empty file becomes the newest schema; an up-to-date one is opened without loading any migration."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect

from app.domain.errors import Unavailable
from app.store import schema
from app.store.database import Database
from app.store.tables import HEAD, metadata


def shape(connection: Connection) -> dict[str, object]:
    found = inspect(connection)
    return {
        name: (
            {column["name"]: (str(column["type"]), column["nullable"]) for column in found.get_columns(name)},
            found.get_pk_constraint(name),
            sorted(found.get_foreign_keys(name), key=str),
            sorted(found.get_check_constraints(name), key=str),
            sorted(found.get_unique_constraints(name), key=str),
            sorted(found.get_indexes(name), key=str),
            found.get_table_options(name),
        )
        for name in sorted(found.get_table_names())
        if name != "alembic_version"
    }


async def test_the_migrations_make_exactly_the_tables_of_the_program(db: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    async with db.reading() as connection:
        assert await connection.run_sync(differences) == []
        migrated = await connection.run_sync(shape)

    engine = create_engine("sqlite://")
    with engine.connect() as made:
        metadata.create_all(made)
        assert migrated == shape(made)
    engine.dispose()


def test_the_program_knows_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))

    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_opening_again_changes_nothing(db: Database, url: str, tmp_path: Path) -> None:
    await db.close()
    file = tmp_path / "data" / "crucible.db"
    before = file.read_bytes()

    await (await Database.open(url)).close()

    assert file.read_bytes() == before


async def test_an_up_to_date_database_opens_without_loading_migrations(db: Database, url: str) -> None:
    await db.close()
    program = (
        "import asyncio, sys\n"
        "from app.store.database import Database\n"
        "async def main():\n"
        "    await (await Database.open(sys.argv[1])).close()\n"
        "asyncio.run(main())\n"
        "sys.exit('alembic' in sys.modules)\n"
    )

    assert subprocess.run([sys.executable, "-c", program, url], timeout=60).returncode == 0


async def test_a_database_of_a_newer_version_is_left_alone(db: Database, url: str, tmp_path: Path) -> None:
    await db.close()
    with sqlite3.connect(tmp_path / "data" / "crucible.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()

    with pytest.raises(Unavailable, match="schema '9999', which this version does not know"):
        await Database.open(url)


async def test_a_database_with_other_peoples_tables_is_left_alone(url: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with sqlite3.connect(tmp_path / "data" / "crucible.db") as raw:
        raw.execute("CREATE TABLE runs (distance REAL)")
    raw.close()

    with pytest.raises(Unavailable, match="'runs' that is not ours"):
        await Database.open(url)


async def test_a_migration_that_fails_leaves_nothing_and_can_be_tried_again(url: str, tmp_path: Path) -> None:
    broken = tmp_path / "migrations"
    (broken / "versions").mkdir(parents=True)
    (broken / "env.py").write_text((schema.MIGRATIONS / "env.py").read_text())
    script = next((schema.MIGRATIONS / "versions").glob("0001*.py")).read_text()
    (broken / "versions" / "0001_broken.py").write_text(script + '    op.execute("INSERT INTO nowhere VALUES (1)")\n')

    with pytest.raises(Unavailable, match="no such table: nowhere"):
        await Database.open(url, migrations=broken)

    with sqlite3.connect(tmp_path / "data" / "crucible.db") as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == []
    raw.close()
    await (await Database.open(url)).close()


async def test_missing_migrations_are_said_so(url: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"Check the folder .*/gone"):
        await Database.open(url, migrations=tmp_path / "gone")
