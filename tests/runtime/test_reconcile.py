"""A store that was restored from a backup: what was done since is noticed, kept, and never done twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine import errors, failpoints
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import Retry, seconds
from saga_engine.runtime import reconcile
from saga_engine.runtime.doctor import examine
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.views_operate import ReconciledView
from tests.runtime import plays
from tests.runtime.backups import backup
from tests.runtime.conftest import Opened, loaded
from tests.runtime.plays import Act, S, Value
from tests.runtime.test_effects import DW, change, load, parked, put, read, unload

Fresh = Callable[[str, str], str]


class Lost:
    """A store whose backup was taken in the middle of a step: *before*, then what the store did until it was lost."""

    def __init__(self, opened: Opened, url: str, fresh_url: Fresh, dw: str) -> None:
        self.opened, self.url, self.fresh_url, self.dw = opened, url, fresh_url, dw
        self.sagas = [plays.saga(promise="effect", retry=Retry(5, first=seconds(0.01))), forked(), held()]
        self.before = self.engine(url)
        self.before.door.store_uuid()  # the room of these tests was swept, and a store has one from the beginning
        self.copies: list[str] = []

    def engine(self, url: str) -> Engine:
        return self.opened(*self.sagas, connections={"dw": self.dw}, url=url, lease_seconds=1)

    def takes(self, act: Act) -> Act:
        """The act, at the end of whose first call the backup is taken: the step has written, and is not recorded."""

        def taking(step: Any, *more: Any) -> Any:
            result = act(step, *more)
            if not self.copies:
                self.copies.append(backup(self.url, self.fresh_url))
            return result

        return taking

    def restored(self) -> Engine:
        """The backup in use; what the store had become is gone."""
        return self.engine(self.copies[0])


def forked() -> Saga[S, plays.Input]:
    """WAIT for go, which leads to ONE, or for abort, which leads to TWO."""
    made = Saga("forked", version=1, states=S, input=plays.Input, start=S.WAIT)
    made.at(S.WAIT).wait(plays.go, deadline=plays.AN_HOUR).on(plays.abort, S.TWO).then(S.ONE, timed_out=S.BACK)
    made.at(S.ONE).run(plays.one, promise="effect").undo(plays.undo_one).then(S.DONE, failed=S.BACK)
    made.at(S.TWO).run(plays.two, promise="effect").undo(plays.undo_two).then(S.DONE, failed=S.BACK)
    return plays.finished(made)


def held() -> Saga[S, plays.Input]:
    """ONE, which waits for go when it is done."""
    made = Saga("held", version=1, states=S, input=plays.Input, start=S.ONE)
    made.at(S.ONE).run(plays.one, promise="effect").undo(plays.undo_one).then(S.WAIT, failed=S.BACK)
    made.at(S.WAIT).wait(plays.go, deadline=plays.AN_HOUR).then(S.DONE, timed_out=S.BACK)
    return plays.finished(made)


HEADS = {
    "sqlite": "saga_ledger_heads",
    "postgresql": "saga_ledger.saga_ledger_heads",
    "mysql": "saga_ledger_heads",
    "mariadb": "saga_ledger_heads",
}

crossed = pytest.mark.parametrize(
    ("made_url", "target_url"), [("sqlite", "postgresql"), ("postgresql", "sqlite")], indirect=True
)
"""Store and target of either kind; the first tests below have all four pairs."""
on_mariadb = pytest.mark.parametrize(
    ("made_url", "target_url"),
    [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("postgresql", "mariadb")],
    indirect=True,
)
"""And the target that has its own collation, and its own way to copy a row."""


@pytest.fixture
def lost(opened: Opened, made_url: str, fresh_url: Fresh, dw: str) -> Lost:
    return Lost(opened, made_url, fresh_url, dw)


def verdicts(found: ReconciledView) -> list[tuple[str, str, bool]]:
    """``(step, verdict, whether it is mended)``."""
    return [(step.step, step.verdict, bool(step.mends)) for step in found.steps]


def worked(engine: Engine, run: str) -> str:
    """The run's status when it has come to rest; a restored store first waits for the lease of a worker long gone."""

    def rests() -> bool:
        engine.work(until_idle=True)
        return engine.get(run).status != "running"

    plays.until(rests)
    return engine.get(run).status


