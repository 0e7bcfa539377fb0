"""A Step without an engine does what a step in an engine does, as far as the step can see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy

from saga_engine import Approval, Connection, Event, Frozen, Outcome, Step, hours
from saga_engine.domain.definition.values import Done, InDoubt
from saga_engine.errors import AttemptEnded, NoResult, SettingsError, Superseded, UndoNotVerified
from saga_engine.testing import step

DW = Connection("dw")


class Base(Frozen):
    table: str


class Input(Base):
    rows: int = 2


class Exported(Frozen):
    rows: int


class Loaded(Frozen):
    rows: int


class Abort(Frozen):
    reason: str


def export(of: Step[Base]) -> Exported:
    of.heartbeat()
    of.progress(1, 2, "rows")
    of.log.info("exported", table=of.input.table)
    return Exported(rows=1)


def load(of: Step[Input]) -> Loaded:
    def insert(db: sqlalchemy.Connection) -> Loaded:
        db.exec_driver_sql("INSERT INTO item VALUES (1)")
        return Loaded(rows=of.of(export).rows)

    return of.effect(DW, insert)


def unload(of: Step[Input], was: Outcome[Loaded]) -> None:
    def delete(db: sqlalchemy.Connection) -> None:
        db.exec_driver_sql("DELETE FROM item")

    of.effect(DW, delete)


def is_empty(of: Step[Input]) -> bool:
    with of.connect(DW) as db:
        return db.exec_driver_sql("SELECT count(*) FROM item").scalar() == 0


abort = Event("abort", Abort, unhandled="reject")
gate = Approval("dba", shows=export, expires=hours(1))


@pytest.fixture
def url(target_url: str) -> str:
    engine = sqlalchemy.create_engine(target_url)
    with engine.begin() as db:
        db.exec_driver_sql("CREATE TABLE item (id bigint)")
    engine.dispose()
    return target_url


def rows(url: str) -> int:
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as db:
        found = int(db.exec_driver_sql("SELECT count(*) FROM item").scalar_one())
    engine.dispose()
    return found


def test_it_has_the_results_that_the_test_gives() -> None:
    given = step(Input(table="orders")).given(export).returns(Exported(rows=3)).given(abort).returns(Abort(reason="no"))
    assert (given.of(export), given.of(abort), given.find(load)) == (Exported(rows=3), Abort(reason="no"), None)
    with pytest.raises(NoResult):
        given.of(load)


def test_it_remembers_what_the_step_has_said() -> None:
    told = step(Input(table="orders"))
    assert export(told) == Exported(rows=1)
    assert (told.heartbeats, told.progressed) == (2, [(1, 2, "rows")])
    assert told.logged.lines == [("info", "exported", {"table": "orders"})]


def test_a_checkpoint_is_there_for_the_next_attempt() -> None:
    first = step(Input(table="orders"))
    assert first.last_checkpoint(Exported) is None
    first.checkpoint(Exported(rows=7))
    second = first.again()
    assert (second.attempt, second.key, second.last_checkpoint(Exported)) == (2, first.key, Exported(rows=7))


def test_it_can_be_asked_to_stop_and_can_lose_its_lease() -> None:
    stopped = step(Input(table="orders"))
    assert not stopped.cancelled
    stopped.cancelled = True
    assert stopped.cancelled
    stopped.gone = True
    with pytest.raises(AttemptEnded):
        stopped.heartbeat()


def test_an_effect_takes_place_once(url: str) -> None:
    first = step(Input(table="orders"), connections={"dw": url}).given(export).returns(Exported(rows=1))
    assert (load(first), load(first), load(first.again()), rows(url)) == (Loaded(rows=1),) * 3 + (1,)


def test_an_effect_of_an_older_attempt_is_refused(url: str) -> None:
    first = step(Input(table="orders"), connections={"dw": url}).given(export).returns(Exported(rows=1))
    load(first.again())
    with pytest.raises(Superseded):
        load(first)
    assert rows(url) == 1


def test_another_step_has_effects_of_its_own(url: str) -> None:
    one = step(Input(table="orders"), connections={"dw": url}).given(export).returns(Exported(rows=1))
    load(one)
    load(one.following("test.2"))
    assert rows(url) == 2


def test_an_undo_goes_back_once_and_is_proven(url: str) -> None:
    done = step(Input(table="orders"), connections={"dw": url}).given(export).returns(Exported(rows=1))
    loaded = load(done)
    done.undo(unload, Done(loaded), verify=is_empty)
    done.undo(unload, Done(loaded), verify=is_empty)
    assert rows(url) == 0
    with pytest.raises(Superseded):
        load(done.again())


def test_an_undo_of_a_step_that_wrote_nothing_calls_no_work(url: str) -> None:
    idle = step(Input(table="orders"), connections={"dw": url}).given(export).returns(Exported(rows=1))

    def fails(db: sqlalchemy.Connection) -> Loaded:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        idle.effect(DW, fails)
    called: list[str] = []
    idle.undo(lambda _step, _was: called.append("undo"), InDoubt(), verify=is_empty)
    assert called == []


def test_an_undo_that_left_something_behind_has_failed(url: str) -> None:
    done = step(Input(table="orders"), connections={"dw": url}).given(export).returns(Exported(rows=1))
    load(done)

    def unload_nothing(of: Step[Input], was: Outcome[Loaded]) -> None:
        of.effect(DW, lambda _db: None)

    with pytest.raises(UndoNotVerified):
        done.undo(unload_nothing, InDoubt(), verify=is_empty)


def test_a_connection_that_the_test_has_not_given_is_named() -> None:
    with pytest.raises(SettingsError, match="there is no connection called dw; known: none"):
        load(step(Input(table="orders")).given(export).returns(Exported(rows=1)))


def test_a_sqlite_file_is_not_kept_open(tmp_path: Path, fresh_url: Callable[[str, str], str]) -> None:
    url = fresh_url("sqlite", "brief")
    reader = step(Input(table="orders"), connections={"dw": url})
    with reader.connect(DW) as db:
        assert db.exec_driver_sql("SELECT 1").scalar() == 1
    (tmp_path / "brief.db").unlink()
