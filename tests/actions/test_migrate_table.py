"""The saga that joins the steps, in a real engine: it completes, it rolls back, and it tells whom it should."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from saga_engine import Connection, Engine
from saga_engine.actions.copy.plan import Report, Staged
from saga_engine.actions.notify import Notice
from saga_engine.testing import step
from tests.actions.compare import unequal
from tests.actions.conftest import CROSSED
from tests.actions.support import Database
from workflows.migrate_table import Input, S, is_equal, saga

APPEND = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')"


@pytest.fixture(params=CROSSED)
def kinds(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Each kind of database once as a source and once as a target."""
    pair: tuple[str, str] = request.param
    return pair


@pytest.fixture
def engine(source: Database, target: Database, fresh_url: Callable[[str, str], str]) -> Iterator[Engine]:
    connections = {"shop": source.url, "dw": target.url}
    with Engine(fresh_url("sqlite", "saga"), sagas=[saga], connections=connections, roles={"dba": ["ann"]}) as engine:
        yield engine


@pytest.fixture
def told(tmp_path: Path) -> Callable[[], list[dict[str, object]]]:
    """What the notices have said so far."""

    def read() -> list[dict[str, object]]:
        return [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]

    return read


@pytest.fixture
def given(source: Database, tmp_path: Path, exports: Path) -> Input:
    source.run("CREATE TABLE item (id bigint PRIMARY KEY, name text)")
    source.fill("item", [(number, f"text {number}") for number in range(10)])
    command = (sys.executable, "-c", APPEND, str(tmp_path / "told"))
    return Input(
        source=Connection("shop"),
        target=Connection("dw"),
        table="item",
        chunk_rows=3,
        exports=str(exports),
        notice=Notice(command=command),
    )


def states(engine: Engine, run: str) -> tuple[str, str]:
    found = engine.get(run)
    return found.state, found.status


def test_it_waits_for_a_person_and_completes(
    engine: Engine, given: Input, source: Database, target: Database, told: Callable[[], list[dict[str, object]]]
) -> None:
    run = engine.start(saga, given, key="first").id
    engine.work(until_idle=True)
    [gate] = engine.approvals(run)
    assert states(engine, run) == ("AWAITING_CUTOVER", "waiting")
    assert {name: gate.shows[name] for name in ("source_rows", "target_rows", "changed")} == {
        "source_rows": 10, "target_rows": 10, "changed": 0,
    }  # fmt: skip
    engine.approve(run, shown=gate.digest, actor="ann", reason="counts checked")
    engine.work(until_idle=True)
    assert states(engine, run) == ("COMPLETED", "completed")
    assert (unequal(source, "item", target), list(Path(given.exports).iterdir())) == ([], [])
    assert [message["event"] for message in told()] == ["awaiting_cutover", "completed"]


def test_a_rejection_leaves_the_target_as_it_was(
    engine: Engine, given: Input, target: Database, exports: Path, told: Callable[[], list[dict[str, object]]]
) -> None:
    run = engine.start(saga, given, key="first").id
    engine.work(until_idle=True)
    assert len(target.tables()) > 0
    engine.reject(run, shown=engine.approvals(run)[0].digest, actor="ann", reason="wrong window")
    engine.work(until_idle=True)
    assert states(engine, run) == ("ROLLED_BACK", "rolled_back")
    assert (target.tables(), list(exports.iterdir())) == (set(), [])
    assert [message["event"] for message in told()] == ["awaiting_cutover", "rolled_back"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [({"table": "nothing"}, "there is no such table in the source"), ({"source": "nowhere"}, "nowhere")],
)
def test_what_the_preflight_refuses_is_not_tried_again(
    engine: Engine, given: Input, target: Database, wrong: dict[str, str], why: str
) -> None:
    run = engine.start(saga, given.model_copy(update={"notice": None, **wrong}), key="first").id
    engine.work(until_idle=True)
    assert (states(engine, run), target.tables()) == (("ROLLED_BACK", "rolled_back"), set())
    failures = [line for line in engine.history(run) if line.kind == "ActionFailed"]
    assert [why in str(line.event) for line in failures] == [True]


@pytest.mark.parametrize(
    ("missing", "extra", "changed", "may_miss", "good"),
    [(0, 0, 0, 0, True), (1, 0, 0, 0, False), (1, 0, 0, 1, True), (0, 1, 0, 9, False), (0, 0, 1, 9, False)],
)
def test_only_rows_that_are_newer_in_the_source_may_be_missing(
    missing: int, extra: int, changed: int, may_miss: int, *, good: bool
) -> None:
    report = Report(
        source_rows=1, target_rows=1, chunks=1, chunks_equal=0, missing=missing, extra=extra, changed=changed,
        differences=(), notes=(), validated=Staged(rows=1, checksum="1", shape=""),
    )  # fmt: skip
    facts = step(Input(source=Connection("a"), target=Connection("b"), table="t", may_miss=may_miss))
    assert is_equal(report, facts) is good


def test_fewer_than_no_rows_cannot_be_missing() -> None:
    with pytest.raises(ValidationError, match="may_miss"):
        Input(source=Connection("a"), target=Connection("b"), table="t", may_miss=-1)


def test_until_the_cut_over_every_step_can_be_undone() -> None:
    safety = {state.name: getattr(row.activity, "safety", "") for state, row in saga.rows.items()}
    assert safety == {
        "PREFLIGHT": "reads_only", "EXPORTING": "undone", "LOADING": "undone", "VALIDATING": "reads_only",
        "AWAITING_CUTOVER": "", "CUTTING_OVER": "pivot", "COMPLETED": "", "ROLLING_BACK": "", "ROLLED_BACK": "",
    }  # fmt: skip
    assert set(saga.rows) == set(S)