def test_a_run_that_ended_after_the_backup_ends_again_and_takes_effect_once(lost: Lost) -> None:
    acts = {"one": load("a", "b"), "two": load("c")}
    with plays.playing("p", **{**acts, "one": lost.takes(acts["one"])}):
        run = lost.before.start("play", {"name": "p"}).id
        assert worked(lost.before, run) == "completed"
    engine = lost.restored()
    with plays.playing("p", **acts) as play:
        assert worked(engine, run) == "parked"
        ((code, error),) = parked(engine.get(run))
        assert (code, "it knows the step" in error, ", TWO 1, of this run" in error) == ("W21", True, True)
        (reason,) = engine.why(run).reasons
        assert (reason.code, reason.next[0].command.split()[:2]) == ("W21", ["saga", "reconcile"])
        looked = engine.reconcile(run, dry_run=True)
        assert (verdicts(looked), looked.in_step, engine.get(run).status) == (
            [("TWO 1", "unknown", True)],
            True,
            "parked",
        )
        done = engine.reconcile(run)
        assert (verdicts(done), done.status, done.in_step) == (verdicts(looked), "running", True)
        assert done.done == looked.done
        assert worked(engine, run) == "completed"
    assert (loaded(lost.dw), play.told) == (["a", "b", "c"], ["one", "one", "two"])
    assert read(lost.dw, "SELECT count(*) FROM {ledger}.saga_ledger_heads") == [(2,)]
    assert [line.kind for line in engine.history(run)].count("Reconciled") == 1
    assert engine.verify().found == ()
    assert engine.reconcile(run).steps == ()


def test_attempts_that_the_store_has_forgotten_are_counted_on_from(lost: Lost) -> None:
    one = load("a", then=plays.raising(ValueError("late"), 4))
    with plays.playing("p", one=_fails_then(lost, one)):
        run = lost.before.start("play", {"name": "p"}).id
        assert worked(lost.before, run) == "completed"
    ((token,),) = read(lost.dw, "SELECT token FROM {ledger}.saga_ledger_heads")
    engine = lost.restored()
    with plays.playing("p", one=load("a")):
        assert worked(engine, run) == "parked"
        done = engine.reconcile(run)
        assert (verdicts(done), done.in_step) == ([("ONE 1", "ahead", True)], True)
        assert worked(engine, run) == "completed"
    assert loaded(lost.dw) == ["a"]
    ((newer,),) = read(lost.dw, "SELECT token FROM {ledger}.saga_ledger_heads")
    assert newer > token


def _fails_then(lost: Lost, act: Act) -> Act:
    """Take the backup when the step has written and not failed yet."""

    def one(step: Any) -> Any:
        step.effect(DW, put("a"), part="a")
        if not lost.copies:
            lost.copies.append(backup(lost.url, lost.fresh_url))
        return act(step)

    return one


def test_a_run_that_was_undone_after_the_backup_goes_back_and_nothing_is_left(lost: Lost) -> None:
    undo = {"undo one": unload("a"), "undo two": unload("c")}
    with plays.playing("p", one=load("a"), two=_bad_after(lost, load("c")), **undo):
        run = lost.before.start("play", {"name": "p"}).id
        assert worked(lost.before, run) == "rolled_back"
    engine = lost.restored()
    with plays.playing("p", one=load("a"), two=load("c"), **undo):
        assert worked(engine, run) == "parked"
        looked = engine.reconcile(run)
        assert (looked.in_step, {verdict for _, verdict, _ in verdicts(looked)}) == (False, {"ahead"})
        assert {step.next.split()[1] for step in looked.steps} == {"rollback"}
        engine.rollback(run)
        assert worked(engine, run) == "rolled_back"
    assert loaded(lost.dw) == []


