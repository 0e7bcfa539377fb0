"""The proofs hold where a run is as it should be, and name everything that is not: each damage is found."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine.domain import commands as c
from saga_engine.domain.snapshot import Snapshot, UndoEntry
from saga_engine.runtime.views import RunView
from saga_engine.testing import Harness, proofs
from tests.runtime import plays
from tests.runtime.plays import Input, S, playing
from tests.testing.conftest import Harnesses, rows
from tests.testing.test_kill_at import load, loading, unload

ACTS: dict[str, Any] = {"one": load, "undo one": unload, "two": plays.raising(ValueError("no"))}


@pytest.fixture
def saga_store_url(template: Path, tmp_path: Path) -> str:
    """On SQLite: what the proofs read is written by tests of the store on both."""
    return f"sqlite:///{shutil.copy(template, tmp_path / 'saga.db')}"


def rolled_back(harness: Harness, **acts: Any) -> RunView:
    """A run that went ONE, TWO, and back."""
    with playing(**{**ACTS, **acts}):
        run = harness.start("play", Input(name="play"))
        return harness.run_until(run, "rolled_back")


def test_a_run_that_is_undone_is_compensated_and_its_journal_tells_it(saga_harness: Harnesses, shop: str) -> None:
    harness = saga_harness(loading(), connections={"shop": shop})
    run = rolled_back(harness)
    harness.assert_compensated(run)
    harness.assert_compensated(run.name)
    harness.assert_journal(run)


def test_a_run_that_goes_on_is_not_compensated(saga_harness: Harnesses, shop: str) -> None:
    harness = saga_harness(loading(), connections={"shop": shop})
    with playing(one=load):
        run = harness.start("play", Input(name="play"))
        harness.run_until(run, S.TWO)
        with pytest.raises(AssertionError) as error:
            harness.assert_compensated(run)
        assert str(error.value).splitlines() == [
            "the run is not compensated:",
            "  it has not ended: it is in TWO (running)",
            "  ONE is done",
            "  TWO is started",
            "  ONE is still in effect in shop: part ''",
            "  path: ONE → TWO",
        ]
        harness.assert_journal(run)
        harness.run_until(run, "completed")
    with pytest.raises(AssertionError, match="it ended completed, without a rollback"):
        harness.assert_compensated(run)
    harness.assert_journal(run)


def test_an_undo_that_a_person_skipped_is_not_compensated(saga_harness: Harnesses, shop: str) -> None:
    harness = saga_harness(loading(), connections={"shop": shop})
    with playing(**{**ACTS, "undo one": plays.raising(ValueError("cannot"))}):
        run = harness.start("play", Input(name="play"))
        harness.run_until(run, "parked")
        harness.skip(run.id, reason="by hand")
        harness.run_until(run, "rolled_back")
    with pytest.raises(AssertionError) as error:
        harness.assert_compensated(run)
    assert str(error.value).splitlines()[1:3] == ["  ONE is skipped", "  ONE is still in effect in shop: part ''"]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            "UPDATE saga_ledger_parts SET status = 'applied', undone_at = NULL",
            "  ONE is still in effect in shop: part ''",
        ),
        (
            "UPDATE saga_ledger_heads SET status = 'undoing', undone_at = NULL",
            "  the undo of ONE has not ended in shop",
        ),
    ],
)
def test_a_ledger_that_says_otherwise_is_believed(saga_harness: Harnesses, shop: str, damage: str, told: str) -> None:
    harness = saga_harness(loading(), connections={"shop": shop})
    run = rolled_back(harness)
    rows(shop, damage)
    with pytest.raises(AssertionError) as error:
        harness.assert_compensated(run)
    assert told in str(error.value).splitlines()


def test_a_source_that_is_only_read_has_no_ledger_and_needs_none(saga_harness: Harnesses, tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path / 'source.db'}"
    rows(source, "CREATE TABLE item (id integer)")
    harness = saga_harness(plays.saga(), connections={"source": source}, ledgers=())
    assert rows(source, "SELECT name FROM sqlite_master") == [("item",)]
    with playing(two=plays.raising(ValueError("no"))):
        run = harness.start("play", Input(name="play"))
        harness.run_until(run, "rolled_back")
    harness.assert_compensated(run)


def entries(*statuses: Any) -> Snapshot:
    """A run that started one step after the other, with what became of each."""
    undo = tuple(UndoEntry(n, f"S{n}", 1, f"r.{n}", n, status) for n, status in enumerate(statuses, 1))
    return Snapshot("r", "s", 1, "d", "{}", "ann", state="UNDONE", status="rolled_back", undo=undo)


def pushed(position: int) -> tuple[c.Command, ...]:
    return (c.PushUndo(position, f"S{position}", 1, f"r.{position}"),)


def undone(*positions: int) -> list[tuple[c.Command, ...]]:
    return [(c.SetUndo(position, "undone"),) for position in positions]


def test_the_order_is_the_reverse_of_the_start_and_a_step_that_was_dropped_waits_for_nobody() -> None:
    history = [pushed(1), pushed(2), (c.SetUndo(1, "done"),), pushed(3), (c.SetUndo(3, "dropped"),), *undone(2, 1)]
    assert proofs.not_compensated(entries("undone", "undone", "dropped"), history) == []


def test_undos_in_the_order_of_the_start_are_named() -> None:
    history = [pushed(1), pushed(2), pushed(3), *undone(2, 1, 3)]
    assert proofs.not_compensated(entries("undone", "undone", "undone"), history) == [
        "S2 was undone before S3, which started later",
        "S1 was undone before S3, which started later",
    ]


def test_a_second_visit_is_named_as_one() -> None:
    again = UndoEntry(1, "S1", 2, "r.1", 1, "started")
    run = Snapshot("r", "s", 1, "d", "{}", "ann", state="UNDONE", status="cancelled", undo=(again,))
    assert proofs.not_compensated(run, [pushed(1)]) == ["S1 (visit 2) is started"]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            "DELETE FROM saga_journal WHERE revision = 2",
            ["line 3 follows line 1", "the chain of hashes breaks at line 2"],
        ),
        (
            "DELETE FROM saga_journal WHERE revision > 3",
            [r"the run is at revision \d, its journal ends with 3", "the chain of hashes breaks at line 4"],
        ),
        (
            "UPDATE saga_journal SET event = replace(event, 'RunStarted', 'PauseRequested')",
            ["the chain of hashes breaks at line 1"],
        ),
        ("UPDATE saga_runs SET state = 'ONE'", ["state is 'ONE', its journal makes it 'UNDONE'"]),
        ("UPDATE saga_undo SET status = 'done'", [r"undo stack is \[\(1, '\w+\.1', 'done'\).* makes it .*'undone'.*"]),
        ("DELETE FROM saga_results", [r"results is \[\], its journal makes it .*"]),
    ],
)
def test_a_journal_that_does_not_tell_what_is_stored_is_named(
    saga_harness: Harnesses, shop: str, damage: str, told: list[str]
) -> None:
    harness = saga_harness(loading(), connections={"shop": shop})
    run = rolled_back(harness)
    with harness.store.write() as db:
        db.execute(sa.text(damage))
    with pytest.raises(AssertionError) as error:
        harness.assert_journal(run)
    lines = str(error.value).splitlines()[1:-1]
    assert len(lines) == len(told), lines
    for line, wanted in zip(lines, told, strict=True):
        assert re.fullmatch(f"  {wanted}", line), line
