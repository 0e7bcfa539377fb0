"""A step that took no effect can be closed for good, so that nobody has to wonder about it later."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from saga_engine.errors import Superseded
from saga_engine.ledger import effect, undo
from saga_engine.ledger.void import void
from tests.ledger.support import Head, apply, head, insert, key, loaded, part_rows, remove
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
