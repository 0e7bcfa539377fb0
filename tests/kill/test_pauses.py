"""Processes stopped past their lease, anywhere in runs of every shape: the late ones change nothing."""

from __future__ import annotations

import pytest

from tests.kill.conftest import Ask, at_least
from tests.kill.shapes.plays import SHAPES

SQLITE_BATCH = 25
POSTGRES_BATCH = 8
"""Each holds connections of the server while it is stopped."""
BATCHES = {"sqlite": SQLITE_BATCH, "postgresql": POSTGRES_BATCH}


@pytest.mark.timeout(1_800)
def test_a_process_that_was_stopped_past_its_lease_changes_nothing(ask: Ask, store: str) -> None:
    shapes = sorted(SHAPES)[["sqlite", "postgresql"].index(store) :: 2]
    answer = ask("pauses", store, store, pauses=2 * SQLITE_BATCH, batch=BATCHES[store], shapes=shapes)
    assert answer["pauses"] >= at_least(2 * SQLITE_BATCH)


def test_a_late_effect_without_a_ledger_is_caught(ask: Ask, store: str) -> None:
    late = {"shapes": ["linear"], "at": ["ledger.head.after_commit:1"]}
    with pytest.raises(AssertionError, match=r"right would be"):
        ask("pauses", store, store, pauses=1, batch=1, planted=["no ledger"], **late)


@pytest.mark.soak
@pytest.mark.timeout(2 * 3_600)
def test_a_thousand_processes_that_were_stopped_past_their_lease_change_nothing(ask: Ask, store: str) -> None:
    answer = ask("pauses", store, store, pauses=1_000, batch=BATCHES[store])
    assert answer["pauses"] >= at_least(1_000)
