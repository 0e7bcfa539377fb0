"""What a ledger knows of a run and its store does not: refused, set aside, taken over by who it is of, settled."""

from __future__ import annotations

from typing import Final

import pytest
from sqlalchemy import Engine

from saga_engine.errors import Superseded
from saga_engine.ledger import effect, evidence, strays, undo
from saga_engine.ledger.heads import Key
from saga_engine.ledger.traces import Standing, standing_of
from tests.ledger.support import STORE, Head, apply, head, key, loaded, part_rows, remove

RUN: Final = "0197a1b2c3d47e5f8a6b7c8d9e0f1a2b"
OLD, NEW, LATER = f"{RUN}.4", f"{RUN}.6", f"{RUN}.8"
LOADING, CHECKING = "LOADING 1", "CHECKING 1"
ASIDE: Final = f"{RUN}.LOADING.1"


def of(task: str, token: int, step: str | None = LOADING) -> Key:
    return Key(STORE, task, token, None, step)


def done(target: Engine, task: str = OLD, step: str | None = LOADING, *parts: str) -> None:
    """A step that has applied its parts, `a` if none is named."""
    effect.open_head(target, of(task, 2, step))
    for part in parts or ("a",):
        apply(target, of(task, 2, step), part)


def aside(target: Engine) -> None:
    done(target)
    [row] = strays.of_run(target, STORE, RUN)
    strays.set_aside(target, STORE, row)


def test_every_step_of_a_run_is_told_and_none_of_another(target: Engine) -> None:
    done(target, OLD, LOADING, "a", "b")
    done(target, NEW, None)
    done(target, f"{RUN[:-1]}c.4")
    undo.begin_undo(target, of(OLD, 1))
    undo.undo_part(target, of(OLD, 1), "a", remove("a", OLD))
    rows = strays.of_run(target, STORE, RUN)
    assert rows == [strays.Row(OLD, LOADING, "undoing", 2, 1, 1), strays.Row(NEW, None, "open", 2, 0, 1)]
    assert [(row.run, row.is_aside) for row in rows] == [(RUN, False), (RUN, False)]
    assert strays.of_run(target, "another store", RUN) == []


def test_the_youngest_come_first_and_no_more_than_are_asked_for(target: Engine) -> None:
    for task in (OLD, f"f{RUN[1:]}.4", NEW):
        done(target, task)
    assert [row.task for row in strays.newest(target, STORE, 2)] == [f"f{RUN[1:]}.4", NEW]


def test_what_the_store_does_not_know_refuses_an_attempt_and_an_undo(target: Engine) -> None:
    done(target)
    with pytest.raises(Superseded, match=rf"it knows the step {OLD}, LOADING 1, of this run, and this store does not"):
        effect.open_head(target, of(NEW, 1), known=())
    with pytest.raises(Superseded, match=f"it knows the step {OLD}"):
        undo.begin_undo(target, of(NEW, 1), known=())
    assert (head(target, NEW), head(target, OLD)) == (None, Head("open", 2, 0))


def test_a_row_of_before_steps_were_named_is_told_without_one(target: Engine) -> None:
    done(target, OLD, None)
    with pytest.raises(Superseded, match=f"it knows the step {OLD} of this run"):
        effect.open_head(target, of(NEW, 1), known=())


@pytest.mark.parametrize("known", [(OLD,), None])
def test_what_the_store_knows_or_is_not_asked_about_is_in_nobodys_way(
    target: Engine, known: tuple[str, ...] | None
) -> None:
    done(target)
    effect.open_head(target, of(NEW, 1, CHECKING), known=known)
    undo.begin_undo(target, of(LATER, 1, CHECKING), known=(*known, NEW) if known else None)
    assert (head(target, NEW), head(target, LATER)) == (Head("open", 1, 0), Head("undoing", 0, 1))


def test_what_is_undone_is_in_nobodys_way(target: Engine) -> None:
    done(target)
    undo.begin_undo(target, of(OLD, 1))
    undo.undo_part(target, of(OLD, 1), "a", remove("a", OLD))
    undo.finish_undo(target, of(OLD, 1), None)
    effect.open_head(target, of(NEW, 1), known=())


