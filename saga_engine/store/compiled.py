"""Statements that are executed all the time: built by SQLAlchemy and compiled once, then handed to the driver.

What SQLAlchemy does for each execution (a context, a cursor, a result that can do everything, the description of each
column) takes longer than most of these statements: measured for a SELECT of one value, 16 µs instead of 1 on SQLite and
165 instead of 57 on PostgreSQL. What it makes of errors, of connections that are lost and of types stays its own.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Values: TypeAlias = Mapping[str, Any]
"""The values of a statement by their names; a list for one that is *expanding*."""
_Place: TypeAlias = tuple[str, int | None, Callable[[Any], Any] | None]
"""The name of a value, which of a list it is, and what makes of it what the driver takes."""

DIALECTS: Final[Mapping[str, sa.Dialect]] = {
    "sqlite": sqlite.dialect(paramstyle="qmark"),
    "postgresql": postgresql.psycopg.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]  # SQLAlchemy's own
}
"""As statements are compiled for the drivers: their values have places, not names."""
_CURSOR: Final = "saga_cursor"


def drive(db: sa.Connection, sql: str, values: Sequence[Any], *, many: bool = False, fetch: bool = False) -> list[Any]:
    """Execute *sql*, as the driver takes it, and give back its rows, as the driver does, where it is to *fetch* some.

    *many*: for each of *values*. Raises what SQLAlchemy raises for the driver's errors. Where somebody listens to its
    statements (a tracer does), SQLAlchemy executes it.
    """
    if _is_heard(db):
        result = db.exec_driver_sql(sql, list(values) if many else tuple(values))
        return list(map(tuple, result)) if fetch else []
    cursor = _cursor(db)
    try:
        (cursor.executemany if many else cursor.execute)(sql, values)
        return cursor.fetchall() if fetch else []
    except BaseException as error:  # noqa: BLE001  an interrupt, too: nobody knows how it has left the connection
        _drop(db, cursor)
        db._handle_dbapi_exception(error, sql, None, None, None)  # noqa: SLF001  what it does with one of its own


class Compiled:
    """A statement, the same for both databases or one for each: *made* gives it by the name of the dialect."""

    def __init__(self, made: sa.Executable | Mapping[str, sa.Executable]) -> None:
        self._made = made
        self._forms: dict[str, _Form] = {}

    def execute(self, db: sa.Connection, values: Values) -> list[Any]:
        """Its rows, as tuples with names; none of a statement that returns none."""
        dialect = db.dialect.name
        form = self._forms.get(dialect) or self._compile(dialect)
        sql, given = form.placed(values)
        return form.rows(drive(db, sql, given, fetch=form.fetch))

    def one_or_none(self, db: sa.Connection, values: Values) -> Any:  # noqa: ANN401  a row of any columns
        """The only row, or None."""
        found = self.execute(db, values)
        assert len(found) <= 1, "a key finds one row"
        return found[0] if found else None

    def _compile(self, dialect: str) -> _Form:
        statement: Any = self._made[dialect] if isinstance(self._made, Mapping) else self._made
        form = self._forms[dialect] = _Form(statement.compile(dialect=DIALECTS[dialect]), DIALECTS[dialect])
        return form


class _Form:
    """A statement as one driver takes it; where it has lists, on SQLite, each of their lengths makes it another one."""

    def __init__(self, compiled: Any, dialect: sa.Dialect) -> None:  # noqa: ANN401  SQLAlchemy's own
        binds = compiled.binds
        columns = list(compiled.statement.exported_columns)
        kinds = [column.type.dialect_impl(dialect) for column in columns]
        converts = [kind.result_processor(dialect, None) for kind in kinds]
        row = namedtuple("Row", [column.key for column in columns], rename=True)  # type: ignore[misc]  # noqa: PYI024  its names are those of the statement
        self.fetch: Final = bool(columns)
        """Whether it has rows."""
        self._row: Final = row._make
        self._converts: Final = [(at, convert) for at, convert in enumerate(converts) if convert is not None]
        """Columns that the driver gives otherwise than they are meant."""
        self._binds: Final = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in binds.items()
        }
        self._lists: Final = [name for name, bind in binds.items() if bind.expanding]
        self._constants: Final = {name: bind.effective_value for name, bind in binds.items() if not bind.required}
        self._compiled: Final = compiled
        self._expanded: Final[dict[tuple[int, ...], tuple[str, list[_Place]]]] = {}

    def placed(self, values: Values) -> tuple[str, tuple[Any, ...]]:
        """The text for lists of these lengths, and *values* in the order of their places in it."""
        given = {**self._constants, **values}
        for name in self._lists:
            given[name] = _padded(given[name])
        lengths = tuple([len(given[name]) for name in self._lists])
        sql, places = self._expanded.get(lengths) or self._expand(lengths, given)
        found = []
        for name, at, convert in places:
            value = given[name] if at is None else given[name][at]
            found.append(value if convert is None else convert(value))
        return sql, tuple(found)

    def rows(self, found: Sequence[Sequence[Any]]) -> list[Any]:
        """What the driver has *found*, as it is meant."""
        if not self._converts:
            return list(map(self._row, found))
        rows = []
        for one in found:
            columns = list(one)
            for at, convert in self._converts:
                columns[at] = convert(columns[at])
            rows.append(self._row(columns))
        return rows

    def _expand(self, lengths: tuple[int, ...], given: Values) -> tuple[str, list[_Place]]:
        state = self._compiled.construct_expanded_state(dict(given))
        members = {new: (name, at) for name, each in state.parameter_expansion.items() for at, new in enumerate(each)}
        origins = [members.get(name, (name, None)) for name in state.positiontup]
        places = [(name, at, self._binds[name]) for name, at in origins]
        self._expanded[lengths] = state.statement, places
        return self._expanded[lengths]


def _padded(values: Sequence[Any]) -> list[Any]:
    """The list, its last value repeated up to a power of two: so there are few lengths, and few statements."""
    missing = (1 << (len(values) - 1).bit_length()) - len(values) if values else 0
    return [*values, *[values[-1]] * missing] if missing else list(values)


def _is_heard(db: sa.Connection) -> bool:
    """Whether somebody listens to statements; SQLAlchemy itself listens to other events of an engine with options."""
    if not (db._has_events or db.engine._has_events):  # noqa: SLF001  as it asks itself
        return False
    return bool(db.dispatch.before_cursor_execute or db.dispatch.after_cursor_execute)


def _cursor(db: sa.Connection) -> Any:  # noqa: ANN401  the driver's own
    """One for each session of PostgreSQL, where to make one takes as long as to use it.

    One of SQLite keeps its last statement, and that the connection and its locks, whoever closes it: each is new.
    """
    if db.dialect.name == "sqlite":
        return db.connection.cursor()
    info = db.info
    found = info.get(_CURSOR)
    if found is None:
        found = info[_CURSOR] = db.connection.cursor()
    return found


def _drop(db: sa.Connection, cursor: Any) -> None:  # noqa: ANN401  the driver's own
    """Let go of a cursor with which something went wrong: what it has open would keep the connection."""
    with suppress(Exception):
        db.info.pop(_CURSOR, None)
        cursor.close()
