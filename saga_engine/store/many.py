"""Statements for many rows, compiled once: SQLAlchemy on its own looks at every value of every row anew.

SQLite executes each for one row after the other. PostgreSQL gets all rows of several statements as JSON and executes
them as one: a round trip for each would take longer than the work, and so would each row by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from msgspec.json import Encoder
from sqlalchemy.dialects import postgresql, sqlite

Given: TypeAlias = Callable[[str], sa.ColumnElement[Any]]
"""A value of the row, by its name, as a statement sees it."""
Statement: TypeAlias = sa.Insert | sa.Update | sa.Delete
Stamp: TypeAlias = Callable[[datetime], Any]
"""A time as a row takes it."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The statement as sqlite3 takes it."""

    sql: str
    placed: Callable[[Sequence[Any]], tuple[Any, ...]] | None
    """Puts the values of a row in the order of their places; None where they are in it."""


class Many:
    """A statement, and the *types* of the values of its rows, in their order: a row is a tuple of them.

    *made* gives the statement with the values at their places; a table stands for new rows of it.
    """

    def __init__(
        self, types: Mapping[str, sa.types.TypeEngine[Any]], made: sa.Table | Callable[[Given], Statement]
    ) -> None:
        self.names: Final = tuple(types)
        self._types, self._made = types, made
        self._compiled: Compiled | None = None

    def one_by_one(self, db: sa.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Execute it on SQLite for each of *rows*, which are at least one."""
        made = self._compiled = self._compiled or self._compile()
        placed = made.placed
        db.exec_driver_sql(made.sql, list(rows) if placed is None else [placed(row) for row in rows])

    def at_once(self, name: str) -> Statement:
        """The statement for PostgreSQL: its rows are the JSON array that is bound as *name*."""
        rows = sa.func.json_to_recordset(sa.cast(sa.bindparam(name, type_=sa.Text), postgresql.JSON))
        kept = {key: sa.Text() if _is_bytes(kind) else kind for key, kind in self._types.items()}
        new = rows.table_valued(*(sa.column(key, kind) for key, kind in kept.items()))
        new = new.render_derived(name=f"new_{name}", with_types=True)

        def given(key: str) -> sa.ColumnElement[Any]:
            return sa.func.decode(new.c[key], _BASE64) if _is_bytes(self._types[key]) else new.c[key]

        if isinstance(self._made, sa.Table):
            return sa.insert(self._made).from_select([*self.names], sa.select(*map(given, self.names)))
        return self._made(given)

    def _compile(self) -> Compiled:
        def given(key: str) -> sa.ColumnElement[Any]:
            return sa.bindparam(key, type_=self._types[key])

        if isinstance(self._made, sa.Table):
            made: Statement = sa.insert(self._made).values({key: given(key) for key in self.names})
        else:
            made = self._made(given)
        compiled: Any = made.compile(dialect=sqlite.dialect(paramstyle="qmark"))
        at = {name: place for place, name in enumerate(self.names)}
        places = [at[name] for name in compiled.positiontup]
        in_order = places == list(range(len(self.names)))
        # With one place only, an itemgetter gives the value itself; a single value is in order.
        return Compiled(str(compiled), None if in_order else itemgetter(*places))


class Writes:
    """Statements by name, in the order in which they are executed.

    The first of them, which are called *together*, are one on PostgreSQL, where none sees what another has done: no two
    of them touch the same row.
    """

    def __init__(self, each: Mapping[str, Many], together: Sequence[str]) -> None:
        self._each = each
        self._together = tuple(together)
        self._composed: dict[tuple[str, ...], tuple[str, tuple[str, ...]]] = {}

    def execute(self, db: sa.Connection, rows: Mapping[str, Sequence[Sequence[Any]]]) -> Iterator[str]:
        """Write *rows*, by the names of their statements; name, after each round trip, the first that it was for.

        Their times are those of ``stamp_of``.
        """
        names = [name for name in self._each if rows.get(name)]
        if db.dialect.name == "sqlite":
            for name in names:
                self._each[name].one_by_one(db, rows[name])
                yield name
            return
        for group in self._groups(names):
            sql, places = self._composed.get(group) or self._compose(group)
            db.exec_driver_sql(sql, tuple(self._as_json(name, rows[name]) for name in places))
            yield group[0]

    def _groups(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        one = tuple(name for name in names if name in self._together)
        return [*([one] if one else []), *((name,) for name in names if name not in self._together)]

    def _as_json(self, name: str, rows: Sequence[Sequence[Any]]) -> str:
        keys = self._each[name].names
        return _ENCODER.encode([dict(zip(keys, row, strict=True)) for row in rows]).decode()

    def _compose(self, group: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        parts = [self._each[name].at_once(name).cte(f"do_{name}") for name in group]
        compiled: Any = sa.select(sa.literal_column("1")).add_cte(*parts).compile(dialect=_POSTGRES)
        self._composed[group] = str(compiled), tuple(compiled.positiontup)
        return self._composed[group]


def _is_bytes(kind: sa.types.TypeEngine[Any]) -> bool:
    return isinstance(kind, sa.LargeBinary)


def any_of(column: sa.ColumnElement[str], name: str, dialect: str) -> sa.ColumnElement[bool]:
    """The column is one of the texts that are bound as *name*: the same statement for any number of them.

    A PostgreSQL session plans a statement that it has seen before only once.
    """
    if dialect == "postgresql":
        return column == sa.any_(sa.bindparam(name, type_=postgresql.ARRAY(sa.Text)))
    return column.in_(sa.bindparam(name, expanding=True))


def stamp_of(dialect: str) -> Stamp:
    """How rows for *dialect* hold times: sqlite3 knows none with a zone."""
    return _text if dialect == "sqlite" else _same


@lru_cache(maxsize=1_000)
def _text(moment: datetime) -> str:
    """A time as ``Moment`` keeps it in SQLite."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


_same: Final[Stamp] = lambda moment: moment  # noqa: E731  a name for what does nothing
_ENCODER: Final = Encoder()
_BASE64: Final[sa.ColumnElement[str]] = sa.literal_column("'base64'")
_POSTGRES: Final = postgresql.psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]  # SQLAlchemy's own
