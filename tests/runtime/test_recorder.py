"""The recorder: reports in, one transaction, an answer for each run; no worker, no thread, the real stores."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from saga_engine.domain import events as e
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Snapshot
from saga_engine.errors import OutcomeUnknown, StoreUnreachable
from saga_engine.failpoints import switched_on
from saga_engine.runtime import recorder, undecided
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.life import host
from saga_engine.runtime.recorder import Outcome, Recorder, one_each
from saga_engine.runtime.undecided import Undecided
from saga_engine.store import claims, incarnations, schema
from saga_engine.store.claims import Menu
from saga_engine.store.incarnations import Birth
from tests.runtime import plays
from tests.runtime.conftest import Opened

ME = "me"
ANY = 100


class Desk:
    """An engine, a life of a worker that only claims, and its recorder."""

    def __init__(self, engine: Engine, runs: int = 1, *, leases: bool = False) -> None:
        self.engine = engine
        self.ids = [engine.start("play", {"n": n}).id for n in range(runs)]
        self.asked: list[tuple[str, str]] = []
        """The heads that the worker was asked about, by run and state."""
        self._answer = leases
        self.undecided = Undecided()
        self.recorder = Recorder(engine.door, ME, self._leases, self.undecided)
        birth = Birth(ME, host(), 1, "/run/x", 1, 2, "boot", ("default",), {}, {}, 8)
        with engine.store.write() as db:
            incarnations.begin(db, birth, engine.store.clock(db), timedelta(hours=1))
        self.claim()

    def claim(self) -> None:
        menu = Menu(("default",), tuple(self.engine.door.pins().values()), host())
        with self.engine.store.write() as db:
            claims.claim(db, ME, menu, "action", ANY, self.engine.store.clock(db))

    def runs(self) -> list[Snapshot]:
        found = self.recorder.fresh(self.ids)
        return [found[run] for run in self.ids]

    def record(self, *values: str) -> Outcome:
        """A success of each run's head, with these results."""
        return self.recorder.record(
            [(run, success(run, value)) for run, value in zip(self.runs(), values, strict=True)]
        )

    def kinds(self) -> list[list[str]]:
        """The histories."""
        return [[line.kind for line in self.engine.history(run)] for run in self.ids]

    def _leases(self, run: Snapshot) -> bool:
        self.asked.append((run.run_id, run.state))
        return self._answer


def success(run: Snapshot, value: str = '{"n":1}') -> e.ActionSucceeded:
    head = run.head()
    assert head is not None
    return e.ActionSucceeded(head.name, head.attempt, ME, value)


def states(outcome: Outcome) -> list[str]:
    return [recorded.run.state for recorded in outcome.done]


@pytest.fixture
def desk(opened: Opened) -> Desk:
    return Desk(opened(plays.saga()), 3)


def test_a_batch_is_one_transaction_and_an_answer_for_each_run(desk: Desk) -> None:
    seen: list[str] = []
    with switched_on(seen.append):
        outcome = desk.record('{"n":1}', '{"n":2}', '{"n":3}')
    assert (states(outcome), outcome.moved) == (["TWO", "TWO", "TWO"], [])
    assert seen.count("store.write.after_commit") == 1
    assert seen.count("runtime.recorder.recorded") == 1
    assert [recorded.run for recorded in outcome.done] == desk.runs()
    assert desk.kinds() == [["RunStarted", "ActionSucceeded"]] * 3


def test_a_run_that_has_moved_is_handed_back_and_its_neighbours_are_recorded(desk: Desk) -> None:
    before = desk.runs()
    desk.engine.pause(desk.ids[1], actor="ann")
    reports = [success(run) for run in before]
    outcome = desk.recorder.record(list(zip(before, reports, strict=True)))
    assert (states(outcome), outcome.moved) == (["TWO", "TWO"], [reports[1]])
    again = desk.recorder.record([(desk.runs()[1], reports[1])])
    assert (states(again), again.moved) == (["TWO"], [])
    assert desk.kinds()[1] == ["RunStarted", "PauseRequested", "ActionSucceeded"]


def test_a_report_that_counts_no_more_changes_nothing(desk: Desk) -> None:
    [run, *_] = desk.runs()
    late = replace(success(run), attempt=7)
    seen: list[str] = []
    with switched_on(seen.append):
        outcome = desk.recorder.record([(run, late)])
    assert ([(done.report, done.run) for done in outcome.done], outcome.moved) == ([(late, run)], [])
    assert "store.write.begun" not in seen
    assert desk.runs()[0] == run


