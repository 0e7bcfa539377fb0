"""A server refuses every writing statement of a run once in each way it knows: whole transactions are tried again.

The errors are the server's own: the statement is replaced by one that raises it, or that ends its session.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import sqlalchemy as sa

from saga_engine.runtime.engine import Engine
from tests.network.conftest import Opened
from tests.network.test_commits import check, whole_run

RAISED: Final = "DO $$ BEGIN RAISE EXCEPTION 'planned' USING ERRCODE = '{}'; END $$"
STATES: Final = {
    **{state: RAISED.format(state) for state in ("40001", "40P01", "55P03", "08006", "57P03")},
    "57P01": "SELECT pg_terminate_backend(pg_backend_pid())",
}
APART: Final = 8
"""Statements between two troubles: a transaction of a handful of statements must get through within its tries."""
RUNS_LEAST: Final = 8
RUNS_MAX: Final = 60
OFTEN: Final = 30
"""How often a statement is executed at least of which all this can be asked."""


class Trouble:
    """Refuses each different statement once in each way, with some that pass in between."""

    def __init__(self) -> None:
        self.left: dict[str, list[str]] = {}
        self.given: dict[str, int] = defaultdict(int)
        self._seen: dict[str, int] = defaultdict(int)
        self._passed = 0

    def __call__(
        self, db: sa.Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool
    ) -> Any:
        if db.get_execution_options().get("postgresql_readonly"):
            return statement, parameters
        left = self.left.setdefault(statement, list(STATES))
        self._passed += 1
        self._seen[statement] += 1
        if self._passed <= APART or not left:
            return statement, parameters
        self._passed = 0
        state = left.pop()
        self.given[state] += 1
        return STATES[state], [()] if many else ()

    @property
    def spared(self) -> dict[str, list[str]]:
        """What is executed often and has not been refused in every way yet."""
        return {text: left for text, left in self.left.items() if left and self._seen[text] >= OFTEN}


@contextmanager
def troubled(database: sa.Engine) -> Iterator[Trouble]:
    trouble = Trouble()
    sa.event.listen(database, "before_cursor_execute", trouble, retval=True)
    try:
        yield trouble
    finally:
        sa.event.remove(database, "before_cursor_execute", trouble)


def goes_through(engine: Engine, database: sa.Engine, name: str) -> None:
    keys: dict[str, str] = {}
    with troubled(database) as trouble:
        for number in range(RUNS_MAX):
            key = f"{name} {number}"
            keys[key] = whole_run(engine, key, fails=True)
            if number >= RUNS_LEAST and not trouble.spared:
                break
    for key, run in keys.items():
        check(engine, run, key, fails=True)
    refused = sum(trouble.given.values())
    print(f"{name}: {len(trouble.left)} statements, {refused} refused, in {len(keys)} runs")  # noqa: T201  the measurement
    assert trouble.spared == {}
    assert set(trouble.given) == set(STATES)


@pytest.mark.timeout(400)
def test_every_statement_of_the_store_may_be_refused(store_direct: str, target_direct: str, opened: Opened) -> None:
    engine = opened(store_direct, target_direct)
    goes_through(engine, engine.store._writer, "store")


@pytest.mark.timeout(400)
def test_every_statement_of_an_effect_may_be_refused(store_direct: str, target_direct: str, opened: Opened) -> None:
    engine = opened(store_direct, target_direct)
    goes_through(engine, engine.targets.engine("dw"), "target")
