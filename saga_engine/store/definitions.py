"""The saga definitions that this store has seen, and the store's own name."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from saga_engine.domain.chart import Chart
from saga_engine.failpoints import hit
from saga_engine.store.schema import definitions, store


def register(db: sa.Connection, charts: Sequence[Chart]) -> dict[str, int]:
    """Insert what is new; return the row of each, by digest. Safe beside other engines that do the same."""
    known = _known(db, charts)
    for chart in charts:
        if chart.digest not in known:
            row = {"saga": chart.name, "version": chart.version, "digest": chart.digest, "spec": chart.spec}
            _insert(db, definitions, row)
    return _known(db, charts)


def by_digest(db: sa.Connection, digest: str) -> sa.Row[Any] | None:
    """The stored definition with that digest."""
    return db.execute(select(definitions).where(definitions.c.digest == digest)).one_or_none()


def by_ids(db: sa.Connection, numbers: Sequence[int]) -> Sequence[sa.Row[Any]]:
    """Stored definitions by their rows' ids. Primary key."""
    return db.execute(select(definitions).where(definitions.c.id.in_(numbers))).all()


def identity(db: sa.Connection, now: datetime) -> str:
    """The store's uuid, made at the first look."""
    found = db.execute(select(store.c.uuid)).scalar_one_or_none()
    if found is None:
        _insert(db, store, {"id": 1, "uuid": uuid4().hex, "created_at": now})
        found = db.execute(select(store.c.uuid)).scalar_one()
    return str(found)


def _known(db: sa.Connection, charts: Sequence[Chart]) -> dict[str, int]:
    query = select(definitions.c.digest, definitions.c.id).where(definitions.c.digest.in_([c.digest for c in charts]))
    return {row.digest: row.id for row in db.execute(query)}


def _insert(db: sa.Connection, table: sa.Table, row: Mapping[str, object]) -> None:
    """Insert unless another engine has just done so: both SQLite and PostgreSQL know ON CONFLICT DO NOTHING."""
    insert = postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert
    hit("store.definition.before_insert")
    db.execute(insert(table).values(**row).on_conflict_do_nothing())
