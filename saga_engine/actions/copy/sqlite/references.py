"""Foreign keys in SQLite, proved by reading: whether they are enforced is each connection's own affair.

The words of a table bring them along, and SQLite takes none away without making the table anew. So they stand in the
way of deletes, before the swap those of the staging table, afterwards those of the kept one; ``notes.py`` tells it.
"""
# ruff: noqa: S608  identifiers are quoted by SQLAlchemy, values are bound

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, Row

from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.plan import Plan
from saga_engine.actions.copy.sqlite.look import key_of_one
from saga_engine.actions.copy.sqlite.sql import qualified, quote
from saga_engine.errors import MoveError

# A reference to the target means the staging table itself, once it has that name. Without columns, the primary key of
# the other table is meant.
_COLUMNS: Final = """
SELECT id, parent, place, own, (SELECT c.name FROM pragma_table_xinfo(place, 'main') AS c
        WHERE CASE WHEN theirs IS NULL THEN c.pk = seq + 1 ELSE c.name = theirs COLLATE NOCASE END) AS theirs
  FROM (SELECT id, seq, "table" AS parent, "from" AS own, "to" AS theirs,
               CASE WHEN "table" = :target COLLATE NOCASE THEN :staging ELSE "table" END AS place
          FROM pragma_foreign_key_list(:staging, 'main'))
 ORDER BY id DESC, seq"""


def refuse_orphans(db: Connection, plan: Plan) -> None:
    """Raise ``MoveError`` if a row that is to replace another table's refers to what is not there.

    A foreign key that names no such table or column proves nothing, and is let be. So are those of a new table, which
    has them from the source: of tables that refer to each other one comes first.
    """
    for columns in _foreign_keys(db, plan) if plan.before.exists else ():
        place = columns[0].place
        key = key_of_one(db, plan.staging, plan.key, _orphaned(plan.staging, columns))
        if key:
            raise MoveError(
                f"the foreign key to {columns[0].parent} does not hold: {plan.staging} has rows, such as key {key},"
                f" that refer to what is not in {place}"
            )


def _foreign_keys(db: Connection, plan: Plan) -> Iterator[list[Row[Any]]]:
    """The columns of each that can be asked: whose ``own`` value must be among ``theirs`` in the table ``place``."""
    names = {"target": plan.target.name, "staging": plan.staging.name}
    found = db.exec_driver_sql(_COLUMNS, names).all()
    for _, columns in groupby(found, key=lambda row: row.id):
        one = list(columns)
        if all(column.theirs is not None for column in one):
            yield one


def _orphaned(staging: TableName, columns: list[Row[Any]]) -> str:
    """SQL that is true for a row without its parent; one that lacks a value refers to nothing.

    As SQLite does it, the other table's affinity and collation count: so that is on the left, and the + takes away
    the affinity of the right.
    """
    own = [f"{qualified(staging)}.{quote(column.own)}" for column in columns]
    refers = " AND ".join(f"{value} IS NOT NULL" for value in own)
    same = " AND ".join(f"p.{quote(column.theirs)} = +{value}" for column, value in zip(columns, own, strict=True))
    place = qualified(staging.renamed(columns[0].place))
    return f"{refers} AND NOT EXISTS (SELECT 1 FROM {place} AS p WHERE {same})"
