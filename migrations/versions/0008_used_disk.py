"""Usage points tell how much lay in the agent's home."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("usage_points", sa.Column("disk_used_bytes", sa.BigInteger()))
