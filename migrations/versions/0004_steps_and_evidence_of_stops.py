"""The steps of a stop, and the evidence sealed with it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("receipts", sa.Column("steps", sa.Text()))
    op.create_table(
        "evidence",
        sa.Column("receipt", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["receipt"], ["receipts.id"], name=op.f("fk_evidence_receipt_receipts")),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f("fk_evidence_run_runs")),
        sa.PrimaryKeyConstraint("receipt", name=op.f("pk_evidence")),
    )
    op.create_index(op.f("ix_evidence_run"), "evidence", ["run"])
