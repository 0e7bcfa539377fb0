"""Rows written in bulk are the rows that SQLAlchemy would have written one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from saga_engine.store.connect import Store
from saga_engine.store.many import Many
from saga_engine.store.schema import Moment
from saga_engine.store.schema import incarnations as table
from tests.store.world import World

TIMES = [
    datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
    datetime(2026, 11, 22, 12, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    datetime(1970, 1, 1, tzinfo=UTC),
]


def rows(world: World) -> list[dict[str, object]]:
    with world.store.read() as db:
        row = dict(db.execute(sa.select(table)).mappings().one())
    return [{**row, "started_at": at, "renewed_at": at, "host": f"ü{n}'\"?%s:x"} for n, at in enumerate(TIMES)]


def stored(store: Store, prefix: str) -> list[tuple[object, ...]]:
    columns = ", ".join(column.name for column in table.c if column.name != "id")
    with store.read() as db:
        return [
            tuple(row)
            for row in db.exec_driver_sql(
                f"SELECT {columns} FROM saga_incarnations WHERE id LIKE '{prefix}%%' ORDER BY id"
                if store.dialect == "postgresql"
                else f"SELECT {columns} FROM saga_incarnations WHERE id LIKE '{prefix}%' ORDER BY id"
            )
        ]


def test_bulk_inserts_store_what_plain_inserts_store(world: World) -> None:
    given = rows(world)
    with world.store.write() as db:
        Many(sa.insert(table)).execute(db, [{**row, "id": f"many {n}"} for n, row in enumerate(given)])
        for n, row in enumerate(given):
            db.execute(sa.insert(table), {**row, "id": f"one {n}"})
    assert stored(world.store, "many") == stored(world.store, "one")
    with world.store.read() as db:
        found = db.execute(sa.select(table.c.started_at).where(table.c.id.like("many%")).order_by(table.c.id)).scalars()
        assert list(found) == TIMES


def test_bulk_updates_and_deletes_find_their_rows(world: World) -> None:
    given = [{**row, "id": f"many {n}"} for n, row in enumerate(rows(world))]
    change = sa.update(table).where(table.c.id == sa.bindparam("who"))
    times = Many(change.values(started_at=sa.bindparam("at", type_=Moment), busy=sa.bindparam("busy")))
    delete = Many(sa.delete(table).where(table.c.id == sa.bindparam("who")))
    with world.store.write() as db:
        Many(sa.insert(table)).execute(db, given)
        times.execute(db, [{"who": "many 1", "at": TIMES[3], "busy": 7}, {"who": "many 2", "at": TIMES[2], "busy": 8}])
        delete.execute(db, [{"who": "many 0"}, {"who": "many 3"}])
        delete.execute(db, [{"who": "nobody"}])
    with world.store.read() as db:
        query = sa.select(table.c.id, table.c.started_at, table.c.busy).where(table.c.id.like("many%"))
        found = [tuple(row) for row in db.execute(query.order_by(table.c.id))]
    assert found == [("many 1", TIMES[3], 7), ("many 2", TIMES[2], 8)]


@pytest.mark.parametrize("made_url", ["sqlite"], indirect=True)
def test_a_row_that_lacks_a_value_is_an_error(world: World) -> None:
    whole = {**rows(world)[0], "id": "whole"}
    with pytest.raises(KeyError), world.store.write() as db:
        Many(sa.insert(table)).execute(db, [whole, {"id": "half"}])
    assert stored(world.store, "whole") == []
