"""From one state to the next: order, what waits while a state is entered, and what an arriving event does."""

from __future__ import annotations

from datetime import timedelta

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Budget
from saga_engine.domain.snapshot import Snapshot, Task, UndoEntry
from tests.domain.driver import CANCEL, PAUSE, RETRY, ROLLBACK, START, Drive, drive, event
from tests.domain.sagas import ONE, Lines, S, bye, defer, hello, ignore, nothing, odd_note, one, reject, two


def noisy(saga: Lines) -> None:
    """A and B with all that a state can have."""
    saga.at(S.A, entering=hello, leaving=bye).run(one).then(S.B)
    steps = saga.at(S.B, entering=hello, leaving=bye).run(two)
    steps.on(reject, S.C).on(ignore, S.C).on(defer, S.C).then(S.DONE)
    saga.at(S.C).run(nothing).then(S.DONE)


def in_b() -> Drive:
    run = drive(noisy)
    run.succeeds()
    run.succeeds(ONE)
    return run


def test_a_run_begins_in_the_start_state_with_its_tasks_in_order() -> None:
    run = drive(noisy)
    hello_a = Task("r.1", "entering", "A", 1, 1, due_at=START)
    step_a = Task("r.1.1", "step", "A", 1, 2)
    assert run.run == Snapshot(
        "r", "t", 1, run.chart.digest, "{}", "ann",
        state="A", status="running", revision=1, transitions=1, visits={"A": 1},
        tasks=(hello_a, step_a), undo=(UndoEntry(1, "A", 1, "r.1.1", 1),),
    )  # fmt: skip
    assert run.journal == [
        (
            e.RunStarted("ann"),
            (
                c.Move("", "A", 1, "start"),
                c.AddTask(Task("r.1", "entering", "A", 1, 1)),
                c.AddTask(step_a),
                c.PushUndo(1, "A", 1, "r.1.1"),
                c.SetDue("r.1", START),
            ),
        )
    ]


def test_a_step_becomes_due_when_its_state_has_been_entered() -> None:
    run = drive(noisy)
    decision = run.succeeds()
    assert decision.commands == (c.CloseTask("r.1"), c.OpenState("A"), c.SetDue("r.1.1", START))
    assert (run.line, run.run.open) == (["step A: due 0:00:00"], True)


def test_leaving_entering_and_the_step_follow_one_another_and_only_the_head_is_due() -> None:
    run = in_b()
    assert (run.where, run.run.open) == (("B", "running"), False)
    assert run.line == ["leaving A: due 0:00:00", "entering B: held", "step B: held"]
    run.succeeds()
    assert run.line == ["entering B: due 0:00:00", "step B: held"]
    run.succeeds()
    assert (run.line, run.run.open) == (["step B: due 0:00:00"], True)


def test_the_tasks_of_one_decision_are_named_by_its_revision() -> None:
    assert [(task.name, task.kind) for task in in_b().run.line()] == [
        ("r.3", "leaving"),
        ("r.3.1", "entering"),
        ("r.3.2", "step"),
    ]


def test_a_new_visit_of_a_state_makes_a_task_of_a_new_name() -> None:
    run = drive(lambda saga: saga.at(S.A, leaving=bye).run(one).on(reject, S.A).then(S.DONE))
    assert (run.line, run.run.line()[0].name) == (["step A: due 0:00:00"], "r.1")
    run.send("reject")
    # The visit that ended is left, the one that began is entered.
    assert [(task.name, task.kind, task.visit) for task in run.run.line()] == [
        ("r.2", "leaving", 1),
        ("r.2.1", "step", 2),
    ]
    assert (run.run.visits, run.stack) == ({"A": 2}, ["A#1 dropped", "A#2 started"])


def test_leaving_runs_whichever_way_is_taken() -> None:
    failed = drive(lambda saga: saga.at(S.A, leaving=bye).run(one).then(S.DONE, failed=S.BACK))
    failed.fails()
    assert failed.line[0] == "leaving A: due 0:00:00"
    asked = drive(lambda saga: saga.at(S.A, leaving=bye).run(one).on(reject, S.BACK).then(S.DONE))
    asked.send("reject")
    assert asked.line[0] == "leaving A: due 0:00:00"
    cancelled = drive(lambda saga: saga.at(S.A, leaving=bye).run(one).then(S.DONE))
    cancelled.tell(CANCEL)
    assert cancelled.line[0] == "leaving A: due 0:00:00"


def test_a_result_is_kept_under_state_and_visit_with_the_revision_that_brought_it() -> None:
    run = in_b()
    assert [(r.state, r.visit, r.source, r.value, r.revision) for r in run.run.results] == [("A", 1, "one", ONE, 3)]


# --- while a state is entered


def entering_b() -> Drive:
    """B's leaving-of-A has run, its entering runs."""
    run = in_b()
    run.succeeds()
    run.claim()
    assert run.line == ["entering B: attempt 1", "step B: held"]
    return run


