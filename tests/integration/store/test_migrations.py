"""An empty file becomes the newest schema; an up-to-date one is opened without loading any migration."""

from __future__ import annotations

import shutil
import sqlite3
import struct
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
from app.domain.levels import Level
from app.store import output, schema, usage
from app.store.compacting import compact
from app.store.database import Database
from app.store.ribbon import ribbon
from app.store.search import Query, search
from app.store.tables import HEAD, metadata
from tests.integration.store.outputs import some_lines
from tests.unit.app.store import first_version


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


async def test_what_the_first_version_wrote_is_read_searched_and_gone_on_with(url: str, tmp_path: Path) -> None:
    first = tmp_path / "first"
    (first / "versions").mkdir(parents=True)
    for name in ("env.py", "versions/0001_the_record.py"):
        (first / name).write_text((schema.MIGRATIONS / name).read_text())
    lines = some_lines(500)
    await (await Database.open(url, migrations=first)).close()
    with sqlite3.connect(tmp_path / "data" / "crucible.db") as raw:
        raw.execute(
            "INSERT INTO evaluations VALUES (1, 's', '[]', NULL, NULL, 1, NULL, '{}', 'ada', 0)",
        )
        raw.execute(
            "INSERT INTO runs VALUES (1, 1, 's', 'f', 't', 'a', NULL, 1, 'queued', NULL, NULL, '', '{}', 'notify', 0,"
            " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
        )
        raw.execute("INSERT INTO progress VALUES (1, 500, 1, 0, 400, 1, 5000)")
        raw.execute("INSERT INTO usage_points VALUES (1, 1, 5.0, 0.25, 0.5, 1000, 3)")
        for begin in (0, 400):
            chunk = first_version.encoded(lines[begin : begin + (400 if not begin else 100)])
            raw.execute(
                "INSERT INTO output_chunks VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(chunk.last_line, chunk.first_line, chunk.line_count, chunk.first_at, chunk.last_at),
                    *(chunk.raw_bytes, chunk.codec, chunk.crc32, chunk.data),
                ),
            )
    raw.close()

    db = await Database.open(url)
    try:
        await output.append(db, 1, some_lines(3000, first=501))
        lines += some_lines(3000, first=501)
        assert await output.read(db, 1, after=0, limit=9000) == lines
        expected = [line.number for line in lines if b"alpha" in line.data]
        query = Query(pattern="alpha", levels=frozenset(Level))
        assert [hit async for part in search(db, 1, query) for hit in part.hits] == expected
        assert sum(bucket.lines for bucket in await ribbon(db, 1)) == 3500
        await compact(db, 1)
        assert await output.read(db, 1, after=0, limit=9000) == lines
        [point] = await usage.read_folded(db, 1)
        assert (point.cpu.min, point.cpu.max, point.memory.mean, point.seconds) == (0.25, 0.5, 1000, 1)
    finally:
        await db.close()


async def test_unfinished_lines_of_an_older_version_get_the_time_of_what_is_stored_before_them(
    url: str, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    shutil.copytree(schema.MIGRATIONS, older, ignore=shutil.ignore_patterns("0010*", "__pycache__"))
    await (await Database.open(url, migrations=older)).close()
    with sqlite3.connect(tmp_path / "data" / "crucible.db") as raw:
        raw.execute(
            "INSERT INTO evaluations (id, suite, tasks, epochs, limits, actor, created_at)"
            " VALUES (1, 's', '[]', 1, '{}', 'ada', 0)"
        )
        for run in (1, 2):
            raw.execute(
                "INSERT INTO runs (id, evaluation, suite, family, task, agent, epoch, state, detail, limits, policy,"
                " created_at, started_at) VALUES (?, 1, 's', 'f', 't', 'a', 1, 'running', '', '{}', 'notify', 50, 60)",
                (run,),
            )
        raw.execute(
            "INSERT INTO output_chunks (run, last_line, first_line, line_count, first_at, last_at, raw_bytes, codec,"
            " crc32, data) VALUES (1, 2, 1, 2, 70000000, 75500000, 2, 0, 0, x'')"
        )
        both = struct.pack("<BI", 1, 4) + b"half" + struct.pack("<BI", 2, 1) + b"x"
        raw.executemany(
            'INSERT INTO relay_positions (run, sandbox, "offset", pending) VALUES (?, ?, ?, ?)',
            [(1, "setup", 5, b""), (1, "agent", 9, both), (2, "agent", 7, struct.pack("<BI", 2, 1) + b"y")],
        )
    raw.close()

    db = await Database.open(url)
    try:
        kept = {
            (run, sandbox): (await output.position(db, run, sandbox)).pending
            for run, sandbox in ((1, "setup"), (1, "agent"), (2, "agent"))
        }
    finally:
        await db.close()
    assert kept == {
        (1, "setup"): {},
        (1, "agent"): {1: (75.5, b"half"), 2: (75.5, b"x")},
        (2, "agent"): {2: (60.0, b"y")},
    }


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
