"""The clock of a SQLite store's host is set forward by days: nothing comes due by that, and the run says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from saga_engine.domain.definition.values import hours
from tests.runtime import plays
from tests.runtime.conftest import Opened, working
from tests.store.test_hostclock import DAYS, Hand, turn


@pytest.fixture
def made_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/saga.db"


def test_a_deadline_does_not_pass_because_the_clock_was_set(opened: Opened) -> None:
    engine, hand = opened(plays.waiting(deadline=hours(1))), Hand()
    turn(engine.store, hand)
    run = engine.start("waiting", {}).id
    hand.set_by = DAYS
    with working(engine):
        plays.until(lambda: "W18" in [reason.code for reason in engine.why(run).reasons])
        told = next(reason for reason in engine.why(run).reasons if reason.code == "W18")
        assert "set forward by 3 days" in told.sentence
        assert engine.get(run).state == "WAIT"
        engine.send(run, "go", {})
        plays.until(lambda: engine.get(run).ended)
    assert engine.get(run).status == "completed"
