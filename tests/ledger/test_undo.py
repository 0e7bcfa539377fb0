"""An undo closes the step first, undoes what is in effect, once, and is finished only when nothing is left."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from saga_engine.errors import LedgerMissing, Superseded, UndoIncomplete, UndoNotVerified
from saga_engine.ledger import effect, undo
from saga_engine.ledger.parts import Part
from saga_engine.ledger.prune import TASKS_MAX, prune
from tests.ledger.support import (
    STORE,
    Head,
    apply,
    head,
    key,
    loaded,
    part_rows,
    remove,
    rows,
    undo_all,
)


def must_not_be_called(db: Connection) -> Any:
    pytest.fail("the work was called")


@pytest.fixture
def applied(target: Engine) -> Engine:
    """A target in which attempt 2 of a step has applied c, a and b, in this order."""
    effect.open_head(target, key(2))
    for part in "cab":
        apply(target, key(2), part)
    return target


def test_a_whole_undo_takes_back_every_part(applied: Engine) -> None:
    undo_all(applied, key(1))
    assert (loaded(applied), head(applied)) == ([], Head("undone", 2, 1))
    assert [status for _, status, *_ in part_rows(applied)] == ["undone", "undone", "undone"]


def test_parts_are_told_in_the_order_in_which_they_were_started(applied: Engine) -> None:
    one, two, three = (Part(name, '{"rows":1}') for name in "cab")
    assert undo.applied(applied, key(1)) == [one, two, three]
    assert undo.applied(applied, key(1), at_most=2) == [one, two]
    undo.begin_undo(applied, key(1))
    undo.undo_part(applied, key(1), "a", remove("a"))
    assert undo.applied(applied, key(1)) == [one, three]


def test_a_part_is_undone_once(applied: Engine) -> None:
    undo.begin_undo(applied, key(1))
    assert undo.undo_part(applied, key(1), "a", lambda db: (remove("a")(db), "done")[1]) == "done"
    assert undo.undo_part(applied, key(1), "a", must_not_be_called) is None
    assert loaded(applied) == ["b", "c"]


def test_a_part_that_was_never_applied_is_not_undone(applied: Engine) -> None:
    undo.begin_undo(applied, key(1))
    assert undo.undo_part(applied, key(1), "d", must_not_be_called) is None


def test_without_a_part_one_transaction_undoes_all_that_is_left(applied: Engine) -> None:
    undo.begin_undo(applied, key(1))
    undo.undo_part(applied, key(1), "a", remove("a"))
    undo.undo_part(applied, key(1), None, remove())
    assert undo.undo_part(applied, key(1), None, must_not_be_called) is None
    undo.finish_undo(applied, key(1), None)
    assert (loaded(applied), head(applied)) == ([], Head("undone", 2, 1))


def test_an_undo_that_fails_leaves_its_part_in_effect(applied: Engine) -> None:
    def fails(db: Connection) -> None:
        remove("a")(db)
        raise ZeroDivisionError

    undo.begin_undo(applied, key(1))
    with pytest.raises(ZeroDivisionError):
        undo.undo_part(applied, key(1), "a", fails)
    assert (loaded(applied), len(undo.applied(applied, key(1)))) == (["a", "b", "c"], 3)


def test_the_undo_of_a_step_that_never_ran_leaves_a_tombstone(target: Engine) -> None:
    undo.begin_undo(target, key(1))
    assert head(target) == Head("undoing", 0, 1)
    assert undo.applied(target, key(1)) == []
    assert undo.undo_part(target, key(1), None, must_not_be_called) is None
    undo.finish_undo(target, key(1), None)
    assert head(target) == Head("undone", 0, 1)


@pytest.mark.parametrize("finished", [False, True], ids=["undoing", "undone"])
def test_a_late_attempt_finds_the_tombstone_and_writes_nothing(target: Engine, finished: bool) -> None:
    undo.begin_undo(target, key(1))
    if finished:
        undo.finish_undo(target, key(1), None)
    with pytest.raises(Superseded, match="the step is being undone"):
        effect.open_head(target, key(7))
    with pytest.raises(Superseded, match="the step is being undone"):
        apply(target, key(7), "a", must_not_be_called)
    assert (loaded(target), part_rows(target)) == ([], [])


def test_a_late_part_of_an_attempt_that_had_opened_the_head_is_refused_after_the_undo_began(applied: Engine) -> None:
    undo.begin_undo(applied, key(1))
    with pytest.raises(Superseded, match="the step is being undone"):
        apply(applied, key(2), "d", must_not_be_called)
    undo_all(applied, key(2))
    with pytest.raises(Superseded, match="the step is being undone"):
        apply(applied, key(2), "a", must_not_be_called)
    assert loaded(applied) == []


def test_an_undo_that_leaves_parts_has_failed_and_names_them(applied: Engine) -> None:
    undo.begin_undo(applied, key(1))
    undo.undo_part(applied, key(1), "c", remove("c"))
    with pytest.raises(UndoIncomplete, match=r"has left parts applied in dw: 'a', 'b'\. "):
        undo.finish_undo(applied, key(1), lambda: pytest.fail("verified before all was undone"))
    assert head(applied) == Head("undoing", 2, 1)


def test_only_a_few_of_many_parts_are_named(target: Engine) -> None:
    effect.open_head(target, key(1))
    for number in range(7):
        apply(target, key(1), f"p{number}")
    undo.begin_undo(target, key(1))
    with pytest.raises(UndoIncomplete, match=r"in dw: 'p0', 'p1', 'p2', 'p3', 'p4', …\. "):
        undo.finish_undo(target, key(1), None)


def test_an_undo_that_is_not_verified_has_failed_and_may_be_tried_again(applied: Engine) -> None:
    undo.begin_undo(applied, key(1))
    undo.undo_part(applied, key(1), None, remove())
    with pytest.raises(UndoNotVerified, match="dw is not as it was before"):
        undo.finish_undo(applied, key(1), lambda: False)
    assert head(applied) == Head("undoing", 2, 1)
    undo_all(applied, key(2))
    assert head(applied) == Head("undone", 2, 2)


def test_a_verification_that_raises_is_no_verification(applied: Engine) -> None:
    def verify() -> bool:
        raise ZeroDivisionError

    undo.begin_undo(applied, key(1))
    undo.undo_part(applied, key(1), None, remove())
    with pytest.raises(ZeroDivisionError):
        undo.finish_undo(applied, key(1), verify)
    assert head(applied) == Head("undoing", 2, 1)


def test_a_verification_may_read_and_write_the_target(applied: Engine) -> None:
    """No transaction of the ledger is open meanwhile, which SQLite would make it wait for."""
    undo.begin_undo(applied, key(1))

    def verify() -> bool:
        with applied.begin() as db:
            remove()(db)
        return loaded(applied) == []

    undo.undo_part(applied, key(1), None, lambda _: None)
    undo.finish_undo(applied, key(1), verify)
    assert head(applied) == Head("undone", 2, 1)


def test_a_finished_undo_may_be_called_again_and_does_nothing(applied: Engine) -> None:
    undo_all(applied, key(1))
    undo.begin_undo(applied, key(2))
    assert undo.applied(applied, key(2)) == []
    assert undo.undo_part(applied, key(2), "a", must_not_be_called) is None
    undo.finish_undo(applied, key(2), lambda: pytest.fail("verified again"))
    assert head(applied) == Head("undone", 2, 2)


def test_an_older_attempt_of_the_undo_is_refused_once_a_newer_one_has_begun(applied: Engine) -> None:
    undo.begin_undo(applied, key(1))
    undo.begin_undo(applied, key(2))
    taken_over = r"attempt 2 of its undo has taken over from attempt 1$"
    with pytest.raises(Superseded, match=taken_over):
        undo.begin_undo(applied, key(1))
    with pytest.raises(Superseded, match=taken_over):
        undo.undo_part(applied, key(1), "a", must_not_be_called)
    with pytest.raises(Superseded, match=taken_over):
        undo.undo_part(applied, key(1), None, must_not_be_called)
    with pytest.raises(Superseded, match=taken_over):
        undo.finish_undo(applied, key(1), lambda: True)
    assert (loaded(applied), head(applied)) == (["a", "b", "c"], Head("undoing", 2, 2))


def test_an_undo_that_did_not_begin_is_refused(applied: Engine) -> None:
    with pytest.raises(Superseded):
        undo.undo_part(applied, key(1), "a", must_not_be_called)
    with pytest.raises(Superseded):
        undo.finish_undo(applied, key(1), None)
    assert head(applied) == Head("open", 2, 0)


def test_attempts_of_the_step_and_of_its_undo_are_counted_apart(target: Engine) -> None:
    effect.open_head(target, key(9))
    apply(target, key(9), "a")
    undo_all(target, key(1))
    assert (loaded(target), head(target)) == ([], Head("undone", 9, 1))


def test_an_undo_where_there_is_no_ledger_says_so(bare: Engine) -> None:
    with pytest.raises(LedgerMissing):
        undo.begin_undo(bare, key(1))


def test_a_new_visit_of_the_state_is_not_touched_by_the_old_undo(target: Engine) -> None:
    old, new = key(1, task="r.4"), key(1, task="r.9")
    for attempt in (old, new):
        effect.open_head(target, attempt)
        apply(target, attempt, "a")
    undo_all(target, old)
    assert (loaded(target, "r.4"), loaded(target, "r.9")) == ([], ["a"])
    assert head(target, "r.9") == Head("open", 1, 0)


def test_pruning_takes_the_rows_of_the_named_tasks_only(target: Engine) -> None:
    for task in ("r.1", "r.2", "s.1"):
        effect.open_head(target, key(1, task=task))
        apply(target, key(1, task=task), "a")
    gone = [f"unknown.{number}" for number in range(TASKS_MAX)]
    assert prune(target, STORE, ["r.1", *gone, "r.2"]) == 2
    assert prune(target, "another store", ["s.1"]) == 0
    assert rows(target, "SELECT task FROM {ledger}.saga_ledger_heads") == [("s.1",)]
    assert rows(target, "SELECT task FROM {ledger}.saga_ledger_parts") == [("s.1",)]
