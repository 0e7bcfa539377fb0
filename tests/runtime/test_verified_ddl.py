"""DDL on MariaDB commits by itself: a verified step does it once, whoever dies between statement and report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa

from saga_engine.runtime import registry
from saga_engine.runtime.engine import Engine
from saga_engine.settings import load

ROOT: Final = Path(__file__).parents[2]
WORKFLOW: Final = '''
"""Puts a new table in the place of the old one."""

from enum import Enum

from sqlalchemy import text

from saga_engine import Connection, Done, Frozen, InDoubt, NotDone, Outcome, Retry, Saga, Step, seconds

ERP = Connection("erp")
S = Enum("S", "SWAPPING CHECKING SWAPPED ROLLING_BACK AS_BEFORE")


class Input(Frozen):
    fails: bool = False


class Swapped(Frozen):
    table: str


def is_swapped(step: Step[Input]) -> bool:
    with step.connect(ERP) as db:
        return bool(db.execute(text("SHOW TABLES LIKE 'orders_old'")).first())


def swap(step: Step[Input]) -> Swapped:
    with step.connect(ERP) as db:
        db.execute(text("INSERT INTO calls VALUES ('swap')"))
        db.commit()
        db.execute(text("RENAME TABLE orders TO orders_old, orders_new TO orders"))
    return Swapped(table="orders")


def look(step: Step[Input]) -> Done[Swapped] | NotDone | InDoubt:
    return Done(Swapped(table="orders")) if is_swapped(step) else NotDone()


def swap_back(step: Step[Input], was: Outcome[Swapped]) -> None:
    if is_swapped(step):
        with step.connect(ERP) as db:
            db.execute(text("INSERT INTO calls VALUES ('swap back')"))
            db.commit()
            db.execute(text("RENAME TABLE orders TO orders_new, orders_old TO orders"))


def is_as_before(step: Step[Input]) -> bool:
    return not is_swapped(step)


def check(step: Step[Input]) -> None:
    if step.input.fails:
        raise ValueError("it does not add up")


QUICK = Retry(3, first=seconds(0.05))
saga = Saga("swap", version=1, states=S, input=Input, start=S.SWAPPING)
(
    saga.at(S.SWAPPING)
    .run(swap, retry=QUICK)
    .verified(look)
    .undo(swap_back, verify=is_as_before)
    .then(S.CHECKING, failed=S.ROLLING_BACK)
)
saga.at(S.CHECKING).run(check, retry=Retry(1)).then(S.SWAPPED, failed=S.ROLLING_BACK)
saga.rolls_back(S.ROLLING_BACK).to(S.AS_BEFORE)
saga.final(S.SWAPPED, S.AS_BEFORE)
'''


class Place:
    """A project with a store of its own, and MariaDB as a target without a ledger."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        (folder / "workflows").mkdir()
        (folder / "workflows" / "swap.py").write_text(WORKFLOW)
        (folder / "saga.toml").write_text(
            f'store = "sqlite:///{folder}/saga.db"\n[connections]\nerp = "{url}"\n[limits]\npoll_seconds = 0.1\n'
        )
        settings = load(folder)
        Engine(settings.store).close()
        self.engine = Engine(settings=settings, registry=registry.load(settings.workflows))
        self.erp = sa.create_engine(url, poolclass=sa.NullPool)
        with self.erp.begin() as db:
            for statement in (
                "TABLE orders (id int)",
                "TABLE orders_new (id int, total int)",
                "TABLE calls (what text)",
            ):
                db.execute(sa.text(f"CREATE {statement}"))

    def killed(self, point: str) -> bool:
        """A `saga worker` that kills itself there; False if it did not come to it."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SAGA_")}
        return subprocess.run(
            [sys.executable, "-m", "saga_engine", "worker", "--until-idle"],
            cwd=self.folder, env={**environment, "PYTHONPATH": str(ROOT), "SAGA_FAILPOINTS": f"{point}=kill"},
            check=False, capture_output=True, timeout=60,
        ).returncode == -signal.SIGKILL  # fmt: skip

    def rows(self, statement: str) -> list[str]:
        with self.erp.connect() as db:
            return list(db.execute(sa.text(statement)).scalars())


@pytest.fixture
def place(tmp_path: Path, mariadb_url: str) -> Iterator[Place]:
    made = Place(tmp_path, mariadb_url)
    yield made
    made.engine.close()


@pytest.mark.parametrize("point", ["runtime.action.before:1", "runtime.action.after:1"])
def test_a_statement_whose_worker_is_killed_before_or_after_it_is_executed_once(place: Place, point: str) -> None:
    run = place.engine.start("swap", {}).id
    assert place.killed(point)
    assert ("orders_old" in place.rows("SHOW TABLES")) == ("after" in point)
    place.engine.work(until_idle=True)
    ended = place.engine.get(run)
    assert (ended.status, ended.results["SWAPPING"]) == ("completed", {"table": "orders"})
    assert place.rows("SHOW TABLES") == ["calls", "orders", "orders_old"]
    assert place.rows("SELECT what FROM calls") == ["swap"]


# The undo is the third that begins, after the step and the check that fails, and the second that succeeds.
@pytest.mark.parametrize("point", ["runtime.action.before:3", "runtime.action.after:2"])
def test_an_undo_whose_worker_is_killed_before_or_after_its_statement_is_finished(place: Place, point: str) -> None:
    run = place.engine.start("swap", {"fails": True}).id
    assert place.killed(point)
    place.engine.work(until_idle=True)
    assert place.engine.get(run).status == "rolled_back"
    assert place.rows("SHOW TABLES") == ["calls", "orders", "orders_new"]
    assert place.rows("SELECT what FROM calls") == ["swap", "swap back"]


def test_a_statement_that_failed_is_tried_again_by_the_same_rules(place: Place) -> None:
    with place.erp.begin() as db:
        db.execute(sa.text("RENAME TABLE orders_new TO away"))
    run = place.engine.start("swap", {}).id
    place.engine.work(until_idle=True)
    assert (place.engine.get(run).status, place.rows("SHOW TABLES")) == ("rolled_back", ["away", "calls", "orders"])
    assert place.rows("SELECT what FROM calls") == ["swap"] * 3