def test_that_nothing_follows_is_not_decided_on_the_past(desk: Desk) -> None:
    """An attempt did not end though asked to; who says so has not read yet that it was asked."""
    before, *_ = desk.runs()
    desk.engine.cancel(before.run_id, actor="ann")
    [task] = before.tasks
    lost = e.AttemptLost(task.name, task.attempt, ME, crashes=0, known_dead=False, runner="this worker, which gave up")
    assert desk.recorder.record([(before, lost)]) == Outcome([], [lost])
    now, *_ = desk.runs()
    outcome = desk.recorder.record([(now, lost)])
    assert [task.parked.code for task in outcome.done[0].run.tasks if task.parked] == ["W23"]


def test_one_that_cannot_be_decided_is_a_failed_attempt_and_its_neighbours_are_recorded(desk: Desk) -> None:
    outcome = desk.record('{"n":1}', '{"n":"many"}', '{"n":3}')
    assert (states(outcome), outcome.moved) == (["TWO", "BACK", "TWO"], [])
    [failed] = [line.event for line in desk.engine.history(desk.ids[1]) if line.kind == "ActionFailed"]
    assert (failed["error"], failed["final"]) == ("the result cannot be recorded: ValidationError", True)


def test_a_store_that_goes_away_while_a_failure_is_recorded_raises_and_nothing_is_lost(desk: Desk) -> None:
    [run, *_] = desk.runs()
    report = success(run, '{"n":"many"}')

    def away(name: str) -> None:
        if name == "store.record.before_write":
            raise StoreUnreachable(url="the store", reason="the test says so")

    with switched_on(away), pytest.raises(StoreUnreachable):
        desk.recorder.record([(run, report)])
    assert (desk.runs()[0], desk.undecided.leases()) == (run, set())
    assert states(desk.recorder.record([(run, report)])) == ["BACK"]


def spoil(desk: Desk, run: str, revision: int = 2) -> None:
    """Write into the store by hand: whatever is decided of the run, its journal line is there already."""
    with desk.engine.store.write() as db:
        taken = sa.select(schema.journal).where(schema.journal.c.run == schema.number_of(run)).limit(1)
        row = db.execute(taken).one()._asdict() | {"revision": revision}
        db.execute(sa.insert(schema.journal), row)


def test_one_whose_failure_cannot_be_recorded_either_holds_up_nobody_and_nothing_of_it_has_moved(desk: Desk) -> None:
    before = desk.runs()
    spoil(desk, desk.ids[1])
    with capture_logs() as logged:
        outcome = desk.record('{"n":1}', '{"n":2}', '{"n":3}')
    assert (states(outcome), outcome.moved) == (["TWO", "TWO"], [])
    assert [run.state for run in desk.runs()] == ["TWO", "ONE", "TWO"]
    assert desk.runs()[1] == before[1]
    [said] = [line for line in logged if line["event"] == "run.undecidable"]
    assert (said["run"], said["log_level"]) == (desk.ids[1], "error")
    assert said["error"] in {"IntegrityError", "UniqueViolation"}
    [(task, attempt)] = desk.undecided.leases()
    assert (task.partition(".")[0], attempt) == (desk.ids[1], 1)
    why, at_work = desk.engine.why(desk.ids[1]).reasons
    text = f"what came of the step of ONE cannot be recorded ({said['error']}): its worker tries again every 10 s"
    assert (why.code, why.sentence, why.next, at_work.code) == ("W25", text, (), "W00")
    assert "W25" not in [reason.code for reason in desk.engine.why(desk.ids[0]).reasons]


@pytest.mark.parametrize("trouble", [StoreUnreachable(url="the store", reason="the test says so"), ValueError("no")])
def test_one_of_which_the_store_may_not_even_be_told_holds_up_nobody(desk: Desk, trouble: Exception) -> None:
    spoil(desk, desk.ids[1])

    def refused(name: str) -> None:
        if name == "store.findings.before_insert":
            raise trouble

    with capture_logs() as logged, switched_on(refused):
        outcome = desk.record('{"n":1}', '{"n":2}', '{"n":3}')
    assert (states(outcome), len(desk.undecided.leases())) == (["TWO", "TWO"], 1)
    [said] = [line for line in logged if line["event"] == "run.undecidable.unsaid"]
    assert (said["run"], said["reason"]) == (desk.ids[1], type(trouble).__name__)


