"""Nobody changes a history unseen; and nothing is seen where nobody has changed one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from saga_engine import errors
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.registry import Registry
from saga_engine.runtime.verify import verify
from saga_engine.runtime.views_operate import VerifiedView
from saga_engine.settings import Limits
from saga_engine.store import pruned
from saga_engine.store import schema as s
from saga_engine.store.connect import open_store
from saga_engine.store.prepare import prepare
from saga_engine.store.sqlite import SqliteStore
from tests.runtime.tampering import FOUND_ALONE, FOUND_WITH_ANCHOR, Tamperer
from tests.store.test_walks import STEPS_MAX, Walk
from tests.support.copies import of
from tests.support.servers import Server

pytestmark = pytest.mark.xdist_group("verify")  # one process of the tests makes what all look at

RUNS = 16
TAMPERINGS = {"sqlite": 1_000, "postgresql": 120}


class Told:
    """A store in which many runs have been through everything, and an anchor of it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.store = open_store(url)
        self.engine = sa.create_engine(url, poolclass=sa.StaticPool)
        if isinstance(self.store, SqliteStore):  # thousands of commits that need not survive anything
            assert self.store._kept is not None
            self.store._kept.connection.cursor().execute("PRAGMA synchronous = OFF")
            with self.engine.connect() as db:
                db.exec_driver_sql("PRAGMA synchronous = OFF")
        self.door = Door(self.store, Registry(), Limits())
        self.anchor = folder / "anchor"
        self.runs = [self._walked(seed) for seed in range(RUNS)]
        seed = RUNS
        while not self._has_an_open_gate():  # which walks come to one is for their dice to say
            self.runs.append(self._walked(seed))
            seed += 1
        assert verify(self.door, [], [], self.anchor).found == ()
        tamperer = Tamperer(self.engine, Random())
        self.kept = {run: tamperer.rows(run) for run in self.runs}
        self._anchor = self.anchor.read_bytes()

    @property
    def sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def _walked(self, seed: int) -> str:
        walk = Walk(self.store, Random(seed))
        for _ in range(STEPS_MAX):
            walk.step()
        assert walk.world.run.revision > 1
        return walk.world.run.run_id

    def _has_an_open_gate(self) -> bool:
        """One with a verdict."""
        here = sa.select(s.votes.c.task).join(s.approvals, s.approvals.c.task == s.votes.c.task)
        with self.engine.connect() as db:
            return db.execute(here.where(s.approvals.c.outcome.is_(None))).first() is not None

    def verified(self, *runs: str, anchored: bool = False) -> VerifiedView:
        return verify(self.door, runs, [self.anchor] if anchored else [], None)

    def as_it_was(self) -> None:
        """Put back what a test has changed."""
        self.anchor.write_bytes(self._anchor)
        tamperer = Tamperer(self.engine, Random())
        for run, kept in self.kept.items():
            if tamperer.rows(run) != kept:
                tamperer.restore(run, kept)

    def close(self) -> None:
        self.engine.dispose()
        self.store.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def walked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("told")
    with ExitStack() as closing:
        if request.param == "sqlite":
            url = f"sqlite:///{folder}/saga.db"
        else:
            server: Server = request.getfixturevalue("postgres_server")
            url = closing.enter_context(server.database())
        store = open_store(url)
        prepare(store)
        store.close()
        found = Told(url, folder)
        closing.callback(found.close)
        yield found


@pytest.fixture
def told(walked: Told) -> Iterator[Told]:
    yield walked
    walked.as_it_was()


on_sqlite = pytest.mark.parametrize("walked", ["sqlite"], indirect=True)


def lines(told: Told) -> int:
    with told.engine.connect() as db:
        return int(db.execute(sa.select(sa.func.count()).select_from(s.journal)).scalar_one())


def test_nothing_is_found_where_nobody_has_changed_anything(told: Told) -> None:
    found = told.verified(anchored=True)
    assert (found.found, found.runs, found.lines, found.anchored) == ((), len(told.runs), lines(told), len(told.runs))
    for run in told.runs:
        one = told.verified(run, anchored=True)
        assert (one.found, one.runs, one.anchored) == ((), 1, 1)


@pytest.mark.parametrize("kind", ["byte_of_text", "rewritten"])
def test_a_row_that_says_that_a_run_was_pruned_hides_nothing_of_one_that_is_there(told: Told, kind: str) -> None:
    kinds = {**FOUND_ALONE, **FOUND_WITH_ANCHOR}
    for seed, run in enumerate(told.runs):
        tamperer = Tamperer(told.engine, Random(seed))
        kinds[kind](tamperer, run)
        now = datetime.now(UTC)
        with told.store.write() as db:
            row = db.execute(sa.select(s.runs).where(s.runs.c.id == run)).one()
            head = row.revision, bytes(row.journal_hash)
            pruned.add(db, [pruned.Gone(0, run, row.saga, row.run_key, row.status, now, *head, now)])
        try:
            found = told.verified(run, anchored=kind in FOUND_WITH_ANCHOR)
        finally:
            with told.store.write() as db:
                db.execute(sa.delete(s.pruned))
            tamperer.restore(run, told.kept[run])
        assert {fault.run_id for fault in found.found} == {run}