def test_an_event_that_the_state_takes_waits_until_it_has_been_entered() -> None:
    run = entering_b()
    run.send("reject")
    assert run.where == ("B", "running")
    assert [waiting.name for waiting in run.run.inbox] == ["reject"]
    assert run.beside == ["forget B: due 7 days, 0:00:00"]
    decision = run.succeeds()
    assert decision.commands == (
        c.CloseTask("r.3.1"),
        c.OpenState("B"),
        c.SetDue("r.3.2", START),
        c.TakeEvent(5, "taken"),
        c.CloseTask("r.5"),
        c.AddResult("B", 1, "event:reject", '{"text":""}'),
        c.SetUndo(2, "dropped"),
        c.CloseTask("r.3.2"),
        c.Move("B", "C", 1, "event:reject"),
        c.AddTask(Task("r.6", "leaving", "B", 1, 1)),
        c.AddTask(Task("r.6.1", "step", "C", 1, 2)),
        c.PushUndo(3, "C", 1, "r.6.1"),
        c.SetDue("r.6", START),
    )


def test_an_event_that_waits_raises_the_revision_and_is_a_line_of_the_journal() -> None:
    run = entering_b()
    run.send("reject")
    assert run.run.revision == 5
    assert run.journal[-1] == (
        event("reject"),
        (
            c.KeepEvent(5, "reject", '{"text":""}', "bob", "api", None),
            c.AddTask(Task("r.5", "timer", "B", 1, 0, START + timedelta(days=7), outcome="forget", about=5)),
        ),
    )


def takes_nothing(saga: Lines) -> None:
    """B takes no event; C, elsewhere, takes all three."""
    saga.at(S.A).run(one).then(S.B)
    saga.at(S.B, entering=hello).run(two).then(S.DONE)
    saga.at(S.C).run(nothing).on(reject, S.DONE).on(ignore, S.DONE).on(defer, S.DONE).then(S.DONE)


def test_an_event_that_the_state_does_not_take_is_treated_as_declared_while_it_is_entered() -> None:
    run = drive(takes_nothing)
    run.succeeds(ONE)
    assert run.line[0] == "entering B: due 0:00:00"
    assert str(run.refused(event("reject"))) == (
        "r is in B, which does not take the event reject. Here it takes: no event at all."
    )
    assert run.send("ignore").commands == (c.NoteEvent(3, "ignore", "api", None, "ignored"),)
    assert run.send("defer").commands[0] == c.KeepEvent(4, "defer", '{"text":""}', "bob", "api", None)
    assert run.line == ["entering B: due 0:00:00", "step B: held"]


def test_a_deadline_of_a_group_waits_until_the_state_has_been_entered() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B, entering=hello).run(two).then(S.DONE)
        saga.group(S.A, S.B, deadline=timedelta(hours=1)).then(timed_out=S.BACK)

    run = drive(write)
    run.succeeds(ONE)
    run.fires("timed_out")
    assert (run.where, run.beside) == (("B", "running"), ["timed_out GROUP_1: held"])
    run.succeeds()
    assert (run.line, run.beside) == (["step B: due 1:00:00"], ["timed_out GROUP_1: due 1:00:00"])
    run.fires("timed_out")
    assert run.where == ("UNDONE", "rolled_back")


def test_pause_passes_while_a_state_is_entered() -> None:
    run = in_b()
    run.tell(PAUSE)
    assert run.line == ["leaving A: resumes 0:00:00", "entering B: held", "step B: held"]


def test_cancel_passes_while_a_state_is_entered_and_the_state_is_never_left() -> None:
    run = entering_b()
    run.tell(CANCEL)
    # B's entering is asked to end; B has no leaving, because it was never entered; A has been left already.
    assert run.where == ("BACK", "running")
    assert run.line == ["entering B: ending, then leave"]
    assert run.stack == ["A#1 done", "B#1 dropped"]


def test_the_leaving_of_the_state_before_still_runs_when_a_cancel_passes() -> None:
    run = in_b()
    run.tell(CANCEL)
    assert run.line == ["leaving A: due 0:00:00"]
    running = in_b()
    running.claim()
    running.tell(ROLLBACK)
    assert running.line == ["leaving A: attempt 1"]


def test_a_notice_that_failed_for_good_is_skipped_by_cancel_and_rollback() -> None:
    for ask in (CANCEL, ROLLBACK):
        left = in_b()
        left.fails(final=True)
        assert (left.where, left.line[0]) == (("B", "parked"), "leaving A: parked W22")
        left.tell(ask)
        assert (left.where, left.line) == (("UNDONE", left.run.status), [])
        entered = in_b()
        entered.succeeds()
        entered.fails(final=True)
        entered.tell(ask)
        assert (entered.run.state, entered.line) == ("UNDONE", [])


