"""Whether a step has ever taken effect can be asked once its head is closed."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from saga_engine.errors import LedgerMissing
from saga_engine.ledger import effect, undo
from saga_engine.ledger.traces import left_traces
from tests.ledger.support import apply, key, remove


def test_a_step_that_never_took_effect_has_left_no_traces(target: Engine) -> None:
    effect.open_head(target, key(1))
    undo.begin_undo(target, key(1))
    assert left_traces(target, key(1)) is False


def test_the_effect_of_another_step_is_no_trace_of_this_one(target: Engine) -> None:
    effect.open_head(target, key(1, task="r.1"))
    apply(target, key(1, task="r.1"), "a")
    undo.begin_undo(target, key(1))
    assert left_traces(target, key(1)) is False


def test_an_effect_leaves_traces_also_when_it_was_undone(target: Engine) -> None:
    effect.open_head(target, key(1))
    apply(target, key(1), "a")
    undo.begin_undo(target, key(1))
    assert left_traces(target, key(1)) is True
    undo.undo_part(target, key(1), "a", remove("a"))
    assert left_traces(target, key(1)) is True


def test_where_there_is_no_ledger_nobody_claims_to_know(bare: Engine) -> None:
    with pytest.raises(LedgerMissing):
        left_traces(bare, key(1))
