"""Statements compiled once: the rows, types and errors are those of SQLAlchemy itself."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import bindparam, select

from saga_engine.errors import StoreBusy, StoreError, StoreUnreachable
from saga_engine.store import compiled
from saga_engine.store.compiled import Compiled
from saga_engine.store.connect import Store, open_store
from saga_engine.store.record import record
from saga_engine.store.schema import Moment, runs, tasks
from tests.store.world import START, World


def both(store: Store, statement: Any, values: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    with store.read() as db:
        mine = Compiled(statement).execute(db, values)
        theirs = db.execute(statement, values).all()
    return [row._asdict() for row in mine], [dict(row._mapping) for row in theirs]


def test_rows_have_the_names_and_types_that_sqlalchemy_gives(made: Store) -> None:
    world = World(made)
    ids = sorted([world.run.run_id, world.start().run_id, world.start().run_id])
    several = select(runs).where(runs.c.id.in_(bindparam("ids", expanding=True))).order_by(runs.c.id)
    for wanted in (ids, ids[:1], []):
        mine, theirs = both(made, several, {"ids": wanted})
        assert (mine, len(mine)) == (theirs, len(wanted))
    due = select(tasks).where(tasks.c.due_at == bindparam("at", type_=Moment), tasks.c.ending.is_(None), sa.true())
    mine, theirs = both(made, due, {"at": START})
    assert (mine, len(mine), mine[0]["due_at"]) == (theirs, 3, START)
    assert isinstance(both(made, several, {"ids": ids})[0][0]["paused"], bool)


def test_values_of_one_execution_are_not_those_of_the_next(made: Store) -> None:
    world = World(made)
    first, second = world.run.run_id, world.start().run_id
    named = Compiled(select(runs.c.id).where(runs.c.id.in_(bindparam("ids", expanding=True))))
    one = Compiled(select(runs.c.id).where(runs.c.id == bindparam("run")))
    with made.read() as db:
        assert [named.execute(db, {"ids": [run]})[0].id for run in (first, second)] == [first, second]
        assert [one.one_or_none(db, {"run": run}) for run in (first, "nobody")] == [(first,), None]
        with pytest.raises(KeyError):
            one.execute(db, {})


def test_an_error_is_the_one_of_sqlalchemy(made: Store) -> None:
    run = World(made).run.run_id
    twice = sa.insert(runs).from_select(
        [column.name for column in runs.columns], select(runs).where(runs.c.id == bindparam("run"))
    )
    with pytest.raises(sa.exc.IntegrityError) as mine, made.write() as db:
        Compiled(twice).execute(db, {"run": run})
    with pytest.raises(sa.exc.IntegrityError) as theirs, made.write() as db:
        db.execute(twice, {"run": run})
    assert str(mine.value.orig) == str(theirs.value.orig)
    assert run not in str(mine.value).partition("\n")[2].replace(str(mine.value.orig), "")  # values stay out of errors
    with made.read() as db:
        assert db.execute(select(sa.func.count()).select_from(runs)).scalar_one() == 1


def test_a_session_that_was_ended_is_lost_to_the_pool_and_so_are_those_beside_it(made: Store) -> None:
    if made.dialect == "sqlite":
        pytest.skip("a file has no session")
    look = Compiled(select(sa.func.pg_backend_pid().label("pid")))
    with made.glance() as db:
        pid = look.execute(db, {})[0].pid
    killer = sa.create_engine(made._writer.url, poolclass=sa.NullPool)
    with killer.begin() as other:
        other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    killer.dispose()
    with pytest.raises(StoreUnreachable), made.glance() as db:
        look.execute(db, {})
    with made.glance() as db:
        assert look.execute(db, {})[0].pid != pid


def test_who_listens_to_statements_hears_of_these(made: Store) -> None:
    heard: list[str] = []

    def listen(_db: object, _cursor: object, sql: str, *_: object) -> None:
        heard.append(sql)

    sa.event.listen(made._reader, "before_cursor_execute", listen)
    try:
        mine, theirs = both(made, select(runs), {})
    finally:
        sa.event.remove(made._reader, "before_cursor_execute", listen)
    assert (mine, len(heard), heard[0].split()[0]) == (theirs, 2, "SELECT")


class Interrupted:
    """A cursor that is interrupted when its statement has begun, before its rows are read."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self.execute, self.close = cursor.execute, cursor.close

    def fetchall(self) -> None:
        raise KeyboardInterrupt


def test_an_interrupt_in_the_midst_loses_the_connection_and_its_locks(
    made: Store, made_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(made)
    world.start()
    cursor, look = compiled._cursor, Compiled(select(runs.c.id))

    def interrupted(transaction: AbstractContextManager[sa.Connection]) -> None:
        with transaction as db, monkeypatch.context() as patched:
            patched.setattr(compiled, "_cursor", lambda db: Interrupted(cursor(db)))
            look.execute(db, {})

    for begin in (made.read, made.write, made.glance):
        with pytest.raises(KeyboardInterrupt) as kept:  # with all its frames
            interrupted(begin())
        other = open_store(made_url, wait_seconds=1)
        with other.write() as db:
            db.execute(sa.update(runs).values(starter="bob"))
        other.close()
        with made.read() as db:
            assert len(look.execute(db, {})) == 2
        del kept


def test_a_commit_that_was_refused_keeps_no_lock(made: Store, made_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last statement of T2 on SQLite is an ``executemany``, whose cursor keeps its statement."""
    if made.dialect != "sqlite":
        pytest.skip("there is no foreign reader that could refuse one")
    monkeypatch.setattr("saga_engine.store.sqlite.BUSY_SECONDS", 0.2)
    hasty = open_store(made_url)
    world = World(hasty)
    entry = world.decided(world.success())
    reader = sqlite3.connect(made_url.removeprefix("sqlite:///"), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM saga_runs").fetchone()
    with pytest.raises(StoreBusy) as kept, hasty.write() as db:
        record(db, [entry], world.now)
    reader.close()
    other = open_store(made_url, wait_seconds=1)
    with other.write() as db:
        db.execute(sa.update(runs).values(starter="bob"))
    other.close()
    hasty.close()
    del kept


def test_a_block_that_goes_on_after_its_connection_was_lost_is_told_so(made: Store) -> None:
    """As by SQLAlchemy's own execution: what it finds before the driver is asked is no error of the driver."""
    look = Compiled(select(runs.c.id))

    def go_on() -> None:
        with made.write() as db:
            db.invalidate()
            look.execute(db, {})

    with pytest.raises(StoreError, match="A failed statement ended this transaction"):
        go_on()
    with made.write() as db:
        assert look.execute(db, {}) == []


def test_a_session_that_was_left_without_transactions_has_them_again(made: Store) -> None:
    if made.dialect == "sqlite":
        pytest.skip("a file has no session")
    with made.write() as db:
        session = db.connection.dbapi_connection
        assert session is not None
    session.autocommit = True  # as an interrupt leaves it
    with made.write() as db:
        assert db.connection.dbapi_connection is session
        assert session.autocommit is False
