"""The first schema: everything that ``store/schema.py`` describes.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

from saga_engine.store.schema import Moment, Name, Number

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _among(column: str, *values: str) -> str:
    return " OR ".join(f"{column} = '{value}'" for value in values)


def upgrade() -> None:
    """Make all tables."""
    _store()
    _runs()
    _tasks()
    _task_indexes()
    _results()
    _events()
    _approvals()
    _workers()


def _store() -> None:
    """The store's own name, and the definitions."""
    op.create_table(
        "saga_store",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_saga_store_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saga_store")),
    )
    op.create_table(
        "saga_definitions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("saga", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        *_texts("digest", "spec"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saga_definitions")),
        sa.UniqueConstraint("digest", name=op.f("uq_saga_definitions_digest")),
    )


def _runs() -> None:
    """The runs, and on PostgreSQL where their numbers come from."""
    if op.get_context().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE saga_run_numbers")
    op.create_table(
        "saga_runs",
        sa.Column("number", Number, autoincrement=False, nullable=False),
        sa.Column("id", Name, nullable=False),
        sa.Column("tag", Name, nullable=False),
        sa.Column("saga", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", sa.Integer(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("host", sa.Text()),
        sa.Column("run_key", sa.Text(), nullable=True),
        *_texts("input", "starter"),
        sa.Column("created_at", Moment(), nullable=False),
        *_texts("state", "status"),
        sa.Column("rests_in", sa.Text(), nullable=True),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("transitions", sa.Integer(), nullable=False),
        sa.Column("visits", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("paused_by", sa.Text(), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("cancelling", sa.Boolean(), nullable=False),
        sa.Column("rollback_to", sa.Text(), nullable=False),
        sa.Column("entered_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.Column("journal_hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            f"(ended_at IS NULL) = ({_among('status', 'running', 'waiting', 'parked')})",
            name=op.f("ck_saga_runs_ended"),
        ),
        sa.CheckConstraint(
            _among("status", "running", "waiting", "parked", "completed", "rolled_back", "cancelled", "failed"),
            name=op.f("ck_saga_runs_status"),
        ),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_saga_runs_revision")),
        sa.CheckConstraint(
            f"(rests_in IS NULL) <> ({_among('status', 'waiting', 'parked')})", name=op.f("ck_saga_runs_resting")
        ),
        sa.ForeignKeyConstraint(["definition"], ["saga_definitions.id"], name=op.f("fk_saga_runs_definition")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_saga_runs")),
        sa.UniqueConstraint("id", name=op.f("uq_saga_runs_id")),
        sa.UniqueConstraint("run_key", name=op.f("uq_saga_runs_run_key")),
        sa.UniqueConstraint("tag", name=op.f("uq_saga_runs_tag")),
    )
    if op.get_context().dialect.name == "postgresql":
        # A step changes nothing that an index holds: with room on its page, the next version of the row is all that
        # is written (HOT).
        op.execute("ALTER TABLE saga_runs SET (fillfactor = 45)")
    _partial("ix_saga_runs_resting", "saga_runs", ["definition", "rests_in", "status"], "rests_in IS NOT NULL")
    _partial("ix_saga_runs_live", "saga_runs", ["status", "id"], "ended_at IS NULL")
    op.create_index("ix_saga_runs_saga_created", "saga_runs", ["saga", "id"], unique=False)


def _tasks() -> None:
    """The open tasks."""
    op.create_table(
        "saga_tasks",
        sa.Column("name", Name, nullable=False),
        sa.Column("run_id", Name, nullable=False),
        *_texts("kind", "state"),
        sa.Column("visit", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("host", sa.Text()),
        sa.Column("definition", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("about", sa.Integer(), nullable=False),
        sa.Column("due_at", Moment(), nullable=True),
        sa.Column("resumes_at", Moment(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("leased_by", sa.Text(), nullable=True),
        sa.Column("leased_at", Moment(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("lost_by", sa.Text(), nullable=True),
        sa.Column("lost_dead", sa.Boolean(), nullable=False),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.Column("parked_code", sa.Text(), nullable=True),
        sa.Column("parked_text", sa.Text(), nullable=True),
        sa.Column("parked_outcome", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=True),
        sa.Column("progress", sa.Text(), nullable=True),
        sa.Column("heard_at", Moment(), nullable=True),
        sa.CheckConstraint(_among("ending", "retry", "leave", "park"), name=op.f("ck_saga_tasks_ending")),
        sa.CheckConstraint(
            _among("kind", "leaving", "entering", "step", "undo", "wait", "gate", "timer", "event"),
            name=op.f("ck_saga_tasks_kind"),
        ),
        sa.CheckConstraint("leased_by IS NULL OR attempt > 0", name=op.f("ck_saga_tasks_leased")),
        sa.CheckConstraint("lost_by IS NULL OR leased_by IS NULL OR attempt > 1", name=op.f("ck_saga_tasks_lost")),
        sa.CheckConstraint(
            "parked_code IS NULL OR (due_at IS NULL AND leased_by IS NULL)", name=op.f("ck_saga_tasks_parked")
        ),
        sa.ForeignKeyConstraint(["definition"], ["saga_definitions.id"], name=op.f("fk_saga_tasks_definition")),
        sa.ForeignKeyConstraint(["run_id"], ["saga_runs.id"], name=op.f("fk_saga_tasks_run_id")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_saga_tasks")),
    )


def _task_indexes() -> None:
    """What finds tasks: due, by holder, by run."""
    free = "leased_by IS NULL AND due_at IS NOT NULL"
    _partial("ix_saga_tasks_due", "saga_tasks", ["queue", "definition", "due_at"], f"{free} AND kind <> 'timer'")
    _partial("ix_saga_tasks_timers", "saga_tasks", ["queue", "definition", "due_at"], f"{free} AND kind = 'timer'")
    _partial("ix_saga_tasks_leased", "saga_tasks", ["leased_by"], "leased_by IS NOT NULL")
    op.create_index("ix_saga_tasks_run_id", "saga_tasks", ["run_id"], unique=False)


def _results() -> None:
    """What came of steps, and what a rollback undoes."""
    op.create_table(
        "saga_results",
        sa.Column("run", Number, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("visit", sa.Integer(), nullable=False),
        *_texts("source", "value"),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("undone", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["saga_runs.number"], name=op.f("fk_saga_results_run")),
        sa.PrimaryKeyConstraint("run", "position", name=op.f("pk_saga_results")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "saga_undo",
        sa.Column("run", Number, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("visit", sa.Integer(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.CheckConstraint(
            _among("status", "started", "done", "undone", "skipped", "dropped", "sealed"),
            name=op.f("ck_saga_undo_status"),
        ),
        sa.ForeignKeyConstraint(["run"], ["saga_runs.number"], name=op.f("fk_saga_undo_run")),
        sa.PrimaryKeyConstraint("run", "position", name=op.f("pk_saga_undo")),
        sqlite_with_rowid=False,
    )
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE saga_undo SET (fillfactor = 60)")
    op.create_table(
        "saga_effects",
        sa.Column("task", Name, nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("run_id", Name, nullable=False),
        sa.Column("ledger", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["saga_runs.id"], name=op.f("fk_saga_effects_run_id")),
        sa.PrimaryKeyConstraint("task", "connection", name=op.f("pk_saga_effects")),
    )
    op.create_index("ix_saga_effects_run_id", "saga_effects", ["run_id"], unique=False)


def _events() -> None:
    """Events that wait, and the journal."""
    op.create_table(
        "saga_inbox",
        sa.Column("run_id", Name, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        *_texts("name", "payload", "actor", "source"),
        sa.Column("dedup_key", sa.Text(), nullable=True),
        sa.Column("fate", sa.Text(), nullable=False),
        sa.CheckConstraint(
            _among("fate", "waiting", "taken", "ignored", "skipped", "expired", "ended"),
            name=op.f("ck_saga_inbox_fate"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["saga_runs.id"], name=op.f("fk_saga_inbox_run_id")),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_saga_inbox")),
    )
    _partial(
        "uq_saga_inbox_dedup", "saga_inbox", ["run_id", "source", "dedup_key"], "dedup_key IS NOT NULL", unique=True
    )
    op.create_table(
        "saga_journal",
        sa.Column("run", Number, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        *_texts("event", "commands"),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["saga_runs.number"], name=op.f("fk_saga_journal_run")),
        sa.PrimaryKeyConstraint("run", "revision", name=op.f("pk_saga_journal")),
    )


def _approvals() -> None:
    """Gates and answers."""
    op.create_table(
        "saga_approvals",
        sa.Column("task", Name, nullable=False),
        sa.Column("run_id", Name, nullable=False),
        *_texts("state", "roles"),
        sa.Column("need", sa.Integer(), nullable=False),
        *_texts("digest", "shows"),
        sa.Column("not_starter", sa.Boolean(), nullable=False),
        sa.Column("opened_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.CheckConstraint(
            _among("outcome", "approved", "rejected", "expired", "void"),
            name=op.f("ck_saga_approvals_outcome"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["saga_runs.id"], name=op.f("fk_saga_approvals_run_id")),
        sa.PrimaryKeyConstraint("task", name=op.f("pk_saga_approvals")),
    )
    _partial("ix_saga_approvals_open", "saga_approvals", ["expires_at"], "outcome IS NULL")
    op.create_index("ix_saga_approvals_run_id", "saga_approvals", ["run_id"], unique=False)
    op.create_table(
        "saga_votes",
        sa.Column("task", Name, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["task"], ["saga_approvals.task"], name=op.f("fk_saga_votes_task")),
        sa.PrimaryKeyConstraint("task", "actor", name=op.f("pk_saga_votes")),
    )


def _workers() -> None:
    """Lives of workers, and findings."""
    op.create_table(
        "saga_incarnations",
        *_texts("id", "host"),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("lock_file", sa.Text(), nullable=False),
        sa.Column("lock_device", sa.BigInteger(), nullable=False),
        sa.Column("lock_inode", sa.BigInteger(), nullable=False),
        *_texts("boot_id", "queues", "loaded", "broken"),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("busy", sa.Integer(), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("renewed_at", Moment(), nullable=False),
        sa.Column("lease_until", Moment(), nullable=False),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.Column("ended_how", sa.Text(), nullable=True),
        sa.CheckConstraint(
            _among("ended_how", "released", "dead", "expired"),
            name=op.f("ck_saga_incarnations_ended_how"),
        ),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_how IS NULL)", name=op.f("ck_saga_incarnations_ended")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saga_incarnations")),
    )
    _partial("ix_saga_incarnations_live", "saga_incarnations", ["lease_until"], "ended_at IS NULL")
    op.create_table(
        "saga_findings",
        sa.Column("run_id", Name, nullable=False),
        *_texts("code", "evidence"),
        sa.Column("since", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["saga_runs.id"], name=op.f("fk_saga_findings_run_id")),
        sa.PrimaryKeyConstraint("run_id", "code", name=op.f("pk_saga_findings")),
    )


def _partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    """An index of the rows that *where* holds for."""
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _texts(*names: str) -> list[sa.Column[str]]:
    """Columns of text that are never null."""
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]
