"""Whatever goes wrong below, callers hear it in Crucible's words."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import exc, text

import app.store
from app.domain.alerts import AlertStatus, Category, Finding, Severity
from app.domain.errors import Broken, CrucibleError, Unavailable
from app.domain.proofs import Proof
from app.domain.runs import EvaluationRequest, Outcome, Phase, RunState
from app.domain.sandboxes import SandboxFacts
from app.domain.scores import Score, ScoreStatus
from app.domain.stops import StopKind, StopReason, StopSource
from app.store import accounts, audit, output, runs, usage
from app.store.database import Database
from app.store.failures import explained, mapped
from app.store.output import StoredLine
from app.store.query import Query
from app.store.stretch import Stretch
from app.store.tables import metadata
from app.store.usage import UsagePoint

MODULES = [importlib.import_module(f"app.store.{found.name}") for found in pkgutil.iter_modules(app.store.__path__)]
#: Everything public in the store that takes the database.
PUBLIC = [
    function
    for module in MODULES
    for name, function in vars(module).items()
    if inspect.isfunction(function)
    and function.__module__ == module.__name__
    and not name.startswith("_")
    and next(iter(inspect.signature(function).parameters), "") == "db"
]
#: The one that must not raise: a full disk keeps nobody from stopping a run.
SILENT = accounts.note_use
FUNCTIONS = [function for function in PUBLIC if inspect.iscoroutinefunction(function) and function is not SILENT]
#: Those that answer piece by piece.
ITERATORS = [function for function in PUBLIC if inspect.isasyncgenfunction(function)]


def name_of(function: typing.Any) -> str:
    return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"


def below(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from below(narrower)


ERRORS = sorted(set(below(exc.SQLAlchemyError)), key=lambda kind: kind.__qualname__)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__qualname__)
def test_every_error_of_the_database_library_is_translated(kind: type[BaseException]) -> None:
    error: BaseException
    if issubclass(kind, exc.DBAPIError):
        error = kind("INSERT …", {"data": "printed"}, Exception("in the driver"))
    elif issubclass(kind, exc.StatementError):
        error = kind("in the statement", "INSERT …", {"data": "printed"}, None)
    else:
        error = kind.__new__(kind)
    for into in (Broken, Unavailable):
        with pytest.raises(into, match="storing: "), mapped("storing", into=into):
            raise error
        assert "printed" not in explained(error)


@pytest.mark.parametrize("error", [OSError("gone"), OverflowError("too large")])
def test_errors_of_the_machine_are_translated_too(error: Exception) -> None:
    with pytest.raises(Broken), mapped("storing"):
        raise error


@pytest.mark.parametrize("error", [ValueError("mine"), Unavailable("mine"), KeyboardInterrupt()])
def test_other_errors_pass_as_they_are(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, mapped("storing"):
        raise error

    assert caught.value is error


def test_what_the_agent_printed_is_in_no_message() -> None:
    error = exc.OperationalError("INSERT …", {"data": b"secret of the run"}, Exception("database or disk is full"))

    assert explained(error) == (
        "database or disk is full. Free space on the disk of the data folder; nothing of this was stored."
    )


#: By a parameter's name, or by "module.function.parameter" where the name means something else there.
SAMPLES: Mapping[str, object] = {
    "run": 1, "evaluation": 1, "receipt": 1, "alert": 1, "user": 1, "token": 1, "after": 0, "count": 5, "at": 1.0,
    "now": 1.0, "expires_at": 2.0, "received_at": 1.0, "acted_ms": 1.0, "dead_ms": 1.0, "changed": True,
    "actor": "ada", "text": "t", "action": "a", "why": "w", "where": "w", "sandbox": "s", "secret": "s", "csrf": "c",
    "name": "n", "password_hash": "h", "request": EvaluationRequest(suite="s"), "planned": [], "runs": [1],
    "before": RunState.QUEUED, "phase": Phase.AGENT, "score": Score(status=ScoreStatus.MANUAL),
    "kind": StopKind.STOP, "reason": StopReason(source=StopSource.LIMIT, actor="wall"),
    "finding": Finding(
        rule="r", category=Category.DECEPTION, severity=Severity.LOW, title="t", response="r", line=None
    ),
    "status": AlertStatus.RESOLVED,
    "lines": [StoredLine(number=1, at=1.0, stream=1, data=b"x", complete=True)],
    "points": [UsagePoint(seq=1, at=1.0, cpu_mean=1.0, cpu_max=1.0, memory_bytes=1, pids=1)],
    "query": Query(pattern="x"), "stretch": Stretch(run=1, after=0, before=None), "work": lambda *_: None,
    "render": lambda lines: b"x" * len(lines), "since": 0.0, "until": 9.0, "seconds": 10,
    "by_run": {1: [UsagePoint(seq=1, at=1.0, cpu_mean=1.0, cpu_max=1.0, memory_bytes=1, pids=1)]},
    "data": {"lines": 1}, "most_lines": 5, "most_bytes": 5, "line": 1, "evaluations": [1], "limit": 5,
    "facts": SandboxFacts(
        sandbox="s", profile="strict", isolation="T0.H1.N2", policy_sha256="p", image_id="i", runtime="runc",
        witnessed=True, deadline=1,
    ),
    "proofs.record.proof": Proof(begun_at=1.0, seconds=1.0, actor="ada", engine="e", lines=()), "proofs.get.proof": 1,
    "usage.newest.after": {1: 0}, "news.news_of.since": {1: None}, "rule": "r",
    "batches": {1: ([StoredLine(number=1, at=1.0, stream=1, data=b"x", complete=True)], None)},
}  # fmt: skip


def call(function: typing.Any, db: Database) -> typing.Any:
    """Call with a value for everything that has no default."""
    given: dict[str, object] = {}
    for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
        if parameter.kind is parameter.VAR_POSITIONAL or parameter.default is not parameter.empty:
            continue
        own = f"{name_of(function)}.{name}"
        given[name] = SAMPLES[own] if own in SAMPLES else SAMPLES[name]
    if function is runs.transition:
        given |= {"after": RunState.ENDED, "outcome": Outcome.LOST}
    return function(db, **given)


def test_all_of_the_store_is_looked_at() -> None:
    assert len(FUNCTIONS) >= 50
    assert len(ITERATORS) >= 3
    assert len(FUNCTIONS) + len(ITERATORS) + 1 == len(PUBLIC)


@pytest.mark.parametrize("function", FUNCTIONS, ids=name_of)
async def test_no_function_lets_an_error_of_the_database_out(function: typing.Any, db: Database) -> None:
    async with db.writing() as connection:
        for table in reversed(metadata.sorted_tables):
            await connection.exec_driver_sql(f'DROP TABLE "{table.name}"')

    with pytest.raises(CrucibleError, match="no such table"):
        await call(function, db)


@pytest.mark.parametrize("function", FUNCTIONS, ids=name_of)
async def test_no_function_lets_an_error_of_a_damaged_file_out(
    function: typing.Any, db: Database, tmp_path: Path
) -> None:
    for engine in (db._readers, db._writer):
        await engine.dispose()  # The file is opened anew.
    file = tmp_path / "data" / "crucible.db"
    file.write_bytes(b"not a database any more" * 1000)

    with pytest.raises(CrucibleError, match="no database or is damaged"):
        await call(function, db)


@pytest.mark.parametrize("function", ITERATORS, ids=name_of)
async def test_no_iterator_lets_an_error_of_the_database_out(function: typing.Any, db: Database) -> None:
    async with db.writing() as connection:
        for table in reversed(metadata.sorted_tables):
            await connection.exec_driver_sql(f'DROP TABLE "{table.name}"')

    with pytest.raises(CrucibleError, match="no such table"):
        await anext(call(function, db))


def test_every_function_that_opens_a_transaction_is_whole_when_its_caller_is_cancelled() -> None:
    for function in PUBLIC:
        written = inspect.unwrap(function)
        if {"reading", "writing"} & set(written.__code__.co_names):
            assert function is not written, f"decorate {name_of(function)} with @whole"


def test_whatever_opens_a_transaction_for_others_is_called_by_something_whole() -> None:
    """Helpers within the store get the database too: each is whole itself, or used by nothing but what is whole."""
    for module in MODULES:
        tree = ast.parse(Path(module.__file__ or "").read_text())
        defined = {node.name: node for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}
        for name, node in defined.items():
            if not {"reading", "writing"} & _attributes(node) or _is_whole(node) or module.__name__ in _MAKERS:
                continue
            users = [other for other in defined.values() if other is not node and name in _names(other)]
            assert users, f"{module.__name__}.{name}"
            assert all(_is_whole(user) for user in users), f"{module.__name__}.{name}"


#: Where transactions are made.
_MAKERS = {"app.store.database", "app.store.schema"}


def _attributes(node: ast.AST) -> set[str]:
    return {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _is_whole(node: ast.AsyncFunctionDef) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "whole" for each in node.decorator_list)


def test_connections_are_taken_only_where_errors_are_translated() -> None:
    """`reading` and `writing` translate; whoever asked an engine for a connection would go around them."""
    for module in MODULES:
        if module.__name__ in {"app.store.database", "app.store.schema"}:
            continue
        tree = ast.parse(Path(module.__file__ or "").read_text())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not names & {"connect", "begin", "_writer", "_readers"}, module.__name__


async def fill(db: Database, pages: int) -> None:
    async with db.writing() as connection:
        used = await connection.scalar(text("PRAGMA page_count"))
        await connection.exec_driver_sql(f"PRAGMA max_page_count = {used + pages}")


def noise(first: int, count: int) -> list[StoredLine]:
    return [
        StoredLine(number=n, at=1.0, stream=1, data=os.urandom(200), complete=True) for n in range(first, first + count)
    ]


async def test_a_full_disk_stores_nothing_of_a_batch_and_goes_on_when_there_is_room(db: Database, run: int) -> None:
    await fill(db, 30)
    stored = 0
    with pytest.raises(Broken, match="Free space on the disk"):  # noqa: PT012
        while stored < 10_000:
            await output.append(db, run, noise(stored + 1, 50), output.RelayPosition(sandbox="s", offset=stored + 50))
            stored += 50

    assert 0 < stored < 10_000
    assert (await runs.get(db, run)).lines == stored
    assert (await output.position(db, run, "s")).offset == stored
    assert len(await output.read(db, run, after=0, limit=10_000)) == stored

    await fill(db, 1000)
    await output.append(db, run, noise(stored + 1, 50))
    assert (await runs.get(db, run)).lines == stored + 50


async def test_a_full_disk_fails_every_kind_of_write_and_no_read(db: Database, run: int) -> None:
    await fill(db, 0)
    big = "x" * 100_000
    points = [UsagePoint(seq=n, at=1.0, cpu_mean=0, cpu_max=0, memory_bytes=1, pids=1) for n in range(9999)]

    for write in (
        audit.append(db, at=1.0, actor="a", action=big),
        runs.set_submission(db, run, big),
        usage.append(db, run, points),
    ):
        with pytest.raises(Broken, match="disk is full"):
            await write

    assert (await runs.get(db, run)).submission is None
    assert await audit.read(db) == []


async def test_a_file_that_became_read_only_says_so(db: Database) -> None:
    async with db.writing() as connection:
        await connection.exec_driver_sql("PRAGMA query_only = ON")

    with pytest.raises(Broken, match="Make the data folder and the files in it writable"):
        await audit.append(db, at=1.0, actor="a", action="b")
