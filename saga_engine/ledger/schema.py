"""The ledger's three tables, and how they come into a target database: by PREFLIGHT or a person, never in mid-run."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Dialect,
    Engine,
    ForeignKeyConstraint,
    Identity,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    select,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from saga_engine import failpoints
from saga_engine.errors import LedgerChanged
from saga_engine.ledger import connect, transaction
from saga_engine.ledger.database import SCHEMA

FORMAT: Final = 1
"""Raised when these tables change; a program refuses a ledger of another format."""
PART_CHARS_MAX: Final = 500
"""A part's name is in an index."""


class clock(FunctionElement[Any]):  # noqa: N801  reads as the SQL function that it is
    """The database's own time, not the time its transaction began."""

    inherit_cache = True


@compiles(clock, "postgresql")
def _postgresql_clock(_element: clock, _compiler: SQLCompiler, **_: object) -> str:
    return "clock_timestamp()"


@compiles(clock, "mysql")
@compiles(clock, "mariadb")
def _mariadb_clock(_element: clock, _compiler: SQLCompiler, **_: object) -> str:
    return "UTC_TIMESTAMP(6)"


@compiles(clock, "sqlite")
def _sqlite_clock(_element: clock, _compiler: SQLCompiler, **_: object) -> str:
    return "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


MARIADB: Final = ("mariadb", "mysql")
"""Both names of the dialect."""
# nopad_bin: names differ where their bytes do, in letter case and in a trailing space too, and so do their keys.
STORED: Final[dict[str, Any]] = {
    f"{name}_{option}": value
    for name in MARIADB
    for option, value in (
        ("engine", "InnoDB"),
        ("charset", "utf8mb4"),
        ("collate", "utf8mb4_nopad_bin"),
        ("row_format", "DYNAMIC"),
    )
}
"""How MariaDB keeps a table, whatever the database's own defaults are."""
STORE_CHARS_MAX: Final = 64
TASK_CHARS_MAX: Final = 128
"""On MariaDB only, where an index holds 3,072 bytes: four for each character of a part's whole name."""
WORD_CHARS_MAX: Final = 16

Time: Final = DateTime(timezone=True).with_variant(Text(), "sqlite").with_variant(mysql.DATETIME(fsp=6), *MARIADB)
Position: Final = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers only an INTEGER PRIMARY KEY
Json: Final = Text().with_variant(mysql.LONGTEXT(), *MARIADB)

# Always with a schema (SQLite: main), so that neither a search_path nor a temporary table of the user's work can
# put another table in front of these.
metadata: Final = MetaData(schema=SCHEMA)


def _length_counts_characters(*_: object, dialect: Dialect, **_options: object) -> bool:
    return dialect.name not in MARIADB


def _text(name: str, chars_max: int, *, primary_key: bool = False, comment: str) -> Column[str]:
    """Text of any length; on MariaDB, which puts a bound on what is in an index, at most *chars_max* characters."""
    kind = Text().with_variant(String(chars_max), *MARIADB)
    return Column(name, kind, nullable=False, primary_key=primary_key, comment=comment)


ledger: Final = Table(
    "saga_ledger",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, comment="Always 1: there is one ledger."),
    _text(
        "uuid",
        STORE_CHARS_MAX,
        comment="Which ledger this is. Runs keep it; set when the ledger is made, never changed.",
    ),
    Column("format", Integer, nullable=False, comment="Format of these tables; changed by `saga db ledger` only."),
    Column("created_at", Time, nullable=False, comment="When the ledger was made."),
    CheckConstraint("id = 1", name="saga_ledger_is_one_row"),
    comment="saga_engine: identity of the ledger in this database. Do not edit or drop while runs are live.",
    **STORED,
)

heads: Final = Table(
    "saga_ledger_heads",
    metadata,
    _text("store", STORE_CHARS_MAX, primary_key=True, comment="UUID of the engine's store that the task belongs to."),
    _text(
        "task",
        TASK_CHARS_MAX,
        primary_key=True,
        comment="The step's task, its idempotency key: the same for every attempt.",
    ),
    Column(
        "token",
        Integer,
        nullable=False,
        comment="Newest attempt that wrote here, 0 if none did. Raised by an attempt's first effect; "
        "an older attempt is refused from then on.",
    ),
    Column(
        "undo_token",
        Integer,
        nullable=False,
        comment="Newest attempt of the undo, 0 before it. Raised as an attempt of the undo begins; "
        "an older attempt of it is refused from then on.",
    ),
    _text(
        "status",
        WORD_CHARS_MAX,
        comment="open: attempts may write parts. undoing: none may any more; set as the undo begins, "
        "also where the step never wrote (a tombstone). undone: set when no part is applied any more.",
    ),
    Column("step", Text, comment="State and visit of the step, for people; set with the row."),
    Column("opened_at", Time, comment="First effect of the first attempt; empty if the step never wrote."),
    Column("undoing_at", Time, comment="When the undo began for the first time."),
    Column("undone_at", Time, comment="When everything was undone and verified."),
    CheckConstraint("status IN ('open', 'undoing', 'undone')", name="saga_ledger_heads_status"),
    CheckConstraint("token >= 0 AND (token = 0) = (opened_at IS NULL)", name="saga_ledger_heads_opened"),
    CheckConstraint(
        "undo_token >= 0 AND (undo_token = 0) = (status = 'open') AND (undo_token = 0) = (undoing_at IS NULL)",
        name="saga_ledger_heads_undoing",
    ),
    CheckConstraint("(status = 'undone') = (undone_at IS NOT NULL)", name="saga_ledger_heads_undone"),
    comment="saga_engine: one row per step of a run that wrote here or was undone here; it fences late writers.",
    **STORED,
)

