"""One statement for many rows, compiled once: SQLAlchemy on its own looks at every value of every row anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from saga_engine.store.schema import Moment


@dataclass(frozen=True, slots=True)
class Compiled:
    """The statement as one driver takes it. *values*: those of a row, in the order of their places."""

    sql: str
    values: Callable[[Mapping[str, Any]], tuple[Any, ...]] | None
    times: tuple[int, ...]
    """Which of the places hold times, where the driver knows none."""

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The values of *rows* as the driver takes them: by place, else by name."""
        return list(rows) if self.values is None else [self._placed(self.values(row)) for row in rows]

    def _placed(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not self.times:
            return values
        placed = list(values)
        for place in self.times:
            placed[place] = _text(placed[place])
        return tuple(placed)


class Many:
    """A statement whose values are all bound, executed for lists of rows that all have the same keys."""

    def __init__(self, statement: sa.Insert | sa.Update | sa.Delete) -> None:
        self._statement = statement
        self._compiled: dict[str, Compiled] = {}

    def execute(self, db: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write *rows*, which are at least one."""
        made = self._compiled.get(db.dialect.name)
        if made is None:
            made = self._compiled[db.dialect.name] = self._compile(db.dialect, rows[0])
        db.exec_driver_sql(made.sql, made.rows(rows))

    def _compile(self, dialect: sa.Dialect, row: Mapping[str, Any]) -> Compiled:
        """psycopg takes names and every type that we write; sqlite3 takes places, and knows no time with a zone."""
        compiled: Any = self._statement.compile(dialect=dialect, column_keys=list(row))
        if not compiled.positional:
            return Compiled(str(compiled), None, ())
        names = compiled.positiontup
        times = [place for place, name in enumerate(names) if isinstance(compiled.binds[name].type, Moment)]
        # With one name only, an itemgetter gives the value itself.
        values = itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
        return Compiled(str(compiled), values, tuple(times))


def _text(moment: datetime | None) -> str | None:
    """A time as ``Moment`` keeps it in SQLite."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
