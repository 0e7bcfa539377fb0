"""Plays worker, person and clock for one run in a real store; ``run`` is the run as the store must hold it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.decide import decide
from saga_engine.domain.draft import Decision
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.runtime import ids
from saga_engine.store import claims, definitions, incarnations, runs
from saga_engine.store.claims import Claimed, Kind, Menu
from saga_engine.store.connect import Store
from saga_engine.store.entry import Entry, Heads, NewRun, Pinned
from saga_engine.store.incarnations import Birth
from saga_engine.store.recording import write
from tests.store import sagas

START: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LEASE: Final = timedelta(seconds=15)


class World:
    """A queue of its own, and one run in it. Time passes only where a test says so, and a little at each decision."""

    def __init__(self, store: Store, chart: Chart | None = None, queue: str = "") -> None:
        self.store = store
        self.chart = chart or sagas.chart()
        self.queue = queue or f"queue {secrets.token_hex(4)}"
        self.now = START
        self.heads: Heads = {}
        """What I know of the rows of runs: where it is enough, a decision is written the short way."""
        with store.write() as db:
            self.definition = definitions.register(db, [self.chart])[self.chart.digest]
        self.menu = Menu((self.queue,), (self.definition,))
        self.me = self.begin()
        self.run = self.start()

    # --- runs and decisions

    def start(self, key: str | None = None) -> Snapshot:
        """Start a run; it is stored and returned."""
        run_id = ids.new_run_id()
        before = Snapshot(run_id, self.chart.name, 1, self.chart.digest, "{}", "ann")
        event = e.RunStarted("ann")
        decision = decide(self.chart, before, event, self.now)
        new = NewRun(ids.tag_of(run_id), key, Pinned(self.definition, self.queue))
        assert self.write(Entry(before, event, decision, new)) == []
        return decision.after

    def decided(self, event: e.Event, run: Snapshot | None = None) -> Entry:
        """What *event* means for the run, not recorded yet."""
        before = run or self.run
        self.now += timedelta(milliseconds=1)
        return Entry(before, event, decide(self.chart, before, event, self.now))

    def write(self, *entries: Entry) -> list[Entry]:
        """Record them, the shortest way; what is returned has moved."""
        return write(self.store, entries, self.heads, lambda _: self.now)

    def tell(self, event: e.Event, *, lease_on: bool = False) -> Decision:
        """Let *event* happen to the run; with *lease_on* what is due next is recorded as leased by me."""
        entry = self.decided(event)
        if lease_on:
            entry = replace(entry, decision=self.leased_on(entry.decision))
        if entry.decision.commands:
            assert self.write(entry) == []
            self.run = entry.decision.after
        return entry.decision

    def leased_on(self, decision: Decision) -> Decision:
        head = decision.after.head()
        if head is None or head.due_at is None or head.due_at > self.now or head.leased_by or not decision.commands:
            return decision
        leased = replace(head, attempt=head.attempt + 1, leased_by=self.me)
        tasks = tuple(leased if task is head else task for task in decision.after.tasks)
        return replace(decision, after=replace(decision.after, tasks=tasks))

    def stored(self, run_id: str = "") -> Snapshot:
        """The run as the store holds it."""
        with self.store.read() as db:
            found = runs.load_one(db, run_id or self.run.run_id)
        assert found is not None
        return found

    # --- workers

    def begin(self) -> str:
        """A new incarnation, whose lease runs from now."""
        name = secrets.token_hex(6)
        birth = Birth(
            name, "db-1", 4711, "/run/x", 1, 2, "boot", (self.queue,), {"everything v1": self.definition}, {}, 8
        )
        with self.store.write() as db:
            incarnations.begin(db, birth, self.now, LEASE)
        return name

    def claim(self, kind: Kind = "action", limit: int = 10, by: str = "") -> list[Claimed]:
        """Lease what is due; ``run`` follows."""
        with self.store.write() as db:
            found = claims.claim(db, by or self.me, self.menu, kind, limit, self.now)
        for claimed in found:
            self._change(claimed.name, attempt=claimed.attempt, leased_by=by or self.me)
        return found

    def end(self, how: str, by: str = "") -> None:
        """End an incarnation and free what it held; ``run`` follows. A new one takes its place."""
        gone = by or self.me
        with self.store.write() as db:
            incarnations.end(db, gone, self.now, how)
        with self.store.write() as db:
            claims.free_ended(db, self.now, 100)
        for task in self.run.tasks:
            if task.leased_by == gone:
                self._change(task.name, **self._loss(task, how))
        self.me = self.begin()

    def _loss(self, task: Task, how: str) -> dict[str, object]:
        free: dict[str, object] = {"leased_by": None}
        if how == "released" or (task.lost_by and not task.lost_dead):
            return free
        return {**free, "lost_by": "db-1 pid 4711", "lost_dead": how == "dead"}

    def _change(self, name: str, **fields: object) -> None:
        changed = (replace(task, **fields) if task.name == name else task for task in self.run.tasks)  # type: ignore[arg-type]  # fields of Task
        self.run = replace(self.run, tasks=tuple(changed))

    # --- reports of the attempt at hand

    def at_hand(self) -> Task:
        """The leased head of the line, leased now where nobody holds it."""
        head = self.run.head()
        assert head is not None
        if head.leased_by is None:
            self.claim()
            head = self.run.head()
        assert head is not None
        assert head.leased_by is not None, f"nobody can take {head}"
        return head

    def success(self, value: str = "") -> e.ActionSucceeded:
        task = self.at_hand()
        return e.ActionSucceeded(task.name, task.attempt, task.leased_by or "", value or self.value_of(task))

    def failure(self, error: str = "ValueError: bad", *, final: bool = False) -> e.ActionFailed:
        task = self.at_hand()
        return e.ActionFailed(task.name, task.attempt, task.leased_by or "", error, final)

    def value_of(self, task: Task, n: int = 1) -> str:
        """A result that the task's step may have."""
        returns = task.kind == "step" and self.chart.run_of(task.state).result is not None
        return f'{{"n":{n}}}' if returns else "null"

    def reach(self, state: str) -> None:
        """Bring the run to *state*, by successes alone."""
        for _ in range(20):
            head = self.run.head()
            if self.run.state == state and (head is None or head.kind in ("step", "wait", "gate", "undo")):
                return
            if head is not None and head.kind == "wait":
                self.tell(e.EventReceived("go", "{}", "ann"))
            elif self.run.gate is not None:
                voted = len(self.run.gate.votes)
                self.tell(e.VerdictGiven(True, self.run.gate.digest, ("ann", "bob")[voted], ("dba",)))
            else:
                self.tell(self.success())
        raise AssertionError(f"{state} is not reached: {self.run}")