def test_what_could_not_be_recorded_is_tried_again_in_a_while_and_recorded_then(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(undecided, "monotonic", lambda: now[0])
    [_, run, _] = desk.runs()
    spoil(desk, run.run_id)
    desk.recorder.record([(run, success(run))])
    assert list(desk.undecided.due()) == []
    now[0] += undecided.AGAIN_SECONDS
    [again] = desk.undecided.due()
    assert (list(desk.undecided.due()), desk.undecided.leases()) == ([], set())
    with desk.engine.store.write() as db:
        db.execute(sa.delete(schema.journal).where(schema.journal.c.revision == 2))
    assert "W25" in [reason.code for reason in desk.engine.why(run.run_id).reasons]
    assert states(desk.recorder.record([(run, again)])) == ["TWO"], "what came of it is recorded as it was"
    assert "W25" not in [reason.code for reason in desk.engine.why(run.run_id).reasons]


def test_of_what_a_worker_could_not_record_nothing_is_said_when_it_is_gone(desk: Desk) -> None:
    """Then others have what it held: no keeper may have looked since."""
    spoil(desk, desk.ids[1])
    desk.record('{"n":1}', '{"n":2}', '{"n":3}')
    assert desk.engine.why(desk.ids[1]).reasons[0].code == "W25"
    with desk.engine.store.write() as db:
        incarnations.end(db, ME, desk.engine.store.clock(db), "dead")
    assert "W25" not in [reason.code for reason in desk.engine.why(desk.ids[1]).reasons]


@pytest.mark.parametrize("how", ["timed out", "lost"])
def test_an_attempt_that_may_still_run_is_never_taken_for_one_that_has_failed(desk: Desk, how: str) -> None:
    if how == "lost":
        desk.engine.cancel(desk.ids[1], actor="ann")
    [_, run, _] = desk.runs()
    spoil(desk, run.run_id, run.revision + 1)
    [task] = run.tasks
    report: e.Report = e.AttemptTimedOut(task.name, task.attempt, ME, "late")
    if how == "lost":
        report = e.AttemptLost(task.name, task.attempt, ME, crashes=0, known_dead=False, runner="me, which gave up")
    assert desk.recorder.record([(run, report)]) == Outcome([], [])
    assert desk.runs()[1] == run
    assert desk.undecided.leases() == {(task.name, task.attempt)}


def test_what_is_no_report_of_an_attempt_and_cannot_be_recorded_is_none_of_one_either(desk: Desk) -> None:
    """That an earlier attempt was lost: a failure in its place would say that the one at hand had begun."""
    [_, run, _] = desk.runs()
    spoil(desk, run.run_id)
    [task] = run.tasks
    lost = e.AttemptLost(task.name, task.attempt, ME, crashes=3, known_dead=True, runner="db-2 pid 7")
    assert desk.recorder.record([(run, lost)]) == Outcome([], [])
    assert desk.runs()[1] == run


def test_a_run_of_which_nothing_can_be_decided_is_asked_about_without_an_error(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    [run, *_] = desk.runs()
    [task] = run.tasks

    def raises(*_: object) -> None:
        message = "a defect"
        raise AssertionError(message)

    monkeypatch.setattr(recorder, "decide", raises)
    lost = desk.recorder.loss(run, replace(task, lost_by="db-2 pid 7"), 1, desk.recorder.now)
    assert lost is not None
    assert desk.recorder.record([(run, lost)]) == Outcome([], [])


def test_a_store_that_is_away_raises_and_the_batch_may_be_handed_in_again(desk: Desk) -> None:
    before = desk.runs()

    def away(name: str) -> None:
        if name == "store.record.before_write":
            raise StoreUnreachable(url="the store", reason="the test says so")

    with switched_on(away), pytest.raises(StoreUnreachable):
        desk.record('{"n":1}', '{"n":2}', '{"n":3}')
    assert desk.runs() == before
    assert states(desk.record('{"n":1}', '{"n":2}', '{"n":3}')) == ["TWO", "TWO", "TWO"]


@pytest.mark.parametrize(("point", "took"), [("store.write.before_commit", False), ("store.write.after_commit", True)])
def test_after_a_lost_answer_nothing_is_assumed_and_nothing_is_done_twice(desk: Desk, point: str, took: bool) -> None:
    before, reports = desk.runs(), [success(run) for run in desk.runs()]

    def lost(name: str) -> None:
        if name == point:
            raise OutcomeUnknown(url="the store", reason="the test lost it")

    with switched_on(lost):
        outcome = desk.recorder.record(list(zip(before, reports, strict=True)))
    assert (outcome.done, outcome.moved) == ([], reports)
    assert [run.state for run in desk.runs()] == (["TWO"] * 3 if took else ["ONE"] * 3)
    again = desk.recorder.record(list(zip(desk.runs(), reports, strict=True)))
    assert (states(again), again.moved) == (["TWO"] * 3, [])
    assert desk.kinds() == [["RunStarted", "ActionSucceeded"]] * 3


@pytest.mark.parametrize("leases", [True, False])
def test_what_is_due_next_is_leased_to_who_records_it_if_he_takes_it(opened: Opened, leases: bool) -> None:
    desk = Desk(opened(plays.saga()), leases=leases)
    [recorded] = desk.record('{"n":1}').done
    head = recorded.run.head()
    assert head is not None
    assert (head.state, head.attempt, head.leased_by) == ("TWO", 1, ME) if leases else ("TWO", 0, None)
    assert desk.asked == [(desk.ids[0], "TWO")]
    assert recorded.run == desk.runs()[0]


def test_what_is_not_due_is_no_action_or_belongs_to_a_paused_run_is_not_even_offered(opened: Opened) -> None:
    desk = Desk(opened(plays.saga()), 2, leases=True)
    failing, paused = desk.runs()
    head = failing.head()
    assert head is not None
    desk.recorder.record([(failing, e.ActionFailed(head.name, head.attempt, ME, "OSError: away"))])  # backs off
    desk.engine.pause(desk.ids[1], actor="ann")
    desk.recorder.record([(desk.runs()[1], success(paused))])
    assert desk.asked == []
    assert [run.state for run in desk.runs()] == ["ONE", "TWO"]


def test_what_was_lost_may_begin_again_where_nothing_follows_from_that(desk: Desk) -> None:
    run, *_ = desk.runs()
    head, now = run.head(), desk.engine.store.now()
    assert head is not None
    lost = replace(head, lost_by="db-1 pid 7", lost_dead=True)
    then = replace(run, tasks=tuple(lost if task is head else task for task in run.tasks))
    assert [desk.recorder.loss(run, head, 1, now), desk.recorder.loss(then, lost, 1, now)] == [None, None]
    found = e.AttemptLost(head.name, head.attempt, ME, crashes=3, known_dead=True, runner="db-1 pid 7")
    assert desk.recorder.loss(then, lost, 3, now) == found
    assert desk.runs()[0] == run


def test_the_clock_of_the_last_batch_is_kept(desk: Desk) -> None:
    assert desk.recorder.now.year == 1
    desk.record('{"n":1}', '{"n":2}', '{"n":3}')
    [entered] = {desk.engine.get(run).entered_at for run in desk.ids}
    assert abs(entered - desk.recorder.now) < timedelta(minutes=1)


def test_of_each_run_the_first_report_is_recorded_and_the_others_wait_their_turn() -> None:
    a, again, b, over = (e.ActionSucceeded(task, 1, ME) for task in ("a.1", "a.2", "b.1", "c.1"))
    assert one_each([a, again, b, over], 3) == ({"a": a, "b": b}, [again, over])
    assert one_each([], 3) == ({}, [])


def test_a_worker_outlives_a_run_that_cannot_be_recorded_and_its_task_is_handed_back_at_the_end(opened: Opened) -> None:
    engine = opened(plays.saga())
    stuck, other = (engine.start("play", {}).id for _ in range(2))
    line = sa.select(schema.journal).where(schema.journal.c.run == schema.number_of(stuck))
    taken = sa.delete(schema.journal).where(schema.journal.c.run == schema.number_of(stuck))
    with engine.store.write() as db:
        db.execute(sa.insert(schema.journal), db.execute(line).one()._asdict() | {"revision": 2})
    assert engine.work(until_idle=True) == 0
    assert (engine.get(stuck).state, engine.get(other).status) == ("ONE", "completed")
    [task] = engine.get(stuck).tasks
    assert (task.leased_by, task.attempt) == (None, 1)
    with engine.store.write() as db:
        db.execute(taken.where(schema.journal.c.revision == 2))
    engine.work(until_idle=True)
    assert engine.get(stuck).status == "completed"


def test_more_heads_than_a_life_can_hold_are_those_of_runs_that_it_has_lost(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(plays.saga())
    few, many = Desk(engine, runs=2, leases=True), Desk(engine, runs=3, leases=True)
    monkeypatch.setattr(recorder, "HEADS_MAX", 2)
    assert len(few.record('{"n":1}', '{"n":2}').done) == 2
    assert set(few.recorder._heads) == set(few.ids)
    assert len(many.record('{"n":1}', '{"n":2}', '{"n":3}').done) == 3
    assert many.recorder._heads == {}
