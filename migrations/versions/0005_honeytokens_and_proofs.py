"""Whether a run has honeytokens, and what proofs of the sandbox found."""

import sqlalchemy as sa
from alembic import op

from app.store.columns import Json, Key, Words

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("honeytokens", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.create_table(
        "proofs",
        sa.Column("id", Key, nullable=False),
        sa.Column("begun_at", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("actor", Words, nullable=False),
        sa.Column("engine", Words, nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("broke", sa.Integer(), nullable=False),
        sa.Column("untested", sa.Integer(), nullable=False),
        sa.Column("verdicts", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proofs")),
    )
    op.create_index(op.f("ix_proofs_begun_at"), "proofs", ["begun_at"])
