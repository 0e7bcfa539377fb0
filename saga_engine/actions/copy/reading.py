"""A database that is being asked: a short transaction for each question, so that none stays open meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from saga_engine.actions.copy import dialects
from saga_engine.actions.copy.dialect import Dialect, Rows
from saga_engine.actions.copy.plan import Plan


class Asked:
    """A connection with its dialect."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self.name = dialects.name_of(db)

    @property
    def dialect(self) -> Dialect:
        """What this kind of database can do."""
        return dialects.named(self.name)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction in which the common text forms hold."""
        with self._db.begin():
            self.dialect.prepare(self._db)
            yield self._db


def source_rows(plan: Plan) -> Rows:
    """The rows that are to be moved."""
    return dialects.named(plan.source_dialect).rows(plan.table, [lane.source for lane in plan.lanes], plan.key)


def staging_rows(plan: Plan) -> Rows:
    """The rows that have arrived."""
    return dialects.named(plan.target_dialect).rows(plan.staging, [lane.target for lane in plan.lanes], plan.key)
