"""A step that took no effect can be closed for good, so that nobody has to wonder about it later."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from saga_engine.errors import Superseded
from saga_engine.ledger import effect, schema, undo
from saga_engine.ledger.void import shut, void
from tests.ledger.conftest import Opened
from tests.ledger.support import Head, Loaded, apply, head, insert, key, loaded, make_table, part_rows, remove
from tests.ledger.test_races import PART_POINTS, late, meanwhile, outcome


def test_a_step_without_an_effect_is_closed_and_stays_so(target: Engine) -> None:
    effect.open_head(target, key(3))
    assert void(target, key(3)) is True
    assert void(target, key(3)) is True
    assert head(target) == Head("undone", 3, 3)
    with pytest.raises(Superseded):
        effect.open_head(target, key(4))


def test_a_step_that_never_came_to_the_target_is_closed_too(target: Engine) -> None:
    assert void(target, key(3)) is True
    with pytest.raises(Superseded):
        effect.open_head(target, key(4))
    assert head(target) == Head("undone", 0, 3)


def test_a_step_with_an_effect_is_left_as_it_is(target: Engine) -> None:
    effect.open_head(target, key(3))
    apply(target, key(3), "a")
    assert void(target, key(3)) is False
    assert head(target) == Head("open", 3, 0)
    apply(target, key(3), "b")
    assert loaded(target) == ["a", "b"]


def test_an_effect_that_was_undone_does_not_count(target: Engine) -> None:
    effect.open_head(target, key(1))
    apply(target, key(1), "a")
    undo.begin_undo(target, key(1))
    undo.undo_part(target, key(1), "a", remove("a"))
    assert void(target, key(2)) is True
    assert head(target) == Head("undone", 1, 2)


def test_a_late_part_is_seen_where_transactions_see_one_moment_unless_told_otherwise(
    postgres_url: str, opened: Opened
) -> None:
    target = opened(f"{postgres_url}?options=-c%20default_transaction_isolation%3Drepeatable%5C%20read")
    schema.create(target)
    make_table(target)
    effect.open_head(target, key(1))
    with late("ledger.part.before_commit", lambda: apply(target, key(1), "a", insert("a"))) as zombie:
        with meanwhile(lambda: void(target, key(1))) as closing:
            zombie.go_on()
        assert outcome(zombie.future) == Loaded(rows=1)
        assert outcome(closing) is False
    assert (head(target), loaded(target)) == (Head("open", 1, 0), ["a"])


@pytest.mark.parametrize("point", ["ledger.head.after_commit", *PART_POINTS])
def test_a_late_part_is_either_seen_or_refused(target: Engine, point: str) -> None:
    def forward() -> None:
        effect.open_head(target, key(1))
        apply(target, key(1), "a", insert("a"))

    with late(point, forward) as zombie:
        with meanwhile(lambda: void(target, key(1))) as closing:
            zombie.go_on()
        closed = outcome(closing)
        assert outcome(zombie.future) is (Superseded if closed else None)
    assert (closed, loaded(target)) in [(True, []), (False, ["a"])]
    assert [status for _, status, *_ in part_rows(target)] == ["applied"] * len(loaded(target))


def test_a_step_is_shut_whatever_is_in_effect_and_who_shut_it_is_told(target: Engine) -> None:
    effect.open_head(target, key(3))
    apply(target, key(3), "a")
    assert [[part.part for part in shut(target, key(1), most).parts] for most in (5, 5)] == [["a"], []]
    assert head(target) == Head("undoing", 3, 1)
    with pytest.raises(Superseded):
        apply(target, key(3), "b")
    assert [part.part for part in undo.applied(target, key(1))] == ["a"]


def test_a_step_that_never_came_to_the_target_is_shut_too(target: Engine) -> None:
    assert shut(target, key(1), 5) == (1, [])
    with pytest.raises(Superseded):
        effect.open_head(target, key(4))


def test_who_shuts_a_step_takes_nothing_from_a_newer_attempt_of_its_undo(target: Engine) -> None:
    effect.open_head(target, key(1))
    apply(target, key(1), "a")
    undo.begin_undo(target, key(3))
    assert shut(target, key(1), 5) == (3, [])
    assert head(target) == Head("undoing", 1, 3)
    assert shut(target, key(4), 5) == (4, [])
    with pytest.raises(Superseded):
        undo.undo_part(target, key(3), "a", remove("a"))


@pytest.mark.parametrize("point", ["ledger.head.after_commit", *PART_POINTS])
def test_a_part_that_comes_late_is_in_effect_before_the_step_is_shut_or_refused(target: Engine, point: str) -> None:
    def forward() -> None:
        effect.open_head(target, key(1))
        apply(target, key(1), "a", insert("a"))

    with late(point, forward) as zombie:
        with meanwhile(lambda: shut(target, key(1), 5)) as shutting:
            zombie.go_on()
        seen = [part.part for part in outcome(shutting).parts]
        assert outcome(zombie.future) is (None if seen else Superseded)
    assert loaded(target) == seen