def _bad_after(lost: Lost, act: Act) -> Act:
    def two(step: Any) -> Any:
        act(step)
        if not lost.copies:
            lost.copies.append(backup(lost.url, lost.fresh_url))
        message = "bad"
        raise ValueError(message)

    return two


def other_way(lost: Lost) -> tuple[Engine, str]:
    """A run that has ended, and after the restore goes another way: its next task has the name of a lost one."""
    run = lost.before.start("forked", {"name": "p"}).id
    lost.copies.append(backup(lost.url, lost.fresh_url))
    lost.before.send(run, "go")
    assert worked(lost.before, run) == "completed"
    engine = lost.restored()
    engine.send(run, "abort")
    return engine, run


@on_mariadb
def test_a_task_of_the_same_name_as_a_lost_one_gets_nothing_that_is_not_its_own(lost: Lost) -> None:
    with plays.playing("p", one=load("a"), two=load("c")):
        engine, run = other_way(lost)
        assert worked(engine, run) == "parked"
        assert [code for code, _ in parked(engine.get(run))] == ["W21"]
        done = engine.reconcile(run)
        assert (verdicts(done), done.in_step) == ([("ONE 1", "unknown", True)], True)
        assert worked(engine, run) == "completed"
        assert loaded(lost.dw) == ["a", "c"]
        left = engine.reconcile(run)
        assert (verdicts(left), left.in_step) == ([("ONE 1", "unknown", False)], False)
        engine.settle(run, left.steps[0].task)
        assert engine.reconcile(run).in_step


def whole(part: str) -> Act:
    """A step whose one part has no name of its own."""

    def act(step: Any) -> Value:
        done: Value = step.effect(DW, put(part))
        return done

    return act


@crossed
def test_a_task_of_the_same_name_as_a_lost_one_does_not_get_its_result_however_often_it_is_tried(lost: Lost) -> None:
    with plays.playing("p", one=whole("a"), two=whole("c")):
        engine, run = other_way(lost)
        for _ in range(2):
            assert worked(engine, run) == "parked"
            engine.retry(run)
        assert (worked(engine, run), loaded(lost.dw)) == ("parked", ["a"])
        engine.reconcile(run)
        assert (worked(engine, run), loaded(lost.dw)) == ("completed", ["a", "c"])
        assert engine.get(run).results["TWO"]["text"] == "c"


def in_vain(step: Any) -> None:
    """Open the head, and leave nothing."""
    with suppress(ZeroDivisionError):
        step.effect(DW, lambda _db: 1 / 0)
    raise ValueError("no luck")


@on_mariadb
@pytest.mark.parametrize("undone", [False, True])
def test_a_name_that_a_lost_step_has_used_up_is_free_again_for_the_one_that_has_it_now(
    lost: Lost, undone: bool
) -> None:
    acts: dict[str, Act] = {"one": in_vain, "two": whole("c")}
    with plays.playing("p", **acts):
        run = lost.before.start("forked", {"name": "p"}).id
        lost.copies.append(backup(lost.url, lost.fresh_url))
        lost.before.send(run, "go")
        assert worked(lost.before, run) == "rolled_back"
        if not undone:
            again = "status = 'open', undo_token = 0, undoing_at = NULL, undone_at = NULL"
            change(lost.dw, f"UPDATE {HEADS[sa.make_url(lost.dw).get_backend_name()]} SET {again}")
        engine = lost.restored()
        engine.send(run, "abort")
        assert worked(engine, run) == "parked"
        looked = engine.reconcile(run, dry_run=True)
        assert (verdicts(looked), looked.in_step) == ([("ONE 1", "unknown", True)], True)
        engine.reconcile(run)
        assert (worked(engine, run), loaded(lost.dw)) == ("completed", ["c"])
        assert engine.reconcile(run).steps == ()


