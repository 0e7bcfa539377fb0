"""An index of the tasks whose last attempt failed: how many failed with the same words is asked by every ``saga why``.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it. Those that never failed, nearly all, are not in it: it costs them nothing."""
    failing = sa.text("error <> ''")
    op.create_index("ix_saga_tasks_failing", "saga_tasks", ["run_id"], sqlite_where=failing, postgresql_where=failing)
