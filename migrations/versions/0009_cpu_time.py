"""Usage points tell how much CPU time was used since the sandbox's start."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("usage_points", sa.Column("cpu_seconds", sa.Double()))
