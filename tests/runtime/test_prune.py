"""Old runs go whole, and only they; what is left of them is enough to know that nobody removed them by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine import errors, failpoints
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import Retry
from saga_engine.runtime import prune as pruning
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.prune import LINES_FIRST, LINES_LEAST, LINES_MAX, Pace
from saga_engine.runtime.reconcile import stray_runs
from saga_engine.store import schema as s
from tests.runtime import plays
from tests.runtime.conftest import Opened
from tests.runtime.processes import Process, started
from tests.runtime.test_effects import LEDGER, load, read

NOW = timedelta(0)
OF_RUNS = (s.journal, s.results, s.undo, s.effects, s.inbox, s.approvals, s.tasks)
KILLED = """
import sys
from datetime import timedelta
from saga_engine.runtime.engine import Engine
from tests.runtime import plays
engine = Engine(sys.argv[1], sagas=[plays.saga()])
print("ready", flush=True)
sys.stdin.readline()
print(engine.prune(timedelta(0)).runs)
"""


def left(engine: Engine) -> dict[str, int]:
    """How many rows of runs there are, by table."""
    with engine.store.read() as db:
        count = sa.func.count()
        return {t.name: db.execute(sa.select(count).select_from(t)).scalar_one() for t in (s.runs, *OF_RUNS)}


def mixed(opened: Opened) -> Engine:
    """Four runs that completed, two that were rolled back, one cancelled; one that waits at a gate."""
    engine = opened(plays.saga(retry=Retry(1)), plays.gated(), plays.waiting())
    with plays.playing("bad", one=plays.raising(ValueError("bad"))):
        for n in range(4):
            engine.start("play", {"name": "good", "n": n}, key=f"key {n}")
        for _ in range(2):
            engine.start("play", {"name": "bad"})
        engine.cancel(engine.start("waiting", {"name": "good"}).id)
        engine.start("gated", {"name": "good"})
        engine.work(until_idle=True)
    assert [(line.saga, line.state) for line in engine.status()] == [("gated", "GATE")]
    return engine


def statuses(engine: Engine) -> list[str]:
    return sorted(run.status for run in engine.find().items)


def test_ended_runs_go_whole_and_live_ones_stay(opened: Opened) -> None:
    engine = mixed(opened)
    before = left(engine)
    counted = engine.prune(NOW, dry_run=True)
    assert (counted.runs, counted.kept, counted.dry_run, left(engine)) == (7, 0, True, before)
    done = engine.prune(NOW)
    assert (done.runs, done.lines, done.kept) == (7, counted.lines, 0)
    [alive] = engine.find().items
    assert (alive.status, engine.verify().found) == ("waiting", ())
    lines = len(engine.history(alive.id))
    assert left(engine) == {
        "saga_runs": 1, "saga_journal": lines, "saga_results": 1, "saga_undo": 1, "saga_effects": 0,
        "saga_inbox": 0, "saga_approvals": 1, "saga_tasks": before["saga_tasks"],
    }  # fmt: skip
    again = engine.prune(NOW)
    assert (again.runs, again.lines, again.transactions) == (0, 0, 0)


def test_what_is_kept_is_what_was_asked_for(opened: Opened) -> None:
    engine = mixed(opened)
    assert engine.prune(timedelta(hours=1)).runs == 0
    assert engine.prune(NOW, saga="waiting", dry_run=True).runs == 1
    assert engine.prune(NOW, saga="play", keep_failed=True).runs == 4
    assert statuses(engine) == ["cancelled", "rolled_back", "rolled_back", "waiting"]
    assert engine.prune(NOW, saga="waiting").runs == 1
    assert statuses(engine) == ["rolled_back", "rolled_back", "waiting"]
    for wrong in (timedelta(days=-1), timedelta.max):
        with pytest.raises(errors.BadInput, match="0 to 36500 days"):
            engine.prune(wrong)


def test_a_pruned_run_is_known_by_its_key_and_its_id_and_its_key_is_spent(opened: Opened) -> None:
    engine = mixed(opened)
    run = engine.get("key 1")
    engine.prune(NOW)
    with pytest.raises(errors.KeyPruned) as spent:
        engine.start("play", {"name": "good", "n": 1}, key="key 1")
    assert (spent.value.exit_code, run.id in str(spent.value)) == (7, True)
    for name in ("key 1", run.id):
        with pytest.raises(errors.RunNotFound, match=r"of play ended \(completed\) on .*, and was pruned"):
            engine.get(name)
    assert engine.start("play", {"name": "good"}, key="key 9").status == "running"


def test_an_anchor_from_before_knows_what_was_pruned_and_what_was_removed(opened: Opened, tmp_path: Path) -> None:
    engine = mixed(opened)
    anchor = tmp_path / "anchor"
    assert engine.verify(write_anchor=anchor).found == ()
    engine.prune(NOW, saga="play")
    found = engine.verify(anchors=[anchor], write_anchor=anchor)
    assert (found.found, found.pruned, found.anchored, found.anchor) == ((), 6, 8, str(anchor))
    with engine.store.write() as db:
        db.execute(sa.delete(s.pruned).where(s.pruned.c.number == 6))
    said = [(fault.what, fault.text) for fault in engine.verify(anchors=[anchor]).found]
    assert said == [("pruned", f"{anchor} knows 6 pruned runs, and saga_pruned has 5")]


@pytest.mark.parametrize(
    "values", [{"revision": 99}, {"run_key": "mine"}, {"status": "failed"}, {"hash": b"x"}, {"journal_hash": b"x"}]
)
def test_a_changed_record_of_what_was_pruned_is_found(opened: Opened, values: dict[str, Any]) -> None:
    engine = mixed(opened)
    engine.prune(NOW)
    with engine.store.write() as db:
        db.execute(sa.update(s.pruned).where(s.pruned.c.number == 3).values(values))
    ((fault),) = engine.verify().found
    assert (fault.what, fault.text) == ("pruned", "row 3 of saga_pruned was changed or removed")


def test_an_ended_run_is_kept_until_its_notice_has_been_given(opened: Opened) -> None:
    made = Saga("told", version=1, states=plays.S, input=plays.Input, start=plays.S.WAIT)
    made.at(plays.S.WAIT).wait(plays.go, deadline=plays.AN_HOUR).then(plays.S.DONE, timed_out=plays.S.BACK)
    made.final(plays.S.UNDONE, entering=plays.tell)
    engine = opened(plays.finished(made))
    with plays.playing("p"):
        run = engine.start("told", {"name": "p"}).id
        assert engine.cancel(run).status == "cancelled"
        kept = engine.prune(NOW)
        assert (kept.runs, kept.kept, engine.get(run).status) == (0, 1, "cancelled")
        engine.work(until_idle=True)
        assert (engine.prune(NOW).runs, left(engine)["saga_runs"]) == (1, 0)


def test_a_long_run_goes_in_pieces_and_is_no_false_alarm_in_between(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(plays.saga())
    run = engine.start("play", {"name": "p"}).id
    for _ in range(30):
        engine.pause(run)
        engine.resume(run)
    engine.work(until_idle=True)
    lines = engine.get(run).revision
    monkeypatch.setattr(pruning, "LINES_FIRST", 10)
    monkeypatch.setattr(pruning, "LINES_MAX", 10)
    seen = [lines]
    while seen[-1]:
        with failpoints.switched_on(dies_after("store.prune.*")), suppress(failpoints.Injected):
            engine.prune(NOW)
        assert engine.verify().found == ()
        seen.append(left(engine)["saga_journal"])
        assert seen[-1] < seen[-2]
    assert seen == [*range(lines, 0, -10), 0]
    assert (set(left(engine).values()), engine.verify().pruned) == ({0}, 1)


def dies_after(name: str) -> Callable[[str], None]:
    """A hook that ends the program at the commit that follows the point."""
    met: list[str] = []

    def hook(point: str) -> None:
        if fnmatchcase(point, name):
            met.append(point)
        if met and point == "store.write.after_commit":
            raise failpoints.Injected(point)

    return hook


def test_a_prune_that_is_killed_anywhere_leaves_whole_runs_and_the_next_one_goes_on(
    opened: Opened, made_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(plays.saga())
    for _ in range(3):
        engine.start("play", {"name": "p"})
    long = engine.start("play", {"name": "p"}).id
    for _ in range(LINES_FIRST // 2):
        engine.pause(long)
        engine.resume(long)
    engine.work(until_idle=True)
    for point in (
        "store.prune.marked:1",
        "store.prune.removed:1",
        "store.write.before_commit:2",
        "store.prune.piece:1",
    ):
        with started(Process(KILLED, made_url, failpoints=f"{point}=kill")) as [process]:
            process.go()
            assert process.end()[0] == -9
        assert engine.verify().found == ()
        assert left(engine)["saga_runs"] in {1, 4}
    assert engine.prune(NOW).runs > 0
    assert (set(left(engine).values()), engine.verify().pruned) == ({0}, 4)


def test_two_prunes_at_once_remove_each_run_once(opened: Opened, made_url: str) -> None:
    engine = mixed(opened)
    with started(Process(KILLED, made_url), Process(KILLED, made_url)) as processes:
        for process in processes:
            process.go()
        ended = [process.end() for process in processes]
    assert [code for code, _ in ended] == [0, 0]
    assert sum(int(said[-1]) for _, said in ended) == 7
    found = engine.verify()
    assert (found.found, found.pruned, found.runs) == ((), 7, 1)


@pytest.mark.parametrize("made_url", ["postgresql"], indirect=True)
def test_nobody_who_claims_or_records_waits_for_a_prune(opened: Opened) -> None:
    """On SQLite whoever writes waits for whoever writes; there a prune is short."""
    engine = mixed(opened)
    other = opened(plays.saga(), plays.gated(), plays.waiting())
    done: list[str] = []

    def meanwhile(name: str) -> None:
        if name == "store.prune.removed" and not done:
            done.append(name)
            other.store._this_thread.busy = False
            run = other.start("play", {"name": "meanwhile"}).id
            other.work(until_idle=True)
            done.append(other.get(run).status)

    with failpoints.switched_on(meanwhile):
        assert engine.prune(NOW).runs == 7
    assert done == ["store.prune.removed", "completed"]


def test_rows_in_ledgers_stay_unless_they_are_asked_for(opened: Opened, dw: str) -> None:
    engine = opened(plays.saga(promise="effect"), connections={"dw": dw})
    heads = "SELECT task FROM {ledger}.saga_ledger_heads"

    def acted() -> str:
        with plays.playing("p", one=load("a")):
            run = engine.start("play", {"name": "p"}).id
            engine.work(until_idle=True)
        return run

    first = acted()
    engine.prune(NOW)
    assert read(dw, heads) == [(f"{first}.1",)]
    acted()
    assert engine.prune(NOW, ledgers=True).runs == 1
    assert read(dw, heads) == [(f"{first}.1",)]
    assert read(dw, "SELECT count(*) FROM {ledger}.saga_ledger_parts") == [(1,)]


def test_a_ledger_that_cannot_be_read_is_an_error_that_says_so(opened: Opened, dw: str) -> None:
    engine = opened(plays.saga(promise="effect"), connections={"dw": dw})
    with plays.playing("p", one=load("a")):
        run = engine.start("play", {"name": "p"}).id
        engine.work(until_idle=True)
    target = sa.create_engine(dw, poolclass=sa.NullPool)
    ledger = LEDGER.get(target.dialect.name, str(target.url.database))
    with target.begin() as db:
        db.exec_driver_sql(f"ALTER TABLE {ledger}.saga_ledger_heads RENAME COLUMN task TO away")
    with pytest.raises(errors.ConnectionFailed, match="dw"):
        engine.prune(NOW, ledgers=True)
    with pytest.raises(errors.ConnectionFailed, match="dw"):
        stray_runs(engine.door, engine.targets, "dw", 10)
    assert engine.get(run).status == "completed"


def test_the_pace_follows_the_time_that_a_transaction_takes() -> None:
    pace = Pace(milliseconds=50)
    assert pace.lines == LINES_FIRST
    for _ in range(20):
        pace.took(0.001)
    assert pace.lines == LINES_MAX
    for _ in range(20):
        pace.took(0.030)
    assert (pace.lines, pace.longest) == (LINES_LEAST, 0.030)
    pace.took(0.010)
    assert pace.lines == LINES_LEAST
