"""Levels of lines, an index that outlines a run's output, and usage points that stand for more than a second."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("progress", sa.Column("level_carry", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("progress", sa.Column("compacted", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("progress", sa.Column("usage_seconds", sa.Integer(), nullable=False, server_default="1"))
    for name in ("errors", "warnings", "infos", "debugs"):
        op.add_column("output_chunks", sa.Column(name, sa.Integer()))
    op.create_index(
        op.f("ix_output_chunks_outline"),
        "output_chunks",
        ["run", "last_line", "first_line", "first_at", "last_at", "raw_bytes", "errors", "warnings", "infos", "debugs"],
    )
    op.add_column("usage_points", sa.Column("seconds", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("usage_points", sa.Column("cpu_min", sa.Double()))
    op.add_column("usage_points", sa.Column("memory_min", sa.BigInteger()))
    op.add_column("usage_points", sa.Column("memory_mean", sa.Double()))
    op.add_column("usage_points", sa.Column("pids_min", sa.Integer()))
    op.add_column("usage_points", sa.Column("pids_mean", sa.Double()))
