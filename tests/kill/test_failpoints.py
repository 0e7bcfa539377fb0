"""kill -9 anywhere in runs of every shape, once or twice: nothing is lost, nothing done twice, nothing out of order.

What is killed where is chosen by the seed: on SQLite each failpoint of each shape has its death, with PostgreSQL and
MariaDB each failpoint of any shape; `-m soak` goes through every hit of every shape on every pair of databases, alone
and followed by a second one. SAGA_TEST_KILL, a shape and hits, asks for one trial alone.
"""

from __future__ import annotations

from typing import Final

import pytest

from tests.kill.conftest import Ask, at_least
from tests.kill.shapes.plays import SHAPES

TWO_KINDS: Final = [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("sqlite", "mariadb")]
HALVES: Final = [sorted(SHAPES)[::2], sorted(SHAPES)[1::2]]


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("shapes", HALVES, ids=["even", "odd"])
def test_on_sqlite_a_process_may_be_killed_anywhere(ask: Ask, shapes: list[str]) -> None:
    answer = ask("sweep", "sqlite", "sqlite", kills=1_000, shapes=shapes)
    assert answer["uncovered"] == []
    assert answer["kills"] >= at_least(1_000)


@pytest.mark.timeout(1_800)
def test_on_postgresql_a_process_may_be_killed_anywhere(ask: Ask) -> None:
    answer = ask("sweep", "postgresql", "postgresql", kills=400, cover_shapes=False)
    assert answer["uncovered"] == []
    assert answer["kills"] >= at_least(400)


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(("store", "target"), TWO_KINDS)
def test_store_and_target_may_be_of_two_kinds(ask: Ask, store: str, target: str) -> None:
    answer = ask("sweep", store, target, kills=80, cover_shapes=False)
    assert answer["uncovered"] == []
    assert answer["kills"] >= at_least(80)


@pytest.mark.timeout(1_800)
def test_a_store_and_a_ledger_may_be_killed_while_they_are_made(ask: Ask, store: str) -> None:
    answer = ask("sweep", store, store, kills=0, shapes=["making"])
    assert answer["uncovered"] == []


def test_an_effect_without_a_ledger_is_caught_and_the_trial_can_be_done_again(ask: Ask) -> None:
    told = r"(?s)\+out', '\+home', '\+out'.*SAGA_TEST_KILL='linear ledger.part.after_commit:2'.*pytest -p no:randomly"
    with pytest.raises(AssertionError, match=told):
        ask(
            "sweep",
            "sqlite",
            "sqlite",
            kills=0,
            shapes=["linear"],
            at=["ledger.part.after_commit:2"],
            planted=["no ledger"],
        )


@pytest.mark.soak
@pytest.mark.timeout(4 * 3_600)
@pytest.mark.parametrize("target", ["sqlite", "postgresql", "mariadb"])
@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_a_process_may_be_killed_at_every_hit_and_who_goes_on_may_be_killed_too(
    ask: Ask, store: str, target: str, shape: str
) -> None:
    answer = ask("sweep", store, target, kills=0, shapes=[shape], every_hit=True)
    assert answer["uncovered"] == []
