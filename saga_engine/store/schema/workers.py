"""Who works on the store: the lives of workers, and what their keepers found."""

import sqlalchemy as sa

from saga_engine.store.schema.base import Moment, metadata, one_of, run

incarnations = sa.Table(
    "saga_incarnations",
    metadata,
    # Random; a worker process that lost its lease begins a new one.
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    # Where its death lock is (runtime/life). Set at the start.
    sa.Column("lock_file", sa.Text, nullable=False),
    sa.Column("lock_device", sa.BigInteger, nullable=False),
    sa.Column("lock_inode", sa.BigInteger, nullable=False),
    sa.Column("boot_id", sa.Text, nullable=False),
    # JSON: queues served, definitions loaded, files that failed to load. Set at the start.
    sa.Column("queues", sa.Text, nullable=False),
    sa.Column("loaded", sa.Text, nullable=False),
    sa.Column("broken", sa.Text, nullable=False),
    sa.Column("slots", sa.Integer, nullable=False),
    # Written by each renewal.
    sa.Column("busy", sa.Integer, nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("renewed_at", Moment, nullable=False),
    sa.Column("lease_until", Moment, nullable=False),
    # Set once: by itself (released), by whoever took its death lock (dead) or saw its lease run out (expired).
    sa.Column("ended_at", Moment),
    sa.Column("ended_how", sa.Text),
    sa.CheckConstraint("(ended_at IS NULL) = (ended_how IS NULL)", name="ended"),
    one_of("ended_how", "released", "dead", "expired"),
    sa.Index(
        "ix_saga_incarnations_live",
        "lease_until",
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    ),
)

findings = sa.Table(
    "saga_findings",
    metadata,
    # What the keeper saw beyond the rows of the run, replaced at each of its rounds; and what its worker says of it.
    run(),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("since", Moment, nullable=False),
    sa.PrimaryKeyConstraint("run_id", "code"),
)
