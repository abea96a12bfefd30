"""The one place where the database's errors become ours."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError, StatementError

from app.domain.errors import Broken, CrucibleError, FullDisk

#: (part of the database's words, what to do about it)
_ADVICE = (
    ("disk is full", "Free space on the disk of the data folder; nothing of this was stored."),
    ("readonly database", "Make the data folder and the files in it writable for the server's user."),
    ("unable to open", "Check that the data folder exists and that the server's user may write in it."),
    ("is locked", "Another process holds the database: end it. One server process per data folder."),
    ("malformed", "The database file is damaged: stop the server and restore a copy."),
    ("not a database", "The file is no database or is damaged: move it away or restore a copy."),
    ("disk i/o error", "The disk of the data folder fails or went away: check it."),
)


def explained(error: BaseException) -> str:
    """What happened, in one line: the database's own words, and what to do."""
    # The statement and its parameters stay out: they hold what the agent printed.
    cause = getattr(error, "orig", None) or (error.args[0] if isinstance(error, StatementError) else error)
    words = " ".join(str(cause).split())[:300] or type(error).__name__
    advice = next((todo for part, todo in _ADVICE if part in words.lower()), "")
    return f"{words}. {advice}".rstrip()


@contextmanager
def mapped(doing: str, *, into: type[CrucibleError] = Broken) -> Iterator[None]:
    """No error of SQLAlchemy or of the driver below passes this: it leaves as `into`."""
    try:
        yield
    except CrucibleError:
        raise
    # OverflowError: an integer beyond 64 bits, which the driver refuses in its own words.
    except (SQLAlchemyError, sqlite3.Error, OSError, OverflowError) as error:
        kind = FullDisk if into is Broken and _no_room(error) else into
        raise kind(f"{doing}: {explained(error)}") from error


def _no_room(error: BaseException) -> bool:
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, OSError):
        return cause.errno in (errno.ENOSPC, errno.EDQUOT)
    return "disk is full" in str(cause).lower() or "no space left" in str(cause).lower()
