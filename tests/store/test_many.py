"""Rows written in bulk are the rows that SQLAlchemy would have written one by one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine.store.connect import Store
from saga_engine.store.many import Given, Many, Writes, stamp_of
from saga_engine.store.schema import Moment
from saga_engine.store.schema import incarnations as table
from tests.store.world import World

TIMES = [
    datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
    datetime(2026, 11, 22, 12, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    datetime(1970, 1, 1, tzinfo=UTC),
]


def rows(world: World) -> list[dict[str, Any]]:
    with world.store.read() as db:
        row = dict(db.execute(sa.select(table)).mappings().one())
    return [{**row, "started_at": at, "renewed_at": at, "host": f"ü{n}'\"?%s:x"} for n, at in enumerate(TIMES)]


def placed(store: Store, names: Sequence[str], row: dict[str, Any]) -> tuple[Any, ...]:
    """The values in the order of *names*, JSON and times as the driver takes them."""
    stamp = stamp_of(store.dialect)
    values = {name: stamp(value) if isinstance(value, datetime) else value for name, value in row.items()}
    return tuple(values[name] for name in names)


def plain(world: World) -> list[str]:
    """The columns that a driver takes as they are."""
    return [column.name for column in table.c if not isinstance(column.type, sa.JSON)]


def new(names: Sequence[str]) -> Many:
    return Many({name: table.c[name].type for name in names}, table)


def of(given: Given) -> sa.ColumnElement[bool]:
    return table.c.id == given("who")


def write(db: sa.Connection, many: Many, given: Sequence[tuple[Any, ...]]) -> None:
    assert list(Writes({"it": many}, together=["it"]).execute(db, {"it": given})) == ["it"]


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


@pytest.mark.parametrize("turned", [False, True], ids=["in the order of the table", "in another order"])
def test_bulk_inserts_store_what_plain_inserts_store(world: World, turned: bool) -> None:
    given = rows(world)
    names = sorted(plain(world), reverse=True) if turned else plain(world)
    with world.store.write() as db:
        many = [placed(world.store, names, {**row, "id": f"many {n}"}) for n, row in enumerate(given)]
        write(db, new(names), many)
        for n, row in enumerate(given):
            db.execute(sa.insert(table), {**row, "id": f"one {n}"})
    assert stored(world.store, "many") == stored(world.store, "one")
    with world.store.read() as db:
        found = db.execute(sa.select(table.c.started_at).where(table.c.id.like("many%")).order_by(table.c.id)).scalars()
        assert list(found) == TIMES


def test_bulk_updates_and_deletes_find_their_rows(world: World) -> None:
    given = [{**row, "id": f"many {n}"} for n, row in enumerate(rows(world))]
    stamp = stamp_of(world.store.dialect)
    times = Many(
        {"who": sa.Text(), "at": Moment(), "busy": sa.Integer()},
        lambda given: sa.update(table).values(started_at=given("at"), busy=given("busy")).where(of(given)),
    )
    delete = Many({"who": sa.Text()}, lambda given: sa.delete(table).where(of(given)))
    names = plain(world)
    with world.store.write() as db:
        write(db, new(names), [placed(world.store, names, row) for row in given])
        write(db, times, [("many 1", stamp(TIMES[3]), 7), ("many 2", stamp(TIMES[2]), 8)])
        write(db, delete, [("many 0",), ("many 3",)])
        write(db, delete, [("nobody",)])
    with world.store.read() as db:
        query = sa.select(table.c.id, table.c.started_at, table.c.busy).where(table.c.id.like("many%"))
        found = [tuple(row) for row in db.execute(query.order_by(table.c.id))]
    assert found == [("many 1", TIMES[3], 7), ("many 2", TIMES[2], 8)]


def test_a_value_that_a_statement_needs_and_its_rows_have_not_is_an_error(world: World) -> None:
    with pytest.raises(KeyError, match="who"), world.store.write() as db:
        write(db, Many({"what": sa.Text()}, lambda given: sa.delete(table).where(of(given))), [("x",)])


def test_what_is_called_together_is_one_round_trip_on_postgresql(world: World) -> None:
    names = plain(world)
    deletes = Many({"who": sa.Text()}, lambda given: sa.delete(table).where(of(given)))
    renames = Many(
        {"who": sa.Text(), "to": sa.Text()}, lambda given: sa.update(table).values(host=given("to")).where(of(given))
    )
    writes = Writes({"new": new(names), "gone": deletes, "renamed": renames}, together=["new", "gone"])
    [one, two] = [placed(world.store, names, {**row, "id": f"many {n}"}) for n, row in enumerate(rows(world)[:2])]
    with world.store.write() as db:
        write(db, new(names), [one])
        told = list(writes.execute(db, {"new": [two], "gone": [("many 0",)], "renamed": [("many 1", "a % of it")]}))
        found = db.execute(sa.select(table.c.id, table.c.host).where(table.c.id.like("many%"))).all()
    assert told == (["new", "renamed"] if world.store.dialect == "postgresql" else ["new", "gone", "renamed"])
    assert [tuple(row) for row in found] == [("many 1", "a % of it")]