def test_a_check_outlives_connections_that_are_lost(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, read = [0], told.store.read

    def lost_sometimes() -> AbstractContextManager[sa.Connection]:
        calls[0] += 1
        if calls[0] % 3 == 0:
            raise errors.StoreUnreachable(url="the store", reason="the test says so")
        return read()

    monkeypatch.setattr(told.store, "read", lost_sometimes)
    found = told.verified()
    assert (found.found, found.runs, calls[0] > 6) == ((), len(told.runs), True)


@pytest.mark.timeout(300)
def test_a_thousand_tamperings_are_a_thousand_found(told: Told) -> None:
    dice = Random(11)
    tamperer = Tamperer(told.engine, dice)
    kinds = {**FOUND_ALONE, **FOUND_WITH_ANCHOR}
    tried: Counter[str] = Counter()
    missed: list[str] = []
    for _ in range(TAMPERINGS[told.engine.dialect.name]):
        run, kind = dice.choice(told.runs), dice.choice(sorted(kinds))
        revision = kinds[kind](tamperer, run)
        tried[kind] += 1
        whole = kind == "removal" or dice.random() < 0.02
        found = told.verified(*([] if whole else [run]), anchored=kind in FOUND_WITH_ANCHOR)
        its = [fault for fault in found.found if fault.run_id == run]
        if kind in FOUND_ALONE:
            seen = revision in [fault.revision for fault in its]
        else:  # an anchor knows the last line, and that tells for all before it
            seen = bool({"anchor", "removed"} & {fault.what for fault in its})
        if not seen or len(its) != len(found.found):
            missed.append(f"{kind} of line {revision}: {found.found}")
        tamperer.restore(run, told.kept[run])
    assert missed == [], "\n".join(missed)
    assert min(tried[kind] for kind in kinds) >= TAMPERINGS[told.engine.dialect.name] / len(kinds) / 3
    assert told.verified(anchored=True).found == ()


@pytest.mark.parametrize("table", [s.results, s.undo, s.inbox, s.approvals, s.votes, s.tasks], ids=lambda t: t.name)
def test_a_row_that_the_journal_knows_nothing_of_and_one_that_is_gone_are_found(told: Told, table: sa.Table) -> None:
    """Results, undo stack, waiting events, open gates and their verdicts, open tasks."""
    seen = 0
    for run in told.runs:
        tamperer = Tamperer(told.engine, Random(run))
        kept = tamperer.rows(run)
        rows = [row for row in kept[table] if counts(kept, table, row)]
        if not rows:
            continue
        seen += 1
        key = [table.c[column.name] == rows[0][column.name] for column in table.primary_key.columns]
        with told.engine.begin() as db:
            if table is s.approvals:
                db.execute(sa.delete(s.votes).where(s.votes.c.task == rows[0]["task"]))
            db.execute(sa.delete(table).where(*key))
        faults = told.verified(run).found
        assert {fault.what for fault in faults} == {"row"}
        tamperer.restore(run, kept)
    assert seen > 0
    assert told.verified(anchored=True).found == ()


def counts(kept: dict[sa.Table, list[dict[str, object]]], table: sa.Table, row: dict[str, object]) -> bool:
    """Whether the row is of the run as it stands: events that were taken and gates that are over are history."""
    if table is s.inbox:
        return row["fate"] == "waiting"
    if table in (s.approvals, s.votes):
        still_open = {gate["task"] for gate in kept[s.approvals] if gate["outcome"] is None}
        return row["task"] in still_open
    return True


def test_lines_whose_run_was_removed_are_found(told: Told) -> None:
    run = told.runs[7]
    with told.engine.connect() as db:
        if told.engine.dialect.name == "postgresql":
            db.exec_driver_sql("SET session_replication_role = replica")
        db.execute(sa.delete(s.runs).where(s.runs.c.id == run))
        db.commit()
        if told.engine.dialect.name == "postgresql":
            db.exec_driver_sql("SET session_replication_role = origin")
            db.commit()
    ((fault),) = told.verified().found
    assert (fault.run_id, fault.what, "belong to no run" in fault.text) == ("", "stray", True)


@on_sqlite
def test_lines_of_what_is_no_number_are_found(told: Told) -> None:
    with told.engine.begin() as db:
        db.exec_driver_sql("UPDATE saga_journal SET run = 'x' WHERE run = 1 AND revision = 1")
    found = [fault.text for fault in told.verified().found if fault.what == "stray"]
    with told.engine.begin() as db:
        db.exec_driver_sql("UPDATE saga_journal SET run = 1 WHERE run = 'x'")
    assert found == ["1 journal lines of the run with the number x belong to no run: its row was removed"]


def test_a_history_moved_to_another_run_is_found(told: Told) -> None:
    """The chain begins with the name of its run."""
    with told.engine.begin() as db:
        rows = db.execute(sa.select(s.runs.c.id, s.runs.c.revision, s.runs.c.journal_hash)).all()
        one, other = rows[3], rows[5]
        for old, new in ((one, "x"), (other, one.id)):
            values = {"run": s.number_of(new)} if new != "x" else {"revision": s.journal.c.revision + 10_000}
            db.execute(sa.update(s.journal).where(of(s.journal, old.id), s.journal.c.revision < 10_000)
                       .values(values))  # fmt: skip
        moved = sa.and_(of(s.journal, one.id), s.journal.c.revision > 10_000)
        db.execute(sa.update(s.journal).where(moved)
                   .values(run=s.number_of(other.id), revision=s.journal.c.revision - 10_000))  # fmt: skip
        for run, new in ((one, other), (other, one)):
            fits = {"revision": new.revision, "journal_hash": new.journal_hash}
            db.execute(sa.update(s.runs).where(s.runs.c.id == run.id).values(fits))
    found = told.verified().found
    assert {fault.run_id for fault in found} == {one.id, other.id}
    assert {fault.text for fault in found if fault.what == "line"} == {
        "it was changed, or the line before it is another: its hash is not that of its content"
    }


def test_an_anchor_is_replaced_only_by_one_that_agrees_with_it(told: Told) -> None:
    before = told.anchor.read_bytes()
    tamperer = Tamperer(told.engine, Random(1))
    kept = tamperer.rows(told.runs[0])
    tamperer.removal(told.runs[0])
    refused = verify(told.door, [], [], told.anchor)
    assert ([fault.what for fault in refused.found], refused.anchor) == (["removed"], None)
    assert told.anchor.read_bytes() == before
    assert [path.name for path in told.anchor.parent.iterdir() if "anchor" in path.name] == ["anchor"]
    tamperer.restore(told.runs[0], kept)
    renewed = verify(told.door, [], [], told.anchor)
    assert (renewed.found, renewed.anchor, renewed.anchored) == ((), str(told.anchor), len(told.runs))


def test_a_run_that_has_gone_on_since_agrees_with_its_anchor(told: Told) -> None:
    walk = Walk(told.store, Random(99))
    run = walk.world.run.run_id
    assert verify(told.door, [], [], told.anchor).found == ()
    for _ in range(STEPS_MAX):
        walk.step()
    assert walk.world.run.run_id == run
    assert told.verified(anchored=True).found == ()
    assert told.verified(run, anchored=True).anchored == 1
    Tamperer(told.engine, Random()).removal(run)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda raw: raw[: len(raw) // 2], "it is no anchor"),
        (lambda raw: raw[: raw.rindex(b"\n", 0, -1) + 1], "its last line is missing"),
        (lambda raw: raw.replace(b'"length":', b'"length": ', 1), "it was changed"),
        (lambda raw: raw + b"{}\n", "something stands behind its last line"),
        (lambda raw: b"\n".join(sorted(raw.split(b"\n")[1:3], reverse=True)), "it is no anchor"),
        (lambda raw: raw.replace(b'"anchor":1', b'"anchor":9', 1), "its format is 9, this program knows 1"),
        (lambda _: b"\xff\x00", "it is no anchor"),
        (lambda _: b"", "it is no anchor"),
    ],
    ids=["cut", "no foot", "changed", "more", "two lines", "format", "bytes", "empty"],
)
@on_sqlite
def test_an_anchor_that_is_not_whole_is_refused(told: Told, change: object, reason: str) -> None:
    assert callable(change)
    told.anchor.write_bytes(change(told.anchor.read_bytes()))
    with pytest.raises(errors.AnchorUnusable) as refused:
        told.verified(anchored=True)
    assert (reason in str(refused.value), refused.value.exit_code) == (True, 2)


