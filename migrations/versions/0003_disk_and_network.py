"""Usage points tell what was written to a disk and how often a network was tried."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("usage_points", sa.Column("disk_written_bytes", sa.BigInteger()))
    op.add_column("usage_points", sa.Column("network_attempts", sa.BigInteger()))
