"""What a run leaves behind: results, undo stack, touched targets, events, approvals, and the journal of it all."""

from typing import Final

import sqlalchemy as sa

from saga_engine.store.schema.base import Moment, Name, metadata, numbered, one_of, run

results = sa.Table(
    "saga_results",
    metadata,
    numbered(),
    # From 1, in the order in which they came: one decision may bring several.
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("visit", sa.Integer, nullable=False),
    # The step's function, event:NAME or verdict:STATE.
    sa.Column("source", sa.Text, nullable=False),
    # Canonical JSON; never changed.
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    # Set by the decision that undoes the step, or forgets what came after a state.
    sa.Column("undone", sa.Boolean, nullable=False),
    sa.PrimaryKeyConstraint("run", "position"),
    sqlite_with_rowid=False,  # small rows: a table and an index beside it would be twice the pages
)

undo = sa.Table(
    "saga_undo",
    metadata,
    numbered(),
    # From 1, in order of start; the next rollback undoes the highest first. A step that has no row, but an open task,
    # is an entry that was started.
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("visit", sa.Integer, nullable=False),
    # How the name of the step's task goes on behind the run's id: the whole is the key of its effects.
    sa.Column("suffix", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    # Decisions.
    sa.Column("status", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("run", "position"),
    one_of("status", "started", "done", "undone", "skipped", "dropped", "sealed"),
    sqlite_with_rowid=False,
)

effects = sa.Table(
    "saga_effects",
    metadata,
    # Which targets a step has touched, written before its first ledger write there. Never changed.
    sa.Column("task", Name, nullable=False),
    sa.Column("connection", sa.Text, nullable=False),
    run(),
    # The ledger's own uuid: another one means that another database answers under this name.
    sa.Column("ledger", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("task", "connection"),
    sa.Index("ix_saga_effects_run_id", "run_id"),
)

inbox = sa.Table(
    "saga_inbox",
    metadata,
    run(),
    # The revision at which it arrived: the order of arrival.
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    # Empty where the event was taken at once: only its key is remembered.
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    # The event key: a second event of the same run, source and key is the same event.
    sa.Column("dedup_key", sa.Text),
    # waiting, then changed once, by the decision that takes, skips, expires or ends it.
    sa.Column("fate", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("run_id", "number"),
    one_of("fate", "waiting", "taken", "ignored", "skipped", "expired", "ended"),
    sa.Index(
        "uq_saga_inbox_dedup",
        "run_id",
        "source",
        "dedup_key",
        unique=True,
        sqlite_where=sa.text("dedup_key IS NOT NULL"),
        postgresql_where=sa.text("dedup_key IS NOT NULL"),
    ),
)

approvals = sa.Table(
    "saga_approvals",
    metadata,
    # The gate's task.
    sa.Column("task", Name, primary_key=True),
    run(),
    sa.Column("state", sa.Text, nullable=False),
    # JSON list; the escalation adds one.
    sa.Column("roles", sa.Text, nullable=False),
    sa.Column("need", sa.Integer, nullable=False),
    # sha256 of task, state, where approval leads and what is shown: what a verdict is bound to. Fixed at the opening.
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("shows", sa.Text, nullable=False),
    sa.Column("not_starter", sa.Boolean, nullable=False),
    sa.Column("opened_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    # Null while it is open; set once by the decision that closes it.
    sa.Column("outcome", sa.Text),
    one_of("outcome", "approved", "rejected", "expired", "void"),
    sa.Index("ix_saga_approvals_run_id", "run_id"),
    sa.Index(
        "ix_saga_approvals_open",
        "expires_at",
        sqlite_where=sa.text("outcome IS NULL"),
        postgresql_where=sa.text("outcome IS NULL"),
    ),
)

_NOTHING: Final[sa.ColumnElement[str]] = sa.literal_column("''")
UNDECIDED: Final = sa.func.coalesce(approvals.c.outcome, _NOTHING) == _NOTHING
"""An open gate of a run: so asked for that the index of all open gates does not fit.

A PostgreSQL session plans a statement once. While there are no gates, to read that whole index costs the same.
"""

votes = sa.Table(
    "saga_votes",
    metadata,
    sa.Column("task", sa.ForeignKey("saga_approvals.task"), nullable=False),
    # One verdict a person.
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("approved", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.PrimaryKeyConstraint("task", "actor"),
)

journal = sa.Table(
    "saga_journal",
    metadata,
    numbered(),
    # From 1 without a gap. Lines are never changed.
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("at", Moment, nullable=False),
    # Canonical JSON of the event, and of what was decided.
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("commands", sa.Text, nullable=False),
    # sha256 of the line before, revision, time, event and commands.
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.PrimaryKeyConstraint("run", "revision"),
)