@crossed
def test_a_step_that_had_touched_nothing_yet_is_undone_where_it_has_written_since(lost: Lost) -> None:
    acts = {"one": load("a"), "undo one": unload("a")}
    with plays.playing("p", **acts):
        run = lost.before.start("play", {"name": "p"}).id
        lost.copies.append(backup(lost.url, lost.fresh_url))
        assert worked(lost.before, run) == "completed"
        assert loaded(lost.dw) == ["a"]
        engine = lost.restored()
        looked = engine.reconcile(run, dry_run=True)
        assert verdicts(looked) == [("ONE 1", "ahead", True)]
        engine.reconcile(run)
        engine.rollback(run)
        assert (worked(engine, run), loaded(lost.dw)) == ("rolled_back", [])


@crossed
def test_a_step_that_had_touched_nothing_yet_goes_on_and_gets_what_is_recorded(lost: Lost) -> None:
    with plays.playing("p", one=load("a")):
        run = lost.before.start("play", {"name": "p"}).id
        lost.copies.append(backup(lost.url, lost.fresh_url))
        assert worked(lost.before, run) == "completed"
        engine = lost.restored()
        engine.reconcile(run)
        assert (worked(engine, run), loaded(lost.dw)) == ("completed", ["a"])


@crossed
def test_a_run_that_moves_while_it_is_compared_is_compared_again(lost: Lost, monkeypatch: pytest.MonkeyPatch) -> None:
    with plays.playing("p", one=load("a"), two=load("c")):
        engine = lost.before
        run = engine.start("play", {"name": "p"}).id
        look, looks = reconcile._rows, list[str]()

        def meanwhile(targets: Any, name: str, *more: Any) -> Any:
            if not looks:
                worked(engine, run)
            looks.append(name)
            return look(targets, name, *more)

        monkeypatch.setattr(reconcile, "_rows", meanwhile)
        found = engine.reconcile(run)
    assert (found.status, found.steps, len(looks)) == ("completed", (), 2)
    assert read(lost.dw, "SELECT DISTINCT status FROM {ledger}.saga_ledger_heads") == [("open",)]


@on_mariadb
def test_a_run_does_not_go_back_and_leave_behind_what_only_the_ledger_knows(lost: Lost) -> None:
    acts = {"one": load("a"), "two": load("c"), "undo one": unload("a"), "undo two": unload("c")}
    with plays.playing("p", **{**acts, "one": lost.takes(acts["one"])}):
        run = lost.before.start("play", {"name": "p"}).id
        assert worked(lost.before, run) == "completed"
    engine = lost.restored()
    with plays.playing("p", **acts):
        assert worked(engine, run) == "parked"
        engine.rollback(run)
        assert (worked(engine, run), loaded(lost.dw)) == ("parked", ["a", "c"])
        engine.reconcile(run)
        assert (worked(engine, run), loaded(lost.dw)) == ("parked", ["a", "c"])
        left = engine.reconcile(run)
        assert (verdicts(left), left.in_step) == ([("TWO 1", "unknown", False)], False)
        change(lost.dw, "DELETE FROM loaded WHERE part = 'c'")
        engine.settle(run, left.steps[0].task)
        assert engine.reconcile(run).in_step
        assert (worked(engine, run), loaded(lost.dw)) == ("rolled_back", [])


@crossed
def test_a_reconciliation_that_is_cut_off_anywhere_is_simply_called_again(lost: Lost) -> None:
    acts = {"one": load("a"), "two": load("c")}
    with plays.playing("p", **{**acts, "one": lost.takes(acts["one"])}):
        run = lost.before.start("play", {"name": "p"}).id
        assert worked(lost.before, run) == "completed"
    engine = lost.restored()
    with plays.playing("p", **acts):
        assert worked(engine, run) == "parked"
        for point in ("ledger.strays.renamed", "ledger.aside.after_commit", "store.write.before_commit"):

            def dies(name: str, at: str = point) -> None:
                if name == at:
                    raise failpoints.Injected(name)

            with failpoints.switched_on(dies), suppress(failpoints.Injected):
                engine.reconcile(run)
            assert engine.get(run).status == "parked"
        engine.reconcile(run)
        assert worked(engine, run) == "completed"
    assert loaded(lost.dw) == ["a", "c"]


