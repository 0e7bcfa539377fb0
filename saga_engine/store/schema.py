"""The tables of the engine's own database, the same on SQLite and PostgreSQL. The migrations make what stands here.

Each column says who changes it and when. Times are UTC, from the database's clock. "A decision" is the
transaction T2 of the protocol (``record``), "a claim" its T1 (``tasks``).
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP


class Moment(sa.TypeDecorator[datetime]):
    """A time with zone UTC: timestamptz on PostgreSQL, sortable text on SQLite."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """timestamptz where there is one."""
        return dialect.type_descriptor(TIMESTAMP(timezone=True) if dialect.name == "postgresql" else sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """SQLite keeps no zone: UTC is understood."""
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Always aware, always UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _run() -> sa.Column[str]:
    """The run that a row belongs to."""
    return sa.Column("run_id", sa.ForeignKey("saga_runs.id"), nullable=False)


def _one_of(column: str, *values: str) -> sa.CheckConstraint:
    quoted = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({quoted})", name=column)


store = sa.Table(
    "saga_store",
    metadata,
    # One row, made with the schema.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    # Names this store in every ledger key, so that two stores may share a target. Never changed.
    sa.Column("uuid", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)

definitions = sa.Table(
    "saga_definitions",
    metadata,
    # Referred to by runs and tasks: a worker claims tasks of the definitions that it has loaded.
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("saga", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    # sha256 of spec, hexadecimal.
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    # The table as canonical JSON (domain/definition/spec). Inserted by the first engine that loads it, never changed.
    sa.Column("spec", sa.Text, nullable=False),
)

runs = sa.Table(
    "saga_runs",
    metadata,
    # UUIDv7, hexadecimal. Set at the start, like everything down to starter.
    sa.Column("id", sa.Text, primary_key=True),
    # The id in Crockford base32, reversed: a suffix that a person types is a prefix here, served by an index.
    sa.Column("tag", sa.Text, nullable=False, unique=True),
    sa.Column("saga", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("definition", sa.ForeignKey("saga_definitions.id"), nullable=False),
    sa.Column("queue", sa.Text, nullable=False),
    # The user's own name for the run; the same key again is the same run.
    sa.Column("run_key", sa.Text, unique=True),
    sa.Column("input", sa.Text, nullable=False),
    sa.Column("starter", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    # From here on, changed by decisions only.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    # The state's entering has ended.
    sa.Column("open", sa.Boolean, nullable=False),
    # One more with every recorded event: the number of the journal's last line.
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("transitions", sa.Integer, nullable=False),
    # JSON object: state -> how often it was entered.
    sa.Column("visits", sa.Text, nullable=False),
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("paused_by", sa.Text),
    sa.Column("paused_reason", sa.Text),
    sa.Column("cancelling", sa.Boolean, nullable=False),
    sa.Column("rollback_to", sa.Text, nullable=False),
    # When the current state was entered.
    sa.Column("entered_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    # Hash of the journal's last line; with revision it pins the chain's head and length.
    sa.Column("journal_hash", sa.LargeBinary, nullable=False),
    _one_of("status", "running", "waiting", "parked", "completed", "rolled_back", "cancelled", "failed"),
    sa.CheckConstraint("(ended_at IS NULL) = (status IN ('running', 'waiting', 'parked'))", name="ended"),
    sa.CheckConstraint("revision >= 1", name="revision"),
    sa.Index("ix_saga_runs_saga_created", "saga", "id"),
    sa.Index(
        "ix_saga_runs_live",
        "status",
        "id",
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    ),
)

tasks = sa.Table(
    "saga_tasks",
    metadata,
    # run.revision[.n] of the decision that made it. The row goes when the task is over.
    sa.Column("name", sa.Text, primary_key=True),
    _run(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("visit", sa.Integer, nullable=False),
    # Place in the run's line; 0 beside it.
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("queue", sa.Text, nullable=False),
    sa.Column("definition", sa.ForeignKey("saga_definitions.id"), nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("about", sa.Integer, nullable=False),
    # When a worker may take it; null while it is held, waits, or is parked or paused. Decisions.
    sa.Column("due_at", Moment),
    # What due_at goes back to. Decisions.
    sa.Column("resumes_at", Moment),
    # The fence: one more at each lease, never less. Claims, and decisions that record it already leased.
    sa.Column("attempt", sa.Integer, nullable=False),
    # The incarnation that holds it. Claims set it; decisions, releases and the freeing of ended incarnations clear it.
    sa.Column("leased_by", sa.Text),
    sa.Column("leased_at", Moment),
    # The retry budget used. Decisions.
    sa.Column("failures", sa.Integer, nullable=False),
    # Incarnations that ended while they held it. The freeing raises it; any report, checkpoint or progress sets it to 0.
    sa.Column("crashes", sa.Integer, nullable=False),
    # Who held it last and never came back, and whether that process is known to be gone. The freeing.
    sa.Column("lost_by", sa.Text),
    sa.Column("lost_dead", sa.Boolean),
    # What follows when the open attempt has ended: retry, leave, park. Decisions.
    sa.Column("ending", sa.Text),
    # Why it is set aside for a person. Decisions.
    sa.Column("parked_code", sa.Text),
    sa.Column("parked_text", sa.Text),
    sa.Column("parked_outcome", sa.Text),
    sa.Column("error", sa.Text, nullable=False),
    # Hints of the running attempt, by its worker, fenced by attempt and incarnation.
    sa.Column("checkpoint", sa.Text),
    sa.Column("progress", sa.Text),
    sa.Column("heard_at", Moment),
    _one_of("kind", "leaving", "entering", "step", "undo", "wait", "gate", "timer", "event"),
    sa.CheckConstraint("ending IS NULL OR ending IN ('retry', 'leave', 'park')", name="ending"),
    sa.CheckConstraint("leased_by IS NULL OR attempt > 0", name="leased"),
    sa.CheckConstraint("parked_code IS NULL OR (due_at IS NULL AND leased_by IS NULL)", name="parked"),
    sa.Index("ix_saga_tasks_run_id", "run_id"),
    sa.Index(
        "ix_saga_tasks_due",
        "queue",
        "due_at",
        sqlite_where=sa.text("leased_by IS NULL AND due_at IS NOT NULL"),
        postgresql_where=sa.text("leased_by IS NULL AND due_at IS NOT NULL"),
    ),
    sa.Index(
        "ix_saga_tasks_leased",
        "leased_by",
        sqlite_where=sa.text("leased_by IS NOT NULL"),
        postgresql_where=sa.text("leased_by IS NOT NULL"),
    ),
)

results = sa.Table(
    "saga_results",
    metadata,
    _run(),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("visit", sa.Integer, nullable=False),
    # The step's function, event:NAME or verdict:STATE.
    sa.Column("source", sa.Text, nullable=False),
    # Canonical JSON; never changed.
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    # Set by the decision that undoes the step, or forgets what came after a state.
    sa.Column("undone", sa.Boolean, nullable=False),
    sa.PrimaryKeyConstraint("run_id", "state", "visit", "source"),
)

undo = sa.Table(
    "saga_undo",
    metadata,
    _run(),
    # From 1, in order of start; the next rollback undoes the highest first.
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("visit", sa.Integer, nullable=False),
    # The step's task: its name is the key of its effects.
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    # Decisions.
    sa.Column("status", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("run_id", "position"),
    _one_of("status", "started", "done", "undone", "skipped", "dropped", "sealed"),
)

effects = sa.Table(
    "saga_effects",
    metadata,
    # Which targets a step has touched, written before its first ledger write there. Never changed.
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("connection", sa.Text, nullable=False),
    _run(),
    # The ledger's own uuid: another one means that another database answers under this name.
    sa.Column("ledger", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("task", "connection"),
    sa.Index("ix_saga_effects_run_id", "run_id"),
)

inbox = sa.Table(
    "saga_inbox",
    metadata,
    _run(),
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
    _one_of("fate", "waiting", "taken", "ignored", "skipped", "expired", "ended"),
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
    sa.Column("task", sa.Text, primary_key=True),
    _run(),
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
    sa.CheckConstraint("outcome IS NULL OR outcome IN ('approved', 'rejected', 'expired', 'void')", name="outcome"),
    sa.Index("ix_saga_approvals_run_id", "run_id"),
    sa.Index(
        "ix_saga_approvals_open",
        "expires_at",
        sqlite_where=sa.text("outcome IS NULL"),
        postgresql_where=sa.text("outcome IS NULL"),
    ),
)

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
    _run(),
    # From 1 without a gap. Lines are never changed.
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("at", Moment, nullable=False),
    # Canonical JSON of the event, and of what was decided.
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("commands", sa.Text, nullable=False),
    # sha256 of the line before, revision, time, event and commands.
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.PrimaryKeyConstraint("run_id", "revision"),
)

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
    sa.CheckConstraint("ended_how IS NULL OR ended_how IN ('released', 'dead', 'expired')", name="ended_how"),
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
    # What the keeper saw beyond the rows of the run; replaced at each of its rounds.
    _run(),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("since", Moment, nullable=False),
    sa.PrimaryKeyConstraint("run_id", "code"),
)
