"""What is left of runs that were pruned: enough to know that they were, and that their keys are spent."""

import sqlalchemy as sa

from saga_engine.store.schema.base import Moment, Name, metadata

pruned = sa.Table(
    "saga_pruned",
    metadata,
    # From 1 without a gap, in the order of pruning. Rows are never changed.
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    # The run's id. No foreign key: its row is gone, or will be at the end of a pruning in pieces.
    sa.Column("run_id", Name, nullable=False, unique=True),
    sa.Column("saga", sa.Text, nullable=False),
    # The user's own name for it, spent for ever: the same key is never started again.
    sa.Column("run_key", sa.Text, unique=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("ended_at", Moment, nullable=False),
    # How many lines its journal had, and the hash of the last one.
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("journal_hash", sa.LargeBinary, nullable=False),
    sa.Column("pruned_at", Moment, nullable=False),
    # sha256 of the row before and of every column of this one.
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.CheckConstraint("number >= 1", name="number"),
    sa.CheckConstraint("revision >= 1", name="revision"),
)
