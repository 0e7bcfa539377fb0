"""Many reports, one transaction: each decided on its snapshot, all recorded together, each run answered for itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa
import structlog

from saga_engine import errors
from saga_engine.domain import events as e
from saga_engine.domain.decide import decide
from saga_engine.domain.draft import Decision
from saga_engine.domain.snapshot import ACTIONS, Snapshot, Task
from saga_engine.failpoints import hit
from saga_engine.runtime.deliver import Door
from saga_engine.store import runs
from saga_engine.store.connect import retrying
from saga_engine.store.record import record
from saga_engine.store.rows import Entry

UNRECORDABLE: Final = "the result cannot be recorded"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a report: the run after it, or None where the report no longer counted."""

    report: e.Report
    run: Snapshot
    moved: bool
    """True when something was decided and recorded."""


Leases = Callable[[Snapshot, Task], bool]
"""Whether the head of the line is to be recorded already leased to this worker."""


class Recorder:
    """Decides and records batches for one incarnation of a worker. Used by one thread."""

    def __init__(self, door: Door, incarnation: str, leases: Leases) -> None:
        self._door = door
        self._incarnation = incarnation
        self._leases = leases

    def record(self, batch: Sequence[tuple[Snapshot, e.Report]]) -> tuple[list[Recorded], list[e.Report]]:
        """Record a batch, at most one report for each run.

        Returns what was done, and the reports whose run had moved: to be handed in again with a fresh snapshot. An
        error that a retry cannot mend makes the batch go one by one; the culprit becomes a failed attempt.
        """
        try:
            return self._together(batch)
        except (sa.exc.DBAPIError, ValueError) as error:
            if len(batch) == 1:
                return self._unrecordable(batch[0], error)
        done: list[Recorded] = []
        again: list[e.Report] = []
        for one in batch:
            recorded, moved = self.record([one])
            done += recorded
            again += moved
        return done, again

    def fresh(self, ids: Sequence[str]) -> dict[str, Snapshot]:
        """The runs as they stand."""
        with self._door.store.read() as db:
            return runs.load(db, ids)

    def _together(self, batch: Sequence[tuple[Snapshot, e.Report]]) -> tuple[list[Recorded], list[e.Report]]:
        now = self._now()
        decided = [(run, report, self._decide(run, report, now)) for run, report in batch]
        entries = {id(report): Entry(run, report, d) for run, report, d in decided if d.commands}
        moved = self._write(list(entries.values()))
        gone = {id(entry.event) for entry in moved}
        hit("runtime.recorder.recorded")
        done = [Recorded(report, d.after, bool(d.commands)) for run, report, d in decided if id(report) not in gone]
        return done, [report for _, report, _ in decided if id(report) in gone]

    def _write(self, entries: list[Entry]) -> list[Entry]:
        """T2. After an unknown outcome nothing is assumed: the batch is handed back, and its runs are read again.

        Under their lock the next try finds them moved, if that COMMIT took, and the reports stale.
        """
        if not entries:
            return []
        store = self._door.store
        try:
            return retrying(store, lambda db: record(db, entries, store.clock(db)))
        except errors.OutcomeUnknown:
            return entries

    def _decide(self, run: Snapshot, report: e.Report, now: datetime) -> Decision:
        decision = decide(self._door.chart(run), run, report, now, self._door.budget)
        head = decision.after.head()
        if not decision.commands or head is None or not self._to_lease(decision.after, head, now):
            return decision
        leased = replace(head, attempt=head.attempt + 1, leased_by=self._incarnation)
        tasks = tuple(leased if task is head else task for task in decision.after.tasks)
        return replace(decision, after=replace(decision.after, tasks=tasks))

    def _to_lease(self, run: Snapshot, head: Task, now: datetime) -> bool:
        due = head.due_at is not None and head.due_at <= now and head.leased_by is None
        return due and head.kind in ACTIONS and not head.parked and self._leases(run, head)

    def _unrecordable(self, one: tuple[Snapshot, e.Report], error: Exception) -> tuple[list[Recorded], list[e.Report]]:
        """The database refuses what came of this attempt: that is a failure of the attempt, not of the worker."""
        run, report = one
        if isinstance(report, e.ActionFailed) and report.error.startswith(UNRECORDABLE):
            raise error
        structlog.get_logger().warning("report.unrecordable", run=run.run_id, error=type(error).__name__)
        text = f"{UNRECORDABLE}: {type(getattr(error, 'orig', None) or error).__name__}"
        failed = e.ActionFailed(report.task, report.attempt, report.incarnation, text, final=True)
        return self.record([(run, failed)])

    def _now(self) -> datetime:
        with self._door.store.read() as db:
            return self._door.store.clock(db)
