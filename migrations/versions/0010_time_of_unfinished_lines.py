"""What waits for its newline keeps the time it was read at."""

import struct

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_BEFORE, _AFTER = struct.Struct("<BI"), struct.Struct("<BdI")
_POSITIONS = sa.table(
    "relay_positions",
    sa.column("run", sa.BigInteger),
    sa.column("sandbox", sa.String),
    sa.column("pending", sa.LargeBinary),
)
#: What is known of a run whose time of these bytes nobody kept: they came after its newest stored line.
_NEWEST = sa.text(
    "SELECT COALESCE((SELECT MAX(last_at) / 1e6 FROM output_chunks WHERE run = runs.id), started_at, created_at)"
    " FROM runs WHERE id = :run"
)


def upgrade() -> None:
    connection = op.get_bind()
    unfinished = sa.select(_POSITIONS).where(sa.func.length(_POSITIONS.c.pending) > 0)
    for run, sandbox, pending in connection.execute(unfinished).all():
        at = float(connection.execute(_NEWEST, {"run": run}).scalar_one())
        connection.execute(
            sa.update(_POSITIONS)
            .where(_POSITIONS.c.run == run, _POSITIONS.c.sandbox == sandbox)
            .values(pending=_with_time(bytes(pending), at))
        )


def _with_time(packed: bytes, at: float) -> bytes:
    parts = []
    place = 0
    while place < len(packed):
        stream, length = _BEFORE.unpack_from(packed, place)
        place += _BEFORE.size
        parts.append(_AFTER.pack(stream, at, length) + packed[place : place + length])
        place += length
    return b"".join(parts)