def test_who_is_set_aside_is_refused_and_waits_for_its_state_and_visit(target: Engine) -> None:
    aside(target)
    [row] = strays.of_run(target, STORE, RUN)
    assert (row.task, row.token, row.parts, row.is_aside) == (ASIDE, 2, 1, True)
    assert head(target, OLD) is None
    # A late attempt under the old name begins anew, in vain: the part is its own again only by its state.
    effect.open_head(target, of(NEW, 1, CHECKING), known=())
    effect.open_head(target, of(LATER, 7), known=(NEW,))
    assert (head(target, ASIDE), head(target, LATER)) == (None, Head("open", 7, 0))
    assert apply(target, of(LATER, 7), "a").rows == 1
    assert loaded(target, OLD) == ["a"]
    assert loaded(target, LATER) == []
    assert [part for part, *_ in part_rows(target, LATER)] == ["a"]


def test_who_has_a_row_of_its_own_takes_no_other_over(target: Engine) -> None:
    effect.open_head(target, of(NEW, 1))
    aside_row = strays.Row(OLD, LOADING, "open", 2, 0, 1)
    done(target)
    strays.set_aside(target, STORE, aside_row)
    effect.open_head(target, of(NEW, 2), known=(NEW,))
    assert (head(target, NEW), head(target, ASIDE)) == (Head("open", 2, 0), Head("open", 2, 0))


def test_an_undo_takes_over_what_was_set_aside_for_its_step_and_refuses_what_was_for_another(target: Engine) -> None:
    aside(target)
    with pytest.raises(Superseded, match="it knows the step"):
        undo.begin_undo(target, of(NEW, 1, CHECKING), known=())
    undo.begin_undo(target, of(NEW, 1), known=())
    assert (head(target, ASIDE), head(target, NEW)) == (None, Head("undoing", 2, 1))
    assert [part.part for part in undo.applied(target, of(NEW, 1))] == ["a"]


def test_what_has_gone_meanwhile_is_not_set_aside(target: Engine) -> None:
    done(target)
    [row] = strays.of_run(target, STORE, RUN)
    strays.set_aside(target, STORE, row)
    strays.set_aside(target, STORE, row)
    assert [row.task for row in strays.of_run(target, STORE, RUN)] == [ASIDE]


def test_what_somebody_has_settled_is_undone_once(target: Engine) -> None:
    done(target)
    for token in (1, 2):
        strays.settle(target, of(OLD, token))
        assert head(target, OLD) == Head("undone", 2, token)
    assert [status for _, status, *_ in part_rows(target, OLD)] == ["undone"]
    with pytest.raises(Superseded):
        strays.settle(target, of(OLD, 1))


def test_how_each_step_of_a_run_stands(target: Engine) -> None:
    done(target, OLD, LOADING, "b", "a")
    done(target, NEW)
    undo.begin_undo(target, of(NEW, 1))
    undo.undo_part(target, of(NEW, 1), "a", remove("a", NEW))
    done(target, f"{RUN[:-1]}c.4")
    assert standing_of(target, STORE, RUN) == {OLD: Standing("open", ("b", "a")), NEW: Standing("undoing", ())}


def test_all_that_a_ledger_holds_of_a_store_can_be_looked_at(target: Engine) -> None:
    done(target, OLD, LOADING, "b", "a")
    effect.open_head(target, Key("another store", NEW, 1))
    books = evidence.of(target, STORE)
    assert books.heads == (evidence.Head(OLD, 2, 0, "open"),)
    assert books.parts == (evidence.PartRow(OLD, "b", 2, "applied"), evidence.PartRow(OLD, "a", 2, "applied"))
    assert books.uuid is not None


def test_where_there_is_no_ledger_there_is_nothing_to_look_at(bare: Engine) -> None:
    assert evidence.of(bare, key(1).store) == evidence.Books(None)
