"""The rows of one PostgreSQL table: read and written by COPY, summed up by ranges of its key."""
# ruff: noqa: S608  identifiers are quoted by SQLAlchemy, values are bound

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from saga_engine.actions.copy import copytext, hashes
from saga_engine.actions.copy.dialect import Sum
from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.plan import Bound, Carried
from saga_engine.actions.copy.postgres.forms import form_of, is_collated
from saga_engine.actions.copy.postgres.sql import copy, driver, qualified, quote

HASH = f"('x' || left(encode(sha256(convert_to({{row}}, 'UTF8')), 'hex'), {hashes.HEX_DIGITS}))::bit(60)::bigint"


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A column of the key: what it sorts by here, and how that becomes a bound and is read back."""

    column: Carried

    @property
    def sorts_by(self) -> str:
        """SQL of what both databases sort by: the value, or where they would not agree, its canonical text."""
        name = f"r.{quote(self.column.name)}"  # without the r, ORDER BY would take the text that SELECT makes of it
        if not form_of(self.column).native:
            return f'({canonical(self.column)}) COLLATE "C"'
        return f'{name} COLLATE "C"' if is_collated(self.column) else name

    @property
    def bound(self) -> str:
        """SQL that writes it as an item of a bound."""
        form = form_of(self.column)
        return f"({form.read.format(c=quote(self.column.name))})::text" if form.native else canonical(self.column)

    @property
    def value(self) -> str:
        """SQL that reads such an item."""
        return f"CAST(%s AS {self.column.type if form_of(self.column).native else 'text'})"


class PostgresRows:
    """See ``dialect.Rows``."""

    def __init__(self, table: TableName, columns: Sequence[Carried], key: Sequence[str]) -> None:
        by_name = {column.name: column for column in columns}
        self._table = qualified(table)
        self._columns = columns
        self._key = [KeyColumn(by_name[name]) for name in key]
        self._order = ", ".join(column.sorts_by for column in self._key)
        # replace() is refused under a collation that is not deterministic.
        fields = (hashes.field(f'({canonical(column)}) COLLATE "C"', plain=form_of(column).plain) for column in columns)
        self._hash = HASH.format(row=" || ',' || ".join(fields))

    @property
    def indexed(self) -> bool:
        """See ``dialect.Rows``."""
        return all(column.sorts_by == f"r.{quote(column.column.name)}" for column in self._key)

    def cut(self, db: Connection, lower: Bound | None, upper: Bound | None, count: int) -> Bound | None:
        """See ``dialect.Rows``."""
        where, values = self._range(lower, upper)
        bound = ", ".join(column.bound for column in self._key)
        sql = f"SELECT {bound} FROM {self._table} AS r{where} ORDER BY {self._order} LIMIT 2 OFFSET %s"
        found = db.exec_driver_sql(sql, (*values, count - 1)).all()
        return tuple(found[0]) if len(found) == 2 else None  # noqa: PLR2004  there is one more row

    def read(self, db: Connection, lower: Bound | None, upper: Bound | None) -> Iterator[bytes]:
        """See ``dialect.Rows``."""
        where, values = self._range(lower, upper)
        columns = ", ".join(form_of(column).read.format(c=quote(column.name)) for column in self._columns)
        query = f"SELECT {columns} FROM {self._table} AS r{where} ORDER BY {self._order}"
        with driver(db).cursor() as cursor, copy(cursor, f"COPY ({query}) TO STDOUT", values) as rows:
            yield from copytext.gathered(rows)

    def write(self, db: Connection, blocks: Iterable[bytes]) -> int:
        """See ``dialect.Rows``."""
        names = ", ".join(quote(column.name) for column in self._columns)
        with driver(db).cursor() as cursor:
            with copy(cursor, f"COPY {self._table} ({names}) FROM STDIN", ()) as rows:
                for block in blocks:
                    rows.write(block)
            return cursor.rowcount

    def checksum(self, db: Connection, lower: Bound | None, upper: Bound | None) -> Sum:
        """See ``dialect.Rows``."""
        where, values = self._range(lower, upper)
        sql = f"SELECT count(*), coalesce(sum({self._hash}), 0)::text FROM {self._table} AS r{where}"
        rows, total = db.exec_driver_sql(sql, values).one()
        return Sum(rows, int(total))

    def unkeyed(self, db: Connection) -> int:
        """See ``dialect.Rows``. The columns of a primary key are NOT NULL here, so there is nothing to read."""
        del db
        return 0

    def hashes(self, db: Connection, lower: Bound | None, upper: Bound | None) -> dict[Bound, int]:
        """See ``dialect.Rows``."""
        where, values = self._range(lower, upper)
        key = ", ".join(canonical(column.column) for column in self._key)
        sql = f"SELECT {self._hash}, {key} FROM {self._table} AS r{where} ORDER BY {self._order}"
        return {tuple(found_key): found for found, *found_key in db.exec_driver_sql(sql, values)}

    def _range(self, lower: Bound | None, upper: Bound | None) -> tuple[str, tuple[str, ...]]:
        bounds = ", ".join(column.value for column in self._key)
        conditions = [
            (f"ROW({self._order}) {sign} ROW({bounds})", bound)
            for sign, bound in ((">", lower), ("<=", upper))
            if bound
        ]
        where = " AND ".join(condition for condition, _ in conditions)
        values = tuple(item for _, bound in conditions for item in bound)
        return (f" WHERE {where}" if where else ""), values


def canonical(column: Carried) -> str:
    """SQL of the column's canonical text."""
    return form_of(column).canonical.format(c=quote(column.name))
