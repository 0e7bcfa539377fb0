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

from saga_engine.store.compiled import DIALECTS, drive

Given: TypeAlias = Callable[[str], sa.ColumnElement[Any]]
"""A value of the row, by its name, as a statement sees it."""
Statement: TypeAlias = sa.Insert | sa.Update | sa.Delete
Stamp: TypeAlias = Callable[[datetime], Any]
"""A time as a row takes it."""


@dataclass(frozen=True, slots=True)
class ByRow:
    """The statement as sqlite3 takes it."""

    sql: str
    placed: Callable[[Sequence[Any]], tuple[Any, ...]] | None
    """Puts the values of a row in the order of their places; None where they are in it."""


class Many:
    """A statement, and the *types* of the values of its rows, in their order: a row is a tuple of them.

    *made* gives the statement with the values at their places; a table stands for new rows of it, or another value of
    the column that it *renews*, which may not be null, where the row is there already and differs in nothing else.
    """

    def __init__(
        self,
        types: Mapping[str, sa.types.TypeEngine[Any]],
        made: sa.Table | Callable[[Given], Statement],
        renews: str = "",
    ) -> None:
        self.names: Final = tuple(types)
        self._types, self._made, self._renews = types, made, renews
        self._compiled: ByRow | None = None

    @property
    def table(self) -> str:
        """Of which table its rows are."""
        made = self._made
        table: Any = made if isinstance(made, sa.Table) else made(lambda _: sa.null()).table
        return str(table.name)

    def one_by_one(self, db: sa.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Execute it on SQLite for each of *rows*, which are at least one."""
        made = self._compiled = self._compiled or self._compile()
        placed = made.placed
        drive(db, made.sql, rows if placed is None else [placed(row) for row in rows], many=True)

    def at_once(self, name: str, when: sa.ColumnElement[bool] | None = None) -> Statement:
        """The statement for PostgreSQL: its rows are the JSON array that is bound as *name*; none unless *when*."""
        rows = sa.func.json_to_recordset(sa.cast(sa.bindparam(name, type_=sa.Text), postgresql.JSON))
        kept = {key: sa.Text() if _is_bytes(kind) else kind for key, kind in self._types.items()}
        new = rows.table_valued(*(sa.column(key, kind) for key, kind in kept.items()))
        new = new.render_derived(name=f"new_{name}", with_types=True)

        def given(key: str) -> sa.ColumnElement[Any]:
            return sa.func.decode(new.c[key], _BASE64) if _is_bytes(self._types[key]) else new.c[key]

        if isinstance(self._made, sa.Table):
            rows_given = sa.select(*map(given, self.names))
            rows_given = rows_given if when is None else rows_given.where(when)
            return self._renewing(postgresql.insert(self._made).from_select([*self.names], rows_given))
        changed = self._made(given)
        return changed if when is None or isinstance(changed, sa.Insert) else changed.where(when)

    def _renewing(self, new: postgresql.Insert | sqlite.Insert) -> Statement:
        if not self._renews:
            return new
        key = list(new.table.primary_key)
        others = [name for name in self.names if name != self._renews and new.table.c[name] not in key]
        same = sa.and_(*(new.table.c[name] == new.excluded[name] for name in others))
        # Another row with the same key would be a bug of ours: null is refused, and nothing is written over it.
        renewed = sa.case((same, new.excluded[self._renews]))
        return new.on_conflict_do_update(index_elements=key, set_={self._renews: renewed})

    def _compile(self) -> ByRow:
        def given(key: str) -> sa.ColumnElement[Any]:
            return sa.bindparam(key, type_=self._types[key])

        if isinstance(self._made, sa.Table):
            new_row = sqlite.insert(self._made).values({key: given(key) for key in self.names})
            made: Statement = self._renewing(new_row)
        else:
            made = self._made(given)
        compiled: Any = made.compile(dialect=DIALECTS["sqlite"])
        at = {name: place for place, name in enumerate(self.names)}
        places = [at[name] for name in compiled.positiontup]
        in_order = places == list(range(len(self.names)))
        # With one place only, an itemgetter gives the value itself; a single value is in order.
        return ByRow(str(compiled), None if in_order else itemgetter(*places))


class Writes:
    """Statements by name, in the order in which they are executed.

    Those that are called *together* are one on PostgreSQL, where none sees what another has done: no two of them touch
    the same row. Of the others two may, where they are of one table: then the order counts.
    """

    def __init__(self, each: Mapping[str, Many], together: Sequence[str]) -> None:
        self._each = each
        self._together = frozenset(together)
        self._composed: dict[tuple[tuple[str, ...], bool], tuple[str, tuple[str, ...]]] = {}
        self._single: dict[tuple[str, ...], bool] = {}

    def execute(self, db: sa.Connection, rows: Mapping[str, Sequence[Sequence[Any]]]) -> Iterator[str]:
        """Write *rows*, by the names of their statements; name, after each round trip, the first that it was for.

        Their times are those of ``stamp_of``.
        """
        names = self._wanted(rows)
        if db.dialect.name == "sqlite":
            for name in names:
                self._each[name].one_by_one(db, rows[name])
                yield name
            return
        for group in self._groups(names):
            sql, places = self._composed.get((group, False)) or self._compose(group, None)
            drive(db, sql, tuple(self._as_json(name, rows[name]) for name in places))
            yield group[0]

    def if_allowed(
        self, db: sa.Connection, rows: Mapping[str, Sequence[Sequence[Any]]], allowed: sa.CTE, values: Mapping[str, Any]
    ) -> bool | None:
        """Write *rows*, on PostgreSQL, by one statement, where the row of *allowed*, which takes *values*, is true.

        False where it is not; None where these rows take several statements: nothing was written then.
        """
        names = self._wanted(rows)
        if not self._are_one(names):
            return None
        sql, places = self._composed.get((names, True)) or self._compose(names, allowed)
        given = [values[name] if name in values else self._as_json(name, rows[name]) for name in places]
        return bool(drive(db, sql, given, fetch=True)[0][0])

    def _wanted(self, rows: Mapping[str, Sequence[Sequence[Any]]]) -> tuple[str, ...]:
        return tuple([name for name in self._each if rows.get(name)])

    def _are_one(self, names: tuple[str, ...]) -> bool:
        """Whether a single statement does the same: of each table those that are together, or one."""
        found = self._single.get(names)
        if found is None:
            tables = [self._each[name].table for name in names]
            alone = [name for name in names if name not in self._together]
            found = self._single[names] = all(tables.count(self._each[name].table) == 1 for name in alone)
        return found

    def _groups(self, names: tuple[str, ...]) -> list[tuple[str, ...]]:
        one = tuple([name for name in names if name in self._together])
        return [*([one] if one else []), *((name,) for name in names if name not in self._together)]

    def _as_json(self, name: str, rows: Sequence[Sequence[Any]]) -> str:
        keys = self._each[name].names
        return _ENCODER.encode([dict(zip(keys, row, strict=True)) for row in rows]).decode()

    def _compose(self, names: tuple[str, ...], allowed: sa.CTE | None) -> tuple[str, tuple[str, ...]]:
        when = None if allowed is None else sa.select(allowed.c.allowed).scalar_subquery()
        parts = [self._each[name].at_once(name, when).cte(f"do_{name}") for name in names]
        said = sa.literal_column("1") if allowed is None else allowed.c.allowed
        compiled: Any = sa.select(said).add_cte(*parts).compile(dialect=DIALECTS["postgresql"])
        composed = self._composed[names, allowed is not None] = str(compiled), tuple(compiled.positiontup)
        return composed


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
