"""The store itself, the definitions it has seen, the runs, and the tasks that are open."""

import sqlalchemy as sa

from saga_engine.store.schema.base import Moment, Name, Number, among, metadata, one_of, run

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

RESTING = sa.text("rests_in IS NOT NULL")

runs = sa.Table(
    "saga_runs",
    metadata,
    # What journal, results and undo know it by. Given at the start, like everything down to starter.
    sa.Column("number", Number, primary_key=True, autoincrement=False),
    # UUIDv7, hexadecimal.
    sa.Column("id", Name, nullable=False, unique=True),
    # The id in Crockford base32, reversed: a suffix that a person types is a prefix here, served by an index.
    sa.Column("tag", Name, nullable=False, unique=True),
    sa.Column("saga", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("definition", sa.ForeignKey("saga_definitions.id"), nullable=False),
    sa.Column("queue", sa.Text, nullable=False),
    # Where the run's files are; null until a step asks for its folder, or where all hosts share them. Set once.
    sa.Column("host", sa.Text),
    # The user's own name for the run; the same key again is the same run.
    sa.Column("run_key", sa.Text, unique=True),
    sa.Column("input", sa.Text, nullable=False),
    sa.Column("starter", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    # From here on, changed by decisions only.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    # The state once more while the run waits or is parked, else null: an index on what changes with every step would
    # have to be written with every step.
    sa.Column("rests_in", sa.Text),
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
    # The position in saga_undo at which a rollback to a state stops; 0 is the bottom.
    sa.Column("rollback_floor", sa.Integer, nullable=False, server_default="0"),
    # When the current state was entered.
    sa.Column("entered_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    # Hash of the journal's last line; with revision it pins the chain's head and length.
    sa.Column("journal_hash", sa.LargeBinary, nullable=False),
    one_of("status", "running", "waiting", "parked", "completed", "rolled_back", "cancelled", "failed"),
    sa.CheckConstraint(f"(ended_at IS NULL) = ({among('status', 'running', 'waiting', 'parked')})", name="ended"),
    sa.CheckConstraint("revision >= 1", name="revision"),
    sa.CheckConstraint("(rests_in IS NULL) <> (status = 'waiting' OR status = 'parked')", name="resting"),
    # Holds all that is counted: a million runs that wait are counted without a look at them.
    sa.Index(
        "ix_saga_runs_resting",
        "definition",
        "rests_in",
        "status",
        sqlite_where=RESTING,
        postgresql_where=RESTING,
    ),
    sa.Index("ix_saga_runs_saga_created", "saga", "id"),
    sa.Index(
        "ix_saga_runs_live",
        "status",
        "id",
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    ),
)

NUMBERS = sa.Sequence("saga_run_numbers")
"""A sequence of PostgreSQL. In SQLite one transaction writes at a time, and the next is one more than the last."""


def number_of(run_id: str | sa.BindParameter[str]) -> sa.ScalarSelect[int]:
    """The number of the run with that id. Unique index."""
    return sa.select(runs.c.number).where(runs.c.id == run_id).scalar_subquery()


DUE_ACTION = sa.text("leased_by IS NULL AND due_at IS NOT NULL AND kind <> 'timer'")
FAILING = sa.text("error <> ''")
DUE_TIMER = sa.text("leased_by IS NULL AND due_at IS NOT NULL AND kind = 'timer'")

tasks = sa.Table(
    "saga_tasks",
    metadata,
    # run.revision[.n] of the decision that made it. The row goes when the task is over.
    sa.Column("name", Name, primary_key=True),
    run(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("visit", sa.Integer, nullable=False),
    # Place in the run's line; 0 beside it.
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("queue", sa.Text, nullable=False),
    # The only host that may claim it; copied from the run.
    sa.Column("host", sa.Text),
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
    # Incarnations that ended while they held it. The freeing raises it; any report, checkpoint or progress of an
    # attempt sets it to 0, and so does a person who decides on the task.
    sa.Column("crashes", sa.Integer, nullable=False),
    # Who held it last and never came back, and whether that process is known to be gone. The freeing sets them, the
    # decision on what follows clears them.
    sa.Column("lost_by", sa.Text),
    sa.Column("lost_dead", sa.Boolean, nullable=False),
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
    one_of("kind", "leaving", "entering", "step", "undo", "wait", "gate", "timer", "event"),
    one_of("ending", "retry", "leave", "park"),
    sa.CheckConstraint("leased_by IS NULL OR attempt > 0", name="leased"),
    sa.CheckConstraint("lost_by IS NULL OR leased_by IS NULL OR attempt > 1", name="lost"),
    sa.CheckConstraint("parked_code IS NULL OR (due_at IS NULL AND leased_by IS NULL)", name="parked"),
    sa.Index("ix_saga_tasks_run_id", "run_id"),
    # Actions need a free slot of a worker and may pile up; timers need none and must not wait behind them.
    # By definition: what is due of one saga is found at once, though thousands of tasks of another have waited longer.
    sa.Index(
        "ix_saga_tasks_due", "queue", "definition", "due_at", sqlite_where=DUE_ACTION, postgresql_where=DUE_ACTION
    ),
    sa.Index(
        "ix_saga_tasks_timers", "queue", "definition", "due_at", sqlite_where=DUE_TIMER, postgresql_where=DUE_TIMER
    ),
    # Few fail, and ever more wait.
    sa.Index("ix_saga_tasks_failing", "run_id", sqlite_where=FAILING, postgresql_where=FAILING),
    sa.Index(
        "ix_saga_tasks_leased",
        "leased_by",
        sqlite_where=sa.text("leased_by IS NOT NULL"),
        postgresql_where=sa.text("leased_by IS NOT NULL"),
    ),
)