# --- events, once a state is open


def test_an_event_is_taken_at_once_by_a_state_that_lists_it() -> None:
    run = in_b()
    run.succeeds()
    run.succeeds()
    assert run.send("reject", '{"text":"now"}').commands[:2] == (
        c.NoteEvent(6, "reject", "api", None, "taken"),
        c.AddResult("B", 1, "event:reject", '{"text":"now"}'),
    )
    assert run.where == ("C", "running")


def test_an_event_that_no_state_of_the_saga_lists_is_refused() -> None:
    error = in_b().refused(event("unheard_of"))
    assert str(error) == ("r is in B, which does not take the event unheard_of. Here it takes: reject, ignore, defer.")
    assert error.exit_code == 7


def deferring(saga: Lines) -> None:
    saga.at(S.A).run(one).then(S.B)
    saga.at(S.B).wait(defer, deadline=timedelta(hours=1)).then(S.C, timed_out=S.BACK)
    saga.at(S.C).wait(reject, deadline=timedelta(hours=1)).on(ignore, S.D).then(S.D, timed_out=S.BACK)
    saga.at(S.D).wait(defer, deadline=timedelta(hours=1)).then(S.DONE, timed_out=S.BACK)


def test_after_each_move_the_oldest_event_that_the_new_state_takes_is_taken() -> None:
    run = drive(deferring)
    run.send("defer", '{"text":"first"}')
    run.send("defer", '{"text":"second"}')
    assert run.succeeds(ONE).after.state == "C"
    assert run.results == [f"one {ONE}", 'event:defer {"text":"first"}']
    run.send("reject")
    assert run.where == ("DONE", "completed")
    assert run.results[2:] == ['event:reject {"text":""}', 'event:defer {"text":"second"}']


def test_a_deferred_event_is_forgotten_after_its_time_to_live() -> None:
    run = drive(deferring, Budget(deferred=timedelta(days=2)))
    run.send("defer")
    assert run.beside == ["forget A: due 2 days, 0:00:00"]
    decision = run.fires("forget")
    assert decision.commands == (c.CloseTask("r.2"), c.TakeEvent(2, "expired"))
    assert (run.run.inbox, run.beside, run.line) == ((), [], ["step A: due 0:00:00"])


def test_an_event_is_taken_though_its_time_to_live_was_set_shorter_since() -> None:
    run = drive(deferring)
    run.send("defer")
    run.budget = Budget(deferred=timedelta(days=1))
    assert run.succeeds(ONE).after.state == "C"


def test_the_time_to_live_of_an_event_goes_on_from_state_to_state() -> None:
    run = drive(noisy)
    run.send("defer")
    run.tell(CANCEL)
    assert run.beside == []  # the run has ended: nothing waits any more
    kept = drive(takes_nothing)
    kept.send("defer")
    kept.succeeds(ONE)
    assert kept.beside == ["forget A: due 7 days, 0:00:00"]


def test_what_waits_when_the_run_ends_is_noted_as_ended() -> None:
    run = drive(takes_nothing)
    run.send("defer")
    decision = run.tell(CANCEL)
    assert c.TakeEvent(2, "ended") in decision.commands
    assert (run.run.inbox, run.run.tasks) == ((), ())


def test_no_more_events_wait_than_the_bound_says() -> None:
    run = drive(takes_nothing, Budget(inbox=2))
    run.send("defer")
    run.send("defer")
    error = run.refused(event("defer"))
    assert (str(error), error.exit_code) == ("2 events wait for this run already; send it again when some are taken", 7)
    assert run.send("ignore").after.revision == 4  # what does not wait needs no room


def test_many_waiting_events_whose_guards_raise_are_all_parked_in_one_decision() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B).run(two).on(defer, S.C, when=odd_note).then(S.C)

    run = drive(write, Budget(transitions=1, inbox=50))
    for _ in range(50):
        run.send("defer")
    run.succeeds(ONE)
    run.tell(RETRY)
    assert (run.where, len(run.beside)) == (("B", "parked"), 100)


def test_an_event_key_is_remembered_whatever_becomes_of_the_event() -> None:
    keyed = e.EventReceived("ignore", '{"text":""}', "bob", "cli", "k-1")
    assert drive(takes_nothing).tell(keyed).commands == (c.NoteEvent(2, "ignore", "cli", "k-1", "ignored"),)
    kept = e.EventReceived("defer", '{"text":""}', "bob", "cli", "k-2")
    assert drive(takes_nothing).tell(kept).commands[0] == c.KeepEvent(2, "defer", '{"text":""}', "bob", "cli", "k-2")


def test_an_event_for_a_run_that_has_ended_is_refused() -> None:
    run = drive(takes_nothing)
    run.tell(CANCEL)
    error = run.refused(event("defer"))
    assert (str(error), error.exit_code) == ("r has ended: cancelled in UNDONE.", 7)
