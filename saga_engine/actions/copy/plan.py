"""What a move is asked to do, what its steps agree on, and what they report: the models that are stored.

A saga's digest is made of the results of its steps, their words too: whoever changes one of these strands the runs
that are under way. What only one step needs to know has a model of its own there (as ``swap.Swapped``).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from saga_engine.actions.copy.names import TableName
from saga_engine.domain.definition.values import Connection, Frozen

Form: TypeAlias = Literal[
    "same", "stored", "integer", "decimal", "float", "text", "bytes", "boolean", "date", "time", "timestamp",
    "timestamptz", "uuid",
]  # fmt: skip
"""How a value is written as text, in chunk files, in bounds and for checksums.

same        PostgreSQL's own output, where both ends are PostgreSQL and the types are the same
stored      SQLite's value with its storage class, where both ends are SQLite
the others  PostgreSQL's output for a value of that kind: it is what the two databases have in common
"""

Bound: TypeAlias = tuple[str, ...]
"""A key as text, one item for each key column."""


class Move(Frozen):
    """What to move. Sagas extend it with what else they ask for.

    *table* and *target_table* are written ``orders`` or ``sales.orders``, in the case of the catalogue.
    *exports* is a folder for chunk files that every worker sees; empty, they go to the run's own folder, and the run
    stays on the host that wrote them where hosts do not share it. *keys_named* is how many differing keys a report
    names at most.
    """

    source: Connection
    target: Connection
    table: str
    target_table: str = ""
    chunk_rows: int = Field(default=20_000, ge=1, le=1_000_000)
    exports: str = ""
    keys_named: int = Field(default=20, ge=1, le=1_000)


class Carried(Frozen):
    """A column as one of the two databases has it. *binary*: see ``catalog.Column``."""

    name: str
    type: str
    form: Form
    binary: bool


class Lane(Frozen):
    """How one column travels. *nullable* and *strict* are the target's."""

    source: Carried
    target: Carried
    nullable: bool = True
    strict: bool = False


class NewIndex(Frozen):
    """An index that a new target table gets after its rows: over *columns*, or as *definition* says in SQL."""

    name: str
    unique: bool
    columns: tuple[str, ...] = ()
    definition: str = ""


class Fingerprint(Frozen):
    """What must be the same again after a rollback.

    *table* is which table it is (another one under its name is another), *identity* its storage, *shape* a hash of its
    schema. *table* is empty where the database can move a table about by itself.
    """

    exists: bool
    table: str = ""
    identity: str = ""
    shape: str = ""


class Plan(Frozen):
    """What PREFLIGHT has found out and all later steps rely on.

    *before* is the fingerprint of *target* as it was. *like* is the statement of the source's table where the new
    table is made by the same words (SQLite to SQLite). *notes* say what is not carried over and what will be slow.
    *bytes* and *rows* are of the source when it was looked at. *exports* is absolute: workers may be started anywhere.
    """

    source_dialect: str
    target_dialect: str
    table: TableName
    target: TableName
    staging: TableName
    kept: TableName
    token: str
    lanes: tuple[Lane, ...]
    key: tuple[str, ...]
    before: Fingerprint
    like: str
    indexes: tuple[NewIndex, ...]
    rows: int
    bytes: int
    chunk_rows: int
    exports: str
    notes: tuple[str, ...]


class Chunk(Frozen):
    """One file of an export: the rows with *lower* < key <= *upper*; None is the open end."""

    number: int
    file: str
    lower: Bound | None
    upper: Bound | None
    rows: int
    bytes: int
    sha256: str


class Manifest(Frozen):
    """All files of an export, written when the last of them is there. *columns* are the fields of each line."""

    table: str
    columns: tuple[str, ...]
    chunks: tuple[Chunk, ...]


class Part(Frozen):
    """What the ledger keeps of one loaded chunk."""

    number: int
    lower: Bound | None
    upper: Bound | None
    rows: int
    sha256: str


class Exported(Frozen):
    """Where the chunks are. *reused* of them were taken over from earlier attempts."""

    folder: str
    manifest_sha256: str
    chunks: int
    rows: int
    bytes: int
    reused: int


class Loaded(Frozen):
    """What the staging table has."""

    chunks: int
    rows: int


class Staged(Frozen):
    """The staging table as it was validated: its rows, the sum of their hashes in decimal, a hash of its schema."""

    rows: int
    checksum: str
    shape: str


Kind: TypeAlias = Literal["missing", "extra", "changed"]
"""What is wrong with a row, seen from the target."""


class Difference(Frozen):
    """A key for which the two tables do not agree."""

    key: tuple[str, ...]
    kind: Kind


class Report(Frozen):
    """What the comparison found: the two tables are equal where missing, extra and changed are all 0.

    *differences* names some of the keys, *notes* repeat what the plan warned of: it is what approvers read.
    *validated* is what they approve, and what the cut-over holds the staging table against.
    """

    source_rows: int
    target_rows: int
    chunks: int
    chunks_equal: int
    missing: int
    extra: int
    changed: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    validated: Staged


class CutOver(Frozen):
    """What the swap did. *kept* is the old table's new name; empty where there was none."""

    table: str
    kept: str
    rows: int
    statements: tuple[str, ...]
