"""The rows of one SQLite table: read, written and summed up by ranges of its key."""
# ruff: noqa: S608  identifiers are quoted by SQLAlchemy, values are bound

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from saga_engine.actions.copy import copytext, hashes
from saga_engine.actions.copy.dialect import Sum
from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.plan import Bound, Carried
from saga_engine.actions.copy.sqlite.forms import FORMS, SqliteForm
from saga_engine.actions.copy.sqlite.functions import driver
from saga_engine.actions.copy.sqlite.sql import joined, qualified, quote
from saga_engine.errors import MoveError

FETCH_ROWS: Final = 2_000
"""Rows are turned into text in batches of this size: large enough to be fast, small enough to be little memory."""

# INTEGER PRIMARY KEY alone is the rowid, and has no index of its own (INTEGER PRIMARY KEY DESC has one, and is not).
_MAY_BE_NULL: Final = """
SELECT name FROM pragma_table_xinfo(?, 'main') AS c
 WHERE NOT "notnull" AND NOT (pk > 0 AND upper(type) = 'INTEGER'
   AND NOT EXISTS (SELECT 1 FROM pragma_index_list(?, 'main') WHERE origin = 'pk'))"""


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A column of the key: what it sorts by here, and how that becomes a bound and is read back."""

    column: Carried

    @property
    def form(self) -> SqliteForm:
        """How the column's values are written."""
        return FORMS[self.column.form]

    @property
    def sorts_by(self) -> str:
        """SQL of what both databases sort by: the value, or where they would not agree, its canonical text."""
        value = quote(self.column.name) if self.form.native else _canonical(self.column)
        return value if self.column.binary and self.form.native else f"{value} COLLATE BINARY"

    def bound(self, value: Any) -> str:  # noqa: ANN401  whatever SQLite has stored
        """Write the value of *sorts_by* as an item of a bound."""
        return self.form.encode(value) if self.form.native else str(value)

    def value(self, bound: str) -> object:
        """Read it back."""
        return self.form.decode(bound) if self.form.native else bound


class SqliteRows:
    """See ``dialect.Rows``."""

    def __init__(self, table: TableName, columns: Sequence[Carried], key: Sequence[str]) -> None:
        by_name = {column.name: column for column in columns}
        self._name, self._table = table, qualified(table)
        self._columns = columns
        self._key = [KeyColumn(by_name[name]) for name in key]
        self._order = ", ".join(column.sorts_by for column in self._key)
        fields = [hashes.field(_canonical(column), plain=FORMS[column.form].plain) for column in columns]
        self._row = joined(fields, " || ',' || ")

    @property
    def indexed(self) -> bool:
        """See ``dialect.Rows``."""
        return all(column.sorts_by == quote(column.column.name) for column in self._key)

    def cut(self, db: Connection, lower: Bound | None, upper: Bound | None, count: int) -> Bound | None:
        """See ``dialect.Rows``."""
        where, values = self._range(lower, upper)
        sql = f"SELECT {self._order} FROM {self._table}{where} ORDER BY {self._order} LIMIT 2 OFFSET ?"
        found = db.exec_driver_sql(sql, (*values, count - 1)).all()
        if len(found) < 2:  # noqa: PLR2004  one more row
            return None
        lacking = [column.column.name for column, value in zip(self._key, found[0], strict=True) if value is None]
        if lacking:
            raise MoveError(f"a row of {self._name} has no value in {', '.join(lacking)}, a column of its key")
        return tuple(map(KeyColumn.bound, self._key, found[0]))

    def read(self, db: Connection, lower: Bound | None, upper: Bound | None) -> Iterator[bytes]:
        """See ``dialect.Rows``."""
        where, values = self._range(lower, upper)
        columns = ", ".join(quote(column.name) for column in self._columns)
        cursor = driver(db).execute(f"SELECT {columns} FROM {self._table}{where} ORDER BY {self._order}", values)
        while rows := cursor.fetchmany(FETCH_ROWS):
            yield copytext.lines(
                _fields(FORMS[column.form], values)
                for column, values in zip(self._columns, zip(*rows, strict=True), strict=True)
            )

    def write(self, db: Connection, blocks: Iterable[bytes]) -> int:
        """See ``dialect.Rows``."""
        names = ", ".join(quote(column.name) for column in self._columns)
        marks = ", ".join("?" for _ in self._columns)
        cursor = driver(db).cursor()
        written = 0
        for block in blocks:
            columns = copytext.columns(block)
            values = [
                _values(FORMS[column.form], fields) for column, fields in zip(self._columns, columns, strict=True)
            ]
            cursor.executemany(f"INSERT INTO {self._table} ({names}) VALUES ({marks})", zip(*values, strict=True))
            written += cursor.rowcount
        return written

    def checksum(self, db: Connection, lower: Bound | None, upper: Bound | None) -> Sum:
        """See ``dialect.Rows``."""
        where, values = self._range(lower, upper)
        sql = f"SELECT count(*), saga_checksum({self._row}) FROM {self._table}{where}"
        rows, total = db.exec_driver_sql(sql, values).one()
        return Sum(rows, int(total or 0))

    def unkeyed(self, db: Connection) -> int:
        """See ``dialect.Rows``. The table is read only where a column of its key may lack a value."""
        names = [quote(name) for name in self._nullable_keys(db)]
        if not names:
            return 0
        missing = " OR ".join(f"{name} IS NULL" for name in names)
        return int(db.exec_driver_sql(f"SELECT count(*) FROM {self._table} WHERE {missing}").scalar_one())

    def _nullable_keys(self, db: Connection) -> list[str]:
        """The columns of the key that may be NULL: SQLite lets a PRIMARY KEY be, but for a rowid, unless it is told."""
        found = db.exec_driver_sql(_MAY_BE_NULL, (self._name.name, self._name.name)).scalars()
        key = {column.column.name for column in self._key}
        return [name for name in found if name in key]

    def hashes(self, db: Connection, lower: Bound | None, upper: Bound | None) -> dict[Bound, int]:
        """See ``dialect.Rows``."""
        where, values = self._range(lower, upper)
        key = ", ".join(_canonical(column.column) for column in self._key)
        sql = f"SELECT saga_hash({self._row}), {key} FROM {self._table}{where} ORDER BY {self._order}"
        return {tuple(canonical): found for found, *canonical in db.exec_driver_sql(sql, values)}

    def _range(self, lower: Bound | None, upper: Bound | None) -> tuple[str, tuple[object, ...]]:
        marks = ", ".join("?" for _ in self._key)
        conditions = [
            (f"({self._order}) {sign} ({marks})", bound) for sign, bound in ((">", lower), ("<=", upper)) if bound
        ]
        where = " AND ".join(condition for condition, _ in conditions)
        values = [column.value(item) for _, bound in conditions for column, item in zip(self._key, bound, strict=True)]
        return (f" WHERE {where}" if where else ""), tuple(values)


def _canonical(column: Carried) -> str:
    return FORMS[column.form].canonical.format(c=quote(column.name))


def _fields(form: SqliteForm, values: Sequence[Any]) -> list[str]:
    encode = form.encode
    if form.plain:
        return [copytext.NULL if value is None else encode(value) for value in values]
    return [copytext.NULL if value is None else copytext.escape(encode(value)) for value in values]


def _values(form: SqliteForm, fields: Sequence[str]) -> list[object]:
    decode = form.decode
    if form.plain:
        return [None if field == copytext.NULL else decode(field) for field in fields]
    return [None if field == copytext.NULL else decode(copytext.unescape(field)) for field in fields]
