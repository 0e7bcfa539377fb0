"""A step that is open has no row in ``saga_undo``: its task tells that it was started. A rollback knows where it stops.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rows that are there stay as they are, and few will change: no page needs room for their next versions.

    A process that still runs an older engine would take a step without a row for one that never began. It must not find
    what it asks for: the column that it reads has another name.
    """
    op.execute("ALTER TABLE saga_undo RENAME COLUMN task TO suffix")
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE saga_undo RESET (fillfactor)")
    op.add_column("saga_runs", sa.Column("rollback_floor", sa.Integer(), server_default="0", nullable=False))
    op.execute(
        "UPDATE saga_runs SET rollback_floor = COALESCE("
        "(SELECT MAX(u.position) FROM saga_undo u WHERE u.run = saga_runs.number AND u.state = saga_runs.rollback_to"
        " AND u.status IN ('started', 'done')), (SELECT MAX(u.position) FROM saga_undo u"
        " WHERE u.run = saga_runs.number AND u.state = saga_runs.rollback_to), 0) WHERE rollback_to <> ''"
    )
