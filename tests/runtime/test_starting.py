"""Starting a run: stored when the call returns; the same key is the same run, whoever asks at the same time."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine import errors
from saga_engine.failpoints import switched_on
from saga_engine.runtime.engine import Engine
from saga_engine.store.schema import journal, runs, tasks
from tests.runtime import plays
from tests.runtime.conftest import Opened
from tests.runtime.plays import Input
from tests.runtime.processes import Process, together

RACER = """
import sys
from saga_engine import errors
from saga_engine.runtime.engine import Engine
from tests.runtime import plays
engine = Engine(sys.argv[1], sagas=[plays.saga()])
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    try:
        print(engine.start("play", {"n": int(sys.argv[2])}, key=f"key {number}").id)
    except errors.KeyTaken as taken:
        print(taken.exit_code)
engine.close()
"""


def counted(engine: Engine) -> tuple[int, ...]:
    """How many runs, tasks and journal lines there are."""
    with engine.store.read() as db:
        return tuple(
            db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() for table in (runs, tasks, journal)
        )


def test_a_started_run_is_in_its_first_state_and_waits_for_a_worker(opened: Opened) -> None:
    engine = opened(plays.saga())
    run = engine.start("play", Input(n=3), key="orders", actor="ann")
    assert (run.saga, run.version, run.state, run.status, run.revision, run.key, run.starter) == (
        "play",
        1,
        "ONE",
        "running",
        1,
        "orders",
        "ann",
    )
    assert run.input == {"name": "", "n": 3}
    assert [(task.kind, task.state, task.attempt, task.leased_by) for task in run.tasks] == [("step", "ONE", 0, None)]
    assert [(line.revision, line.kind, line.event) for line in engine.history(run.id)] == [
        (1, "RunStarted", {"actor": "ann"})
    ]
    assert engine.get(run.id) == run


def test_the_same_key_again_is_the_same_run_wherever_it_is_by_now(opened: Opened) -> None:
    engine = opened(plays.saga())
    first = engine.start("play", {"n": 1}, key="orders")
    assert engine.start("play", {"n": 1}, key="orders") == first
    engine.work(until_idle=True)
    again = engine.start("play", Input(n=1), key="orders", actor="somebody else")
    assert (again.id, again.status, again.starter) == (first.id, "completed", first.starter)
    assert counted(engine)[0] == 1


def test_without_a_key_each_start_is_another_run(opened: Opened) -> None:
    engine = opened(plays.saga())
    assert engine.start("play", {}).id != engine.start("play", {}).id


@pytest.mark.parametrize(
    ("saga", "given", "difference"),
    [
        ("play", {"n": 2}, "input"),
        ("gated", {"n": 1}, "saga"),
        ("waiting", {"n": 2}, "saga and input"),
    ],
)
def test_a_key_that_belongs_to_another_start_is_refused(
    opened: Opened, saga: str, given: dict[str, Any], difference: str
) -> None:
    engine = opened(plays.saga(), plays.gated(), plays.waiting())
    run = engine.start("play", {"n": 1}, key="orders")
    before = counted(engine)
    with pytest.raises(errors.KeyTaken) as refused:
        engine.start(saga, given, key="orders")
    assert str(refused.value) == (
        f"The run key orders belongs to {run.name}, which was started with another {difference}. Use another key."
    )
    assert (refused.value.exit_code, refused.value.next_command) == (7, f"saga show {run.name}")
    assert counted(engine) == before


def test_a_key_that_belongs_to_another_version_is_refused(opened: Opened) -> None:
    opened(plays.saga(version=1)).start("play", {}, key="orders")
    with pytest.raises(errors.KeyTaken, match="with another version"):
        opened(plays.saga(version=2)).start("play", {}, key="orders")


def test_a_name_means_the_newest_version_and_a_saga_itself(opened: Opened) -> None:
    old, new = plays.saga(version=1), plays.saga(version=2)
    engine = opened(old, new)
    assert [engine.start(saga, {}).version for saga in ("play", old, new)] == [2, 1, 2]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"n": "many"}, "play cannot start with this input: n: Input should be a valid integer"),
        ({"m": 1}, "play cannot start with this input: m: Extra inputs are not permitted"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_by_field_without_its_value(
    opened: Opened, given: dict[str, Any], says: str
) -> None:
    engine = opened(plays.saga())
    with pytest.raises(errors.BadInput) as refused:
        engine.start("play", given)
    assert str(refused.value).startswith(says)
    assert "many" not in str(refused.value)
    assert (refused.value.exit_code, counted(engine)) == (2, (0, 0, 0))


def test_an_input_that_is_too_large_is_refused(opened: Opened) -> None:
    engine = opened(plays.saga(), input_bytes_max=100)
    with pytest.raises(errors.PayloadTooLarge, match=r"the input of play has 112 bytes; the limit is 100\."):
        engine.start("play", {"name": "x" * 95})
    assert counted(engine) == (0, 0, 0)


def test_an_unknown_saga_is_refused_with_what_there_is(opened: Opened) -> None:
    with pytest.raises(errors.SagaNotFound, match=r"No saga called ply is loaded\. Loaded: play"):
        opened(plays.saga()).start("ply", {})


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"], ids=["NUL", "half a surrogate pair"])
def test_what_no_database_can_hold_is_refused_as_a_key_or_an_actor_and_in_the_input(opened: Opened, text: str) -> None:
    engine = opened(plays.saga())
    for asked in ({"key": text}, {"actor": text}):
        with pytest.raises(errors.BadInput, match="cannot hold"):
            engine.start("play", {}, **asked)
    if "\0" in text:
        assert engine.get(engine.start("play", {"name": text}).id).input["name"] == text
    else:
        with pytest.raises(errors.BadInput):
            engine.start("play", {"name": text})


def test_a_start_is_one_transaction_of_few_statements(opened: Opened) -> None:
    engine = opened(plays.saga())
    engine.start("play", {})
    seen: list[str] = []
    hits: list[str] = []
    # On PostgreSQL both are one engine, with different options.
    for side in {
        engine.store._reader.pool: engine.store._reader,
        engine.store._writer.pool: engine.store._writer,
    }.values():
        sa.event.listen(side, "before_cursor_execute", lambda _db, _cursor, sql, *_: seen.append(sql))
    with switched_on(hits.append):
        engine.start("play", {}, key="orders")
    assert hits.count("store.write.begun") == 1
    statements = [sql for sql in seen if "saga_" in sql]
    # Looks for the key, also among what was pruned, for a number, and for the neighbours of its name; and three
    # inserts. On PostgreSQL number and neighbours are one look, and the inserts one statement.
    told = [sql.split()[0] for sql in statements if not sql.startswith("NOTIFY")]
    written = ["INSERT"] * 3 + ["SELECT"] if engine.store.dialect == "sqlite" else ["WITH"]
    assert told == ["SELECT"] * 3 + written


def test_processes_that_race_for_keys_start_one_run_for_each(opened: Opened, made_url: str) -> None:
    engine = opened(plays.saga())
    said = together(*(Process(RACER, made_url, 1) for _ in range(3)))
    assert said[0] == said[1] == said[2]
    assert (len(set(said[0])), counted(engine)) == (20, (20, 20, 20))


def test_processes_that_race_for_keys_with_different_inputs_have_one_winner_each(opened: Opened, made_url: str) -> None:
    engine = opened(plays.saga())
    said = together(Process(RACER, made_url, 1), Process(RACER, made_url, 2))
    for one, other in zip(*said, strict=True):
        assert sorted([one == "7", other == "7"]) == [False, True]
    assert counted(engine) == (20, 20, 20)
