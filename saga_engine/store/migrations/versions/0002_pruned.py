"""What is left of pruned runs.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

from saga_engine.store.schema import Moment, Name

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; every run that there is stays."""
    op.create_table(
        "saga_pruned",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("run_id", Name, nullable=False),
        sa.Column("saga", sa.Text(), nullable=False),
        sa.Column("run_key", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("ended_at", Moment(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("journal_hash", sa.LargeBinary(), nullable=False),
        sa.Column("pruned_at", Moment(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("number >= 1", name=op.f("ck_saga_pruned_number")),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_saga_pruned_revision")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_saga_pruned")),
        sa.UniqueConstraint("run_id", name=op.f("uq_saga_pruned_run_id")),
        sa.UniqueConstraint("run_key", name=op.f("uq_saga_pruned_run_key")),
    )