@crossed
def test_a_run_that_was_started_after_the_backup_is_told_by_the_doctor(lost: Lost) -> None:
    with plays.playing("p", one=load("a")):
        assert worked(lost.before, lost.before.start("play", {"name": "p"}).id) == "completed"
        lost.copies.append(backup(lost.url, lost.fresh_url))
        later = lost.before.start("play", {"name": "p"}).id
        assert worked(lost.before, later) == "completed"
    assert [s for s in examine(lost.before.settings, lost.before.registry) if s.area == "ledger"] == []
    engine = lost.restored()
    ((found),) = [s for s in examine(engine.settings, engine.registry) if s.area == "ledger"]
    assert (found.state, later in found.text, "knows 1 runs" in found.text) == ("problem", True, True)
    lost.before.prune(seconds(0))
    assert [s for s in examine(lost.before.settings, lost.before.registry) if s.area == "ledger"] == []


@crossed
@pytest.mark.parametrize(
    ("statements", "verdict", "says"),
    [
        (
            ["DELETE FROM {ledger}.saga_ledger_parts", "DELETE FROM {ledger}.saga_ledger_heads"],
            "behind",
            "is the older",
        ),
        (["UPDATE {ledger}.saga_ledger SET uuid = 'another'"], "lost", "has the ledger another"),
        (["DELETE FROM {ledger}.saga_ledger"], "lost", "it has no uuid"),
        (
            [f"DROP TABLE {{ledger}}.saga_ledger{name}" for name in ("_parts", "_heads", "")],
            "lost",
            "has lost its ledger",
        ),
    ],
    ids=["older", "another", "no uuid", "gone"],
)
def test_a_target_that_was_restored_is_told_and_left_to_a_person(
    lost: Lost, statements: list[str], verdict: str, says: str
) -> None:
    with plays.playing("p", one=load("a")):
        run = lost.before.start("held", {"name": "p"}).id
        assert worked(lost.before, run) == "waiting"
    for statement in statements:
        change(lost.dw, statement)
    revision = lost.before.get(run).revision
    found = lost.before.reconcile(run)
    ((step),) = [step for step in found.steps if step.verdict == verdict]
    assert (says in step.text, found.in_step, bool(step.next)) == (True, False, True)
    assert lost.before.get(run).revision == revision


@crossed
def test_only_a_step_that_no_store_knows_is_settled_by_hand(lost: Lost) -> None:
    with plays.playing("p", one=load("a")):
        run = lost.before.start("play", {"name": "p"}).id
        assert worked(lost.before, run) == "completed"
    for task in (f"{run}.1", "nothing"):
        with pytest.raises(errors.Conflict, match="is no step that only a ledger knows"):
            lost.before.settle(run, task)
    assert read(lost.dw, "SELECT status FROM {ledger}.saga_ledger_heads") == [("open",)]


@crossed
def test_a_ledger_row_says_which_step_it_is_of(lost: Lost) -> None:
    with plays.playing("p", one=load("a")):
        assert worked(lost.before, lost.before.start("play", {"name": "p"}).id) == "completed"
    assert read(lost.dw, "SELECT step FROM {ledger}.saga_ledger_heads") == [("ONE 1",)]


@on_mariadb
def test_the_engine_asks_the_ledger_in_the_range_of_its_key(lost: Lost) -> None:
    """In whatever order the database puts text."""
    engine = sa.create_engine(lost.dw, poolclass=sa.NullPool)
    with engine.connect() as db:
        run = "01a2176340c07e5b9fc8b0f884f762a0"
        for name in (f"{run}.1", f"{run}.12.3", f"{run}.ONE.1"):
            inside = db.execute(
                sa.text("SELECT :n > :run AND :n < :behind"), {"n": name, "run": run, "behind": f"{run}g"}
            )
            assert inside.scalar_one()
