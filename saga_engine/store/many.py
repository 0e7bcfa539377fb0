"""One statement for many rows, compiled once: SQLAlchemy on its own looks at every value of every row anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa

Stamp = Callable[[datetime], Any]
"""A time as a driver takes it."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The statement as one driver takes it."""

    sql: str
    placed: Callable[[Sequence[Any]], tuple[Any, ...]] | None
    """Puts the values of a row in the order of their places; None where they are in it."""


class Many:
    """A statement whose values are all bound, executed for lists of rows: a named tuple *of* its values each."""

    def __init__(self, statement: sa.Insert | sa.Update | sa.Delete, of: Sequence[str]) -> None:
        self._statement = statement
        self._names = tuple(of)
        self._compiled: dict[str, Compiled] = {}

    def execute(self, db: sa.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Write *rows*, which are at least one; their times are those of ``stamp_of``."""
        made = self._compiled.get(db.dialect.name)
        if made is None:
            made = self._compiled[db.dialect.name] = self._compile(db.dialect)
        placed = made.placed
        db.exec_driver_sql(made.sql, list(rows) if placed is None else [placed(row) for row in rows])

    def _compile(self, dialect: sa.Dialect) -> Compiled:
        styles = {"sqlite": "qmark", "postgresql": "format"}
        positional = type(dialect)(paramstyle=styles[dialect.name])  # type: ignore[call-arg]  # every dialect takes it
        compiled: Any = self._statement.compile(dialect=positional, column_keys=list(self._names))
        at = {name: place for place, name in enumerate(self._names)}
        places = [at[name] for name in compiled.positiontup]
        in_order = places == list(range(len(self._names)))
        # With one place only, an itemgetter gives the value itself; a single value is in order.
        return Compiled(str(compiled), None if in_order else itemgetter(*places))


def stamp_of(dialect: str) -> Stamp:
    """How the driver of *dialect* takes times: sqlite3 knows none with a zone."""
    return _text if dialect == "sqlite" else _same


@lru_cache(maxsize=1_000)
def _text(moment: datetime) -> str:
    """A time as ``Moment`` keeps it in SQLite."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


_same: Final[Stamp] = lambda moment: moment  # noqa: E731  a name for what does nothing