parts: Final = Table(
    "saga_ledger_parts",
    metadata,
    Column(
        "position",
        Position,
        Identity(always=True),
        primary_key=True,
        comment="Order in which parts were started, given by the database; an undo goes back in it.",
    ),
    _text("store", STORE_CHARS_MAX, comment="As in saga_ledger_heads."),
    _text("task", TASK_CHARS_MAX, comment="As in saga_ledger_heads."),
    _text("part", PART_CHARS_MAX, comment="Name of the chunk of the step; empty for a step that is one transaction."),
    Column("token", Integer, nullable=False, comment="Attempt that applied the part; set with the row."),
    _text(
        "status",
        WORD_CHARS_MAX,
        comment="intended: inserted before the work, and in doubt where anybody else can see it (the work "
        "committed by itself). applied: set after the work, in its transaction. undone: set by the undo, in its.",
    ),
    Column("result", Json, comment="What the work returned, as JSON; set with applied, kept when undone."),
    Column("intended_at", Time, nullable=False, comment="When the work began."),
    Column("applied_at", Time, comment="When the work had ended."),
    Column("undone_at", Time, comment="When its undo had ended."),
    UniqueConstraint("store", "task", "part", name="saga_ledger_parts_once"),
    ForeignKeyConstraint(
        ["store", "task"], [heads.c.store, heads.c.task], name="saga_ledger_parts_head"
    ),  # no part without a head that an undo would find
    CheckConstraint("status IN ('intended', 'applied', 'undone')", name="saga_ledger_parts_status"),
    CheckConstraint("(result IS NULL) = (applied_at IS NULL)", name="saga_ledger_parts_result"),
    CheckConstraint("status <> 'applied' OR applied_at IS NOT NULL", name="saga_ledger_parts_applied"),
    CheckConstraint("status <> 'intended' OR applied_at IS NULL", name="saga_ledger_parts_intended"),
    CheckConstraint("(status = 'undone') = (undone_at IS NOT NULL)", name="saga_ledger_parts_undone"),
    # On MariaDB the column itself is no longer, and length() counts bytes.
    CheckConstraint(f"length(part) <= {PART_CHARS_MAX}", name="saga_ledger_parts_name").ddl_if(
        callable_=_length_counts_characters
    ),
    comment="saga_engine: what the steps have done in this database, one row per transaction; part of it.",
    **STORED,
)


def create(engine: Engine) -> str:
    """Make the ledger where there is none; return its uuid. Several may do so at once: they get the same one."""
    found = identity(engine)
    if found is not None:
        return found
    try:
        transaction.run(engine, "ledger", "ledger.create", _create)
    except DBAPIError:
        # Somebody else may have made it meanwhile. PostgreSQL says so in several ways; the ledger says it in one.
        found = identity(engine)
        if found is None:
            raise
        return found
    return str(identity(engine))


def identity(engine: Engine) -> str | None:
    """Return the uuid of the ledger, None where there is none; half a ledger or a strange one is ``LedgerChanged``."""
    database = connect.database_of(engine)
    with engine.connect() as db:

        def there(table: Table) -> bool:
            return inspect(db).has_table(table.name, database.schema(engine.url))

        # In this order: whoever makes a ledger meanwhile, or has died over it, writes its uuid last, and rows of steps
        # come only after that.
        used = database.ddl_is_transactional or (there(heads) and db.execute(select(heads.c.task).limit(1)).first())
        row = db.execute(select(ledger.c.uuid, ledger.c.format)).one_or_none() if there(ledger) else None
        if row is None and not used:
            return None
        left = [table.name for table in metadata.sorted_tables if there(table)]
    if not left:
        return None
    if len(left) < len(metadata.tables):
        raise LedgerChanged(connection=connect.name_of(engine), difference=f"only {', '.join(left)} is left of it")
    if row is None or row.format != FORMAT:
        difference = "it has no uuid" if row is None else f"its format is {row.format}, this program knows {FORMAT}"
        raise LedgerChanged(connection=connect.name_of(engine), difference=difference)
    return str(row.uuid)


def not_durable(engine: Engine) -> dict[str, str]:
    """The settings with which the server can lose an effect that it has acknowledged, and their values."""
    with engine.connect() as db:
        return connect.database_of(engine).not_durable(db)


def privileges(engine: Engine) -> list[str]:
    """Name the rights that are missing to make the ledger or to write it; nothing is tried, nothing is changed."""
    with engine.connect() as db:
        return connect.database_of(engine).missing_rights(db, [table.name for table in metadata.sorted_tables])


def _create(db: Connection) -> None:
    connect.database_of(db.engine).make_tables(db, metadata)
    failpoints.hit("ledger.create.tables")
    db.execute(ledger.insert().values(id=1, uuid=str(uuid4()), format=FORMAT, created_at=clock()))
