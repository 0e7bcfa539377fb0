"""What a database must be able to do to take part in a move. One package for each kind: ``sqlite``, ``postgres``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from saga_engine.actions.copy.catalog import Table
from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.plan import Bound, Carried, Fingerprint, Lane, Plan


class Sum(NamedTuple):
    """The checksum of a range: how many rows, and the sum of their hashes (``hashes.py``)."""

    rows: int
    total: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Rows that cannot be carried: how many, the key of one of them, and why, in words."""

    column: str
    rows: int
    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at all rows has found; *bytes* is about what their text needs."""

    rows: int
    bytes: int
    findings: tuple[Finding, ...]


class Rows(Protocol):
    """The rows of one table, in the order of its key and by ranges of it: *lower* < key <= *upper*, None is open."""

    @property
    @abstractmethod
    def indexed(self) -> bool:
        """True if the primary key's index serves this order; else each range is a scan of the whole table."""

    @abstractmethod
    def cut(self, db: Connection, lower: Bound | None, upper: Bound | None, count: int) -> Bound | None:
        """The key of the *count*-th row of the range; None where it has not more than that many."""

    @abstractmethod
    def read(self, db: Connection, lower: Bound | None, upper: Bound | None) -> Iterator[bytes]:
        """The rows as lines of PostgreSQL's COPY text format, in blocks of whole lines."""

    @abstractmethod
    def write(self, db: Connection, blocks: Iterable[bytes]) -> int:
        """Insert such lines; return how many rows the database says it took."""

    @abstractmethod
    def checksum(self, db: Connection, lower: Bound | None, upper: Bound | None) -> Sum:
        """The checksum, computed inside the database."""

    @abstractmethod
    def unkeyed(self, db: Connection) -> int:
        """How many rows lack a value in their key: for SQL they are neither below nor above a bound, so in no range."""

    @abstractmethod
    def hashes(self, db: Connection, lower: Bound | None, upper: Bound | None) -> dict[Bound, int]:
        """Each key, in canonical texts and in order, with the hash of its row."""


class Dialect(Protocol):
    """The differences between databases that a move has to know. Stateless; a module will do."""

    @abstractmethod
    def prepare(self, db: Connection) -> None:
        """Make the transaction speak the common text forms. Called at the beginning of each, before any fingerprint."""

    @abstractmethod
    def resolve(self, db: Connection, written: TableName) -> TableName:
        """Fill in the schema that the database would take."""

    @abstractmethod
    def describe(self, db: Connection, table: TableName) -> Table | None:
        """The table, or None where there is none; ``CannotMove`` where the name means something else, as a view."""

    @abstractmethod
    def tables(self, db: Connection, schema_name: str) -> list[str]:
        """The names of the tables in a schema, for whoever has mistyped one."""

    @abstractmethod
    def is_free(self, db: Connection, name: TableName) -> bool:
        """True if no table, view or index has this name."""

    @abstractmethod
    def missing_types(self, db: Connection, types: Sequence[str]) -> list[str]:
        """Those of *types* that the database does not know."""

    @abstractmethod
    def new_text_is_binary(self, db: Connection) -> bool:
        """True if text in a new table sorts by its bytes."""

    @abstractmethod
    def identity(self, db: Connection, table: TableName) -> str:
        """A text that is equal for two connections only if they mean the same table of the same database."""

    @abstractmethod
    def unfit(self, db: Connection) -> list[str]:
        """Why no table of this database can take part."""

    @abstractmethod
    def refusals(self, db: Connection, target: TableName) -> list[str]:
        """Why the table cannot be replaced, or made: whatever hangs on it and would not be carried over, by name.

        Asked in the preflight, and again at the cut-over.
        """

    @abstractmethod
    def look(self, db: Connection, table: Table, lanes: Sequence[Lane]) -> Looked:
        """Go through the rows: how many, and which have values that the target could not hold exactly."""

    @abstractmethod
    def classes(self, db: Connection, table: Table) -> dict[str, set[str]]:
        """Which kinds of values there are in those columns whose declared type says nothing of it."""

    @abstractmethod
    def unusable(self, names: Sequence[str]) -> list[str]:
        """Why a new table here could not have columns of these names."""

    @abstractmethod
    def rights_to_read(self, db: Connection, table: TableName) -> list[str]:
        """Name the rights that copying from the table would need and this user has not."""

    @abstractmethod
    def rights_to_replace(self, db: Connection, target: TableName, existing: Table | None) -> list[str]:
        """Name the rights that making the new table would need and this user has not; the ledger's are not meant."""

    @abstractmethod
    def rows(self, table: TableName, columns: Sequence[Carried], key: Sequence[str]) -> Rows:
        """The rows of *table*."""

    @abstractmethod
    def fingerprint(self, db: Connection, table: TableName) -> Fingerprint:
        """What a rollback must find again."""

    @abstractmethod
    def create_staging(self, db: Connection, plan: Plan) -> None:
        """Make the staging table, with its primary key: like the target if there is one, else as planned."""

    @abstractmethod
    def finish_staging(self, db: Connection, plan: Plan) -> None:
        """After the rows: indexes, constraints, sequences, rights."""

    @abstractmethod
    def drop_staging(self, db: Connection, plan: Plan) -> None:
        """Remove the staging table; nothing happens where it is gone."""

    @abstractmethod
    def freeze(self, db: Connection, plan: Plan) -> None:
        """See to it that nobody else changes the staging table before the transaction, one that writes, has ended."""

    @abstractmethod
    def to_prove(self, db: Connection, plan: Plan) -> list[str]:
        """Name the foreign keys that a swap will make without proving them, for that would keep others waiting."""

    @abstractmethod
    def swap(self, db: Connection, plan: Plan) -> list[str]:
        """Put the frozen staging table in the target's place, keep the old one; return the statements that did it.

        ``MoveError`` where a foreign key would not hold.
        """

    @abstractmethod
    def prove(self, db: Connection, plan: Plan, names: Sequence[str]) -> list[str]:
        """Prove them after the swap; return the statements. ``MoveError`` for one that does not hold."""
