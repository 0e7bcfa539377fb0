"""The ledger's three tables, and how they come into a target database: by PREFLIGHT or a person, never in mid-run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Engine,
    ForeignKeyConstraint,
    Identity,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    select,
)
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


@compiles(clock, "sqlite")
def _sqlite_clock(_element: clock, _compiler: SQLCompiler, **_: object) -> str:
    return "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


Time: Final = DateTime(timezone=True).with_variant(Text(), "sqlite")
Position: Final = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers only an INTEGER PRIMARY KEY

# Always with a schema (SQLite: main), so that neither a search_path nor a temporary table of the user's work can
# put another table in front of these.
metadata: Final = MetaData(schema=SCHEMA)
_text: Final[Callable[..., Column[str]]] = partial(Column, type_=Text(), nullable=False)

ledger: Final = Table(
    "saga_ledger",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, comment="Always 1: there is one ledger."),
    _text("uuid", comment="Which ledger this is. Runs keep it; set when the ledger is made, never changed."),
    Column("format", Integer, nullable=False, comment="Format of these tables; changed by `saga db ledger` only."),
    Column("created_at", Time, nullable=False, comment="When the ledger was made."),
    CheckConstraint("id = 1", name="saga_ledger_is_one_row"),
    comment="saga_engine: identity of the ledger in this database. Do not edit or drop while runs are live.",
)

heads: Final = Table(
    "saga_ledger_heads",
    metadata,
    _text("store", primary_key=True, comment="UUID of the engine's store that the task belongs to."),
    _text("task", primary_key=True, comment="The step's task, its idempotency key: the same for every attempt."),
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
        comment="open: attempts may write parts. undoing: none may any more; set as the undo begins, "
        "also where the step never wrote (a tombstone). undone: set when no part is applied any more.",
    ),
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
    _text("store", comment="As in saga_ledger_heads."),
    _text("task", comment="As in saga_ledger_heads."),
    _text("part", comment="Name of the chunk of the step; empty for a step that is one transaction."),
    Column("token", Integer, nullable=False, comment="Attempt that applied the part; set with the row."),
    _text(
        "status",
        comment="intended: inserted before the work, and in doubt where anybody else can see it (the work "
        "committed by itself). applied: set after the work, in its transaction. undone: set by the undo, in its.",
    ),
    Column("result", Text, comment="What the work returned, as JSON; set with applied, kept when undone."),
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
    CheckConstraint(f"length(part) <= {PART_CHARS_MAX}", name="saga_ledger_parts_name"),
    comment="saga_engine: what the steps have done in this database, one row per transaction; part of it.",
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
    with engine.connect() as db:
        schema = connect.database_of(engine).schema
        there = [table.name for table in metadata.sorted_tables if inspect(db).has_table(table.name, schema)]
        if not there:
            return None
        if len(there) < len(metadata.tables):
            raise LedgerChanged(connection=connect.name_of(engine), difference=f"only {', '.join(there)} is left of it")
        row = db.execute(select(ledger.c.uuid, ledger.c.format)).one_or_none()
    if row is None or row.format != FORMAT:
        difference = "it has no uuid" if row is None else f"its format is {row.format}, this program knows {FORMAT}"
        raise LedgerChanged(connection=connect.name_of(engine), difference=difference)
    return str(row.uuid)


def privileges(engine: Engine) -> list[str]:
    """Name the rights that are missing to make the ledger or to write it; nothing is tried, nothing is changed."""
    with engine.connect() as db:
        return connect.database_of(engine).missing_rights(db, [table.name for table in metadata.sorted_tables])


def _create(db: Connection) -> None:
    connect.database_of(db.engine).make_schema(db)
    metadata.create_all(db, checkfirst=False)
    failpoints.hit("ledger.create.tables")
    db.execute(ledger.insert().values(id=1, uuid=str(uuid4()), format=FORMAT, created_at=clock()))
