"""What is left of pruned runs; and the store's uuid, from the beginning.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

from saga_engine.store.schema import Moment, Name

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


MADE = {
    "sqlite": "lower(hex(randomblob(16))), strftime('%Y-%m-%d %H:%M:%f000', 'now')",
    "postgresql": "replace(gen_random_uuid()::text, '-', ''), clock_timestamp()",
}


def upgrade() -> None:
    """Make the table; every run that there is stays.

    The uuid names the store in every ledger. Made by whoever looked first, it was missing in a backup from before that
    look: the restored store got another one, knew none of its rows in the ledgers, and did their work again.
    """
    row = MADE[op.get_context().dialect.name]
    missing = "WHERE NOT EXISTS (SELECT 1 FROM saga_store)"
    op.execute(sa.text(f"INSERT INTO saga_store (id, uuid, created_at) SELECT 1, {row} {missing}".replace(":", "\\:")))
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
