"""An alert may be of the host instead of a run: its warden died, its engine does not answer, its disk is full."""

from alembic import op

from app.store.columns import Key

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("alerts") as alerts:
        alerts.alter_column("run", existing_type=Key, nullable=True)
