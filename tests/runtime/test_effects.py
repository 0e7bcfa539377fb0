"""Effects in real targets: once, whatever is tried again; undone once; never over a ledger that is not the run's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine.domain.definition.values import Connection, Retry, seconds
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.views import RunView
from tests.runtime import plays
from tests.runtime.conftest import Opened, loaded, working
from tests.runtime.plays import Act, Value

DW = Connection("dw")
LEDGER = {"sqlite": "main", "postgresql": "saga_ledger"}
"""Where the ledger is; on MariaDB in the database itself."""

with_mariadb = pytest.mark.parametrize("target_url", ["sqlite", "postgresql", "mariadb"], indirect=True)


def put(part: str) -> Callable[[sa.Connection], Value]:
    def work(db: sa.Connection) -> Value:
        db.execute(sa.text("INSERT INTO loaded VALUES ('r', :part)"), {"part": part})
        return Value(n=len(part), text=part)

    return work


def take(part: str) -> Callable[[sa.Connection], None]:
    def work(db: sa.Connection) -> None:
        db.execute(sa.text("DELETE FROM loaded WHERE part = :part"), {"part": part})

    return work


def load(*parts: str, then: Act | None = None) -> Act:
    """A step that applies these parts, each exactly once."""

    def act(step: Any) -> Value:
        for part in parts:
            assert step.effect(DW, put(part), part=part).text == part
        return then(step) if then else Value(n=len(parts))

    return act


def unload(*parts: str, then: Act | None = None) -> Act:
    def act(step: Any, *_: Any) -> None:
        for part in reversed(parts):
            step.effect(DW, take(part), part=part)
        if then:
            then(step)

    return act


def change(url: str, statement: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as db:
        schema = LEDGER.get(engine.dialect.name, str(engine.url.database))
        db.execute(sa.text(statement.format(ledger=schema)))


def read(url: str, statement: str) -> list[Any]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as db:
        schema = LEDGER.get(engine.dialect.name, str(engine.url.database))
        return [tuple(row) for row in db.execute(sa.text(statement.format(ledger=schema)))]


def acted(engine: Engine, **given: Any) -> RunView:
    run = engine.start("play", {"name": "p", **given})
    engine.work(until_idle=True)
    return engine.get(run.id)


def parked(run: RunView) -> list[tuple[str | None, str]]:
    return [(task.parked, task.error) for task in run.tasks if task.parked]


@with_mariadb
def test_parts_take_effect_once_though_their_step_is_tried_again(opened: Opened, dw: str) -> None:
    engine = opened(plays.saga(promise="effect"), connections={"dw": dw})
    with plays.playing("p", one=load("a", "b", then=plays.raising(ValueError("late"), 2))):
        run = acted(engine)
    assert (run.status, loaded(dw)) == ("completed", ["a", "b"])
    heads = read(dw, "SELECT status, token FROM {ledger}.saga_ledger_heads")
    assert heads == [("open", 3)]


@with_mariadb
def test_a_rollback_undoes_the_parts_of_a_step_that_was_done(opened: Opened, dw: str) -> None:
    engine = opened(plays.saga(promise="effect", proven=True), connections={"dw": dw})
    seen: list[str] = []

    def proof(step: Any) -> bool:
        with step.connect(DW) as db:
            return not db.execute(sa.text("SELECT part FROM loaded")).all()

    undo = unload("a", "b", then=lambda step: seen.append(step.key))
    acts = {"one": load("a", "b"), "two": plays.raising(ValueError("bad")), "undo one": undo, "proof": proof}
    with plays.playing("p", **acts):
        run = acted(engine)
    assert (run.status, loaded(dw)) == ("rolled_back", [])
    assert seen == [f"{run.id}.1"]
    assert read(dw, "SELECT status FROM {ledger}.saga_ledger_heads") == [("undone",)]
    assert read(dw, "SELECT DISTINCT status FROM {ledger}.saga_ledger_parts") == [("undone",)]


def test_what_a_failed_step_had_applied_is_undone_too(opened: Opened, dw: str) -> None:
    engine = opened(plays.saga(promise="effect", retry=Retry(1)), connections={"dw": dw})
    acts = {"one": load("a", then=plays.raising(ValueError("bad"))), "undo one": unload("a", "b")}
    with plays.playing("p", **acts) as play:
        run = acted(engine)
    assert (run.status, loaded(dw), play.told) == ("rolled_back", [], ["one", "undo one"])


def test_an_effect_that_never_took_place_is_closed_and_its_undo_is_not_called(opened: Opened, dw: str) -> None:
    engine = opened(plays.saga(promise="effect", retry=Retry(1)), connections={"dw": dw})

    def one(step: Any) -> Value:
        def breaks(db: sa.Connection) -> Value:
            put("a")(db)
            message = "bad"
            raise ValueError(message)

        result: Value = step.effect(DW, breaks)
        return result

    with plays.playing("p", one=one) as play:
        run = acted(engine)
    assert (run.status, loaded(dw), play.told) == ("rolled_back", [], ["one"])
    assert read(dw, "SELECT status FROM {ledger}.saga_ledger_heads") == [("undone",)]


def test_an_undo_that_failed_after_its_parts_is_called_again(opened: Opened, dw: str) -> None:
    """The parts are undone then, and what the undo does beside them is not: it has to come back to that."""
    engine = opened(plays.saga(promise="effect", retry=Retry(1)), connections={"dw": dw})
    acts = {
        "one": load("a", then=plays.raising(ValueError("bad"))),
        "undo one": unload("a", then=plays.raising(OSError("file"), 1)),
    }
    with plays.playing("p", **acts) as play:
        run = acted(engine)
    assert (run.status, loaded(dw), play.told) == ("rolled_back", [], ["one", "undo one", "undo one"])


def test_an_undo_that_forgets_a_part_has_failed(opened: Opened, dw: str) -> None:
    engine = opened(plays.saga(promise="effect", retry=Retry(1), undo_retry=Retry(1)), connections={"dw": dw})
    acts = {"one": load("a", "b", then=plays.raising(ValueError("bad"))), "undo one": unload("a")}
    with plays.playing("p", **acts) as play:
        run = acted(engine)
        ((code, error),) = parked(run)
        assert (code, "has left parts applied in dw: 'b'" in error, loaded(dw)) == ("W17", True, ["b"])
        play.acts["undo one"] = unload("a", "b")
        engine.retry(run.id)
        engine.work(until_idle=True)
    assert (engine.get(run.id).status, loaded(dw)) == ("rolled_back", [])


def test_a_step_entered_again_after_a_rollback_is_new_work(opened: Opened, dw: str) -> None:
    engine = opened(plays.saga(promise="effect"), connections={"dw": dw})
    with plays.playing("p", one=load("a"), **{"undo one": unload("a")}) as play:
        play.acts["two"] = play.waits
        run = engine.start("play", {"name": "p"}).id
        with working(engine):
            assert play.began.wait(10)
            engine.rollback(run, to="ONE")
            play.acts["two"] = lambda _step: Value()
            plays.until(lambda: engine.get(run).ended)
    assert (engine.get(run).status, loaded(dw)) == ("completed", ["a"])
    heads = read(dw, "SELECT status FROM {ledger}.saga_ledger_heads ORDER BY opened_at, task")
    assert heads == [("undone",), ("open",)]


@with_mariadb
def test_a_target_without_a_ledger_parks_the_run_and_a_retry_goes_on(opened: Opened, target_url: str) -> None:
    engine = opened(plays.saga(promise="effect"), connections={"dw": target_url})
    with plays.playing("p", one=load("a")):
        run = acted(engine)
        ((code, error),) = parked(run)
        assert (code, "dw has no ledger" in error) == ("W21", True)
        engine.targets.make_ledger("dw")
        change(target_url, "CREATE TABLE loaded (run text NOT NULL, part text NOT NULL)")
        engine.retry(run.id)
        engine.work(until_idle=True)
    assert (engine.get(run.id).status, loaded(target_url)) == ("completed", ["a"])


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE {ledger}.saga_ledger SET uuid = 'another'", "its uuid is another"),
        ("DELETE FROM {ledger}.saga_ledger", "dw"),
    ],
    ids=["made anew", "vanished"],
)
def test_another_ledger_than_the_runs_own_parks_the_run_and_nothing_is_written(
    opened: Opened, dw: str, statement: str, says: str
) -> None:
    engine = opened(plays.saga(promise="effect"), connections={"dw": dw})

    def one(step: Any) -> Value:
        result: Value = step.effect(DW, put("a"), part="a")
        if step.attempt == 1:
            change(dw, statement)
            message = "bad"
            raise ValueError(message)
        step.effect(DW, put("b"), part="b")
        return result

    with plays.playing("p", one=one):
        run = acted(engine)
    ((code, error),) = parked(run)
    assert (code, says in error, loaded(dw)) == ("W21", True, ["a"])


def test_a_ledger_that_is_ahead_of_the_store_parks_the_run(opened: Opened, dw: str) -> None:
    """The store came from a backup: the target knows of attempts that the store has forgotten."""
    engine = opened(plays.saga(promise="effect"), connections={"dw": dw})

    def one(step: Any) -> Value:
        if step.attempt == 1:
            step.effect(DW, put("a"), part="a")
            change(dw, "UPDATE {ledger}.saga_ledger_heads SET token = 9")
            message = "bad"
            raise ValueError(message)
        result: Value = step.effect(DW, put("b"), part="b")
        return result

    with plays.playing("p", one=one):
        run = acted(engine)
    ((code, error),) = parked(run)
    assert code == "W21"
    assert error.startswith("the target's ledger is ahead of this store")
    assert loaded(dw) == ["a"]


def test_a_user_cannot_swallow_that_a_newer_attempt_has_taken_over(opened: Opened, dw: str) -> None:
    engine = opened(plays.saga(promise="effect"), connections={"dw": dw})

    def one(step: Any) -> Value:
        step.effect(DW, put("a"), part="a")
        change(dw, "UPDATE {ledger}.saga_ledger_heads SET token = 9")
        try:
            step.effect(DW, put("b"), part="b")
        except Exception:  # noqa: BLE001  what users write
            return Value(n=1)
        return Value(n=2)

    with plays.playing("p", one=one):
        run = acted(engine)
    assert ([code for code, _ in parked(run)], loaded(dw)) == (["W21"], ["a"])


def test_a_locked_target_is_waited_for_and_counts_nothing(opened: Opened, dw: str) -> None:
    engine = opened(
        plays.saga(promise="effect", retry=Retry(1, first=seconds(0.05))), connections={"dw": dw}, lease_seconds=0.7
    )
    locker = sa.create_engine(dw, poolclass=sa.NullPool)
    with plays.playing("p", one=load("a")), locker.connect() as db:
        if locker.dialect.name == "sqlite":
            db.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            db.exec_driver_sql("LOCK TABLE saga_ledger.saga_ledger_heads IN ACCESS EXCLUSIVE MODE")
        run = engine.start("play", {"name": "p"}).id
        with working(engine):
            plays.until(lambda: any(line.kind == "ActionFailed" for line in engine.history(run)), 30)
            db.rollback()
            plays.until(lambda: engine.get(run).ended, 30)
    assert (engine.get(run).status, loaded(dw)) == ("completed", ["a"])
    assert all(line.event["busy"] for line in engine.history(run) if line.kind == "ActionFailed")


def test_the_store_knows_which_targets_a_step_has_touched_before_it_writes_there(opened: Opened, dw: str) -> None:
    engine = opened(plays.saga(promise="effect", retry=Retry(1)), connections={"dw": dw})

    def one(step: Any) -> Value:
        def work(db: sa.Connection) -> Value:
            with engine.store.read() as store:
                touched = store.execute(sa.text("SELECT task, connection FROM saga_effects")).all()
            assert [tuple(row) for row in touched] == [(step.key, "dw")]
            return put("a")(db)

        result: Value = step.effect(DW, work)
        return result

    with plays.playing("p", one=one):
        assert acted(engine).status == "completed"


@pytest.mark.parametrize("target_url", ["mariadb"], indirect=True)
def test_ddl_in_an_effect_on_mariadb_fails_the_step_and_leaves_nothing(opened: Opened, dw: str) -> None:
    engine = opened(plays.saga(promise="effect", retry=Retry(1)), connections={"dw": dw})

    def one(step: Any) -> Value:
        def work(db: sa.Connection) -> Value:
            put("a")(db)
            db.execute(sa.text("CREATE TABLE staging (id int)"))
            return Value(n=1)

        result: Value = step.effect(DW, work)
        return result

    with plays.playing("p", one=one):
        run = acted(engine)
    assert (run.status, loaded(dw), read(dw, "SHOW TABLES LIKE 'staging'")) == ("rolled_back", [], [])
    failed = [line.event["error"] for line in engine.history(run.id) if line.kind == "ActionFailed"]
    assert len(failed) == 1
    assert "that was refused, and nothing was kept (on MariaDB DDL commits by itself" in failed[0]


@with_mariadb
def test_one_database_under_two_names_knows_the_steps_that_came_by_either(opened: Opened, dw: str) -> None:
    engine = opened(plays.saga(promise="effect"), connections={"dw": dw, "same": dw})

    def two(step: Any) -> Value:
        step.effect(Connection("same"), put("b"), part="b")
        return Value(n=len(step.effect(DW, put("c"), part="c").text))

    with plays.playing("p", one=load("a"), two=two):
        run = acted(engine)
    assert (run.status, parked(run), loaded(dw)) == ("completed", [], ["a", "b", "c"])
    assert engine.reconcile(run.id).steps == ()


@with_mariadb
def test_one_database_under_two_names_is_gone_back_in_by_either(opened: Opened, dw: str) -> None:
    engine = opened(plays.saga(promise="effect"), connections={"dw": dw, "same": dw})
    same = Connection("same")

    def two(step: Any) -> Value:
        step.effect(same, put("b"), part="b")
        raise ValueError("bad")

    def undo_two(step: Any, *_: Any) -> None:
        step.effect(same, take("b"), part="b")

    undos: dict[str, Act] = {"undo one": unload("a"), "undo two": undo_two}
    with plays.playing("p", one=load("a"), two=two, **undos):
        run = acted(engine)
    assert (run.status, parked(run), loaded(dw)) == ("rolled_back", [], [])
