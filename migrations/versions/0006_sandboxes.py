"""What is asked of a run's sandboxes, and what its agent's turned out to be."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("evaluations", sa.Column("runtime", sa.String(length=16)))
    op.add_column("runs", sa.Column("runtime", sa.String(length=16), nullable=False, server_default="auto"))
    op.add_column("runs", sa.Column("profile", sa.String(length=16), nullable=False, server_default="strict"))
    op.add_column("runs", sa.Column("sandbox", sa.Text()))