@on_sqlite
def test_the_anchor_of_another_store_is_found_out(told: Told) -> None:
    with told.engine.begin() as db:
        db.execute(sa.update(s.store).values(uuid="another"))
    ((fault),) = told.verified(anchored=True).found
    assert (fault.what, "and this is another" in fault.text) == ("store", True)
    with told.engine.begin() as db:
        db.execute(sa.update(s.store).values(uuid=json.loads(told.anchor.open().readline())["store"]))


@on_sqlite
def test_an_anchor_holds_nothing_of_the_users_data(told: Told) -> None:
    found = [json.loads(line) for line in told.anchor.read_text().splitlines()]
    assert [set(line) for line in (found[0], found[1], found[-1])] == [
        {"anchor", "store", "at", "pruned", "pruned_hash"},
        {"run", "length", "hash", "fixed"},
        {"runs", "digest"},
    ]
    assert [line["run"] for line in found[1:-1]] == sorted(told.runs)


@on_sqlite
def test_an_anchor_is_never_written_of_some_runs(told: Told) -> None:
    with pytest.raises(errors.BadInput, match="name no run with --write-anchor"):
        verify(told.door, told.runs[:1], [], told.anchor)
    missing = told.anchor.parent / "no folder" / "anchor"
    with pytest.raises(errors.AnchorUnusable, match="it cannot be written: No such file"):
        verify(told.door, [], [], missing)
