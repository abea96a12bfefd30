"""What was printed: compressed chunks of lines with dense, permanent numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLine:
    """One line. `number` counts from 1 per run without holes. `data` are the very bytes, without the newline."""

    number: int
    at: float  #: unix seconds, microsecond precision
    stream: int  #: 1 stdout, 2 stderr
    data: bytes
    complete: bool  #: whether a newline followed; if not, the next line of the stream goes on from here


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayPosition:
    """How far a sandbox's relay is stored: everything before `offset`, with the unfinished lines in `pending`."""

    sandbox: str
    offset: int
    pending: Mapping[int, bytes] = field(default_factory=dict)  #: stream -> bytes after its last newline


async def append(db: Database, run: int, lines: Sequence[StoredLine], position: RelayPosition | None = None) -> None:
    """Store `lines` (numbers follow the run's last) and how far the relay is stored, in one transaction.

    Updates the run's `lines` and `bytes`. Small appends are merged into chunks of about 64 KiB of raw bytes.
    Raises `Broken` when it cannot be stored (disk full, locked): nothing of it is stored then.
    """
    raise NotImplementedError


async def append_many(
    db: Database, batches: Mapping[int, tuple[Sequence[StoredLine], RelayPosition | None]]
) -> None:
    """`append` for several runs in one transaction: what the recorder does each 50 ms."""
    raise NotImplementedError


async def read(db: Database, run: int, *, after: int, limit: int = 1000) -> list[StoredLine]:
    """Up to `limit` lines with number > `after`, in order."""
    raise NotImplementedError


async def position(db: Database, run: int, sandbox: str) -> RelayPosition:
    """How far the relay of `sandbox` is stored; offset 0 when nothing is."""
    raise NotImplementedError
