"""Many reports, one transaction: each decided on its snapshot, all recorded together, each run answered for itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog

from saga_engine import errors
from saga_engine.domain import events as e
from saga_engine.domain.decide import decide
from saga_engine.domain.draft import Decision
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.failpoints import hit
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.ids import run_id_of
from saga_engine.runtime.leasing import leasable, leased
from saga_engine.runtime.undecided import AGAIN_SECONDS, Undecided
from saga_engine.store import findings, runs
from saga_engine.store.entry import Entry, Heads
from saga_engine.store.recording import write

if TYPE_CHECKING:
    import sqlalchemy as sa

UNRECORDABLE: Final = "the result cannot be recorded"

HEADS_MAX: Final = 5_000
"""So many heads of runs are kept. A run without one takes the long way."""
CAME_BACK: Final = (e.ActionSucceeded, e.ActionFailed)
"""Reports of attempts that have ended."""

Leases: TypeAlias = Callable[[Snapshot], bool]
"""Whether the next task of a run is to be recorded already leased to this worker."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A report, and the run as it is now. A report that no longer counted, or had no consequence, changed nothing."""

    report: e.Report
    run: Snapshot


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch: *done*, and the reports whose run has *moved*, to be decided anew on what it is now."""

    done: list[Recorded]
    moved: list[e.Report]


def one_each(reports: Sequence[e.Report], most: int) -> tuple[dict[str, e.Report], list[e.Report]]:
    """The first report of each run among the first *most*, by run; and the others, in order, for the next batch."""
    first: dict[str, e.Report] = {}
    later = [report for report in reports[:most] if first.setdefault(run_id_of(report.task), report) is not report]
    return first, [*later, *reports[most:]]


class Recorder:
    """Decides and records batches for one incarnation of a worker. Used by one thread."""

    def __init__(
        self, door: Door, incarnation: str, leases: Leases, undecided: Undecided, heads: Heads | None = None
    ) -> None:
        self._door = door
        self._incarnation = incarnation
        self._leases = leases
        self._undecided = undecided
        self._heads: Heads = {} if heads is None else heads
        """Of runs that this life holds a task of, and recorded last."""
        self._unrecorded: set[str] = set()
        """Runs of which ``saga why`` was told that something cannot be recorded."""
        self.now = datetime.min.replace(tzinfo=UTC)
        """The database's clock at the last batch, or when runs were read last."""

    def record(self, batch: Sequence[tuple[Snapshot, e.Report]]) -> Outcome:
        """Record a batch, at most one report for each run.

        An error that a retry cannot mend makes the batch go one by one; the culprit becomes a failed attempt, its
        neighbours commit. A store that is away raises, and nothing is lost: hand the batch in again.
        """
        try:
            outcome = self._together(batch)
        except errors.StoreError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it is of one run: the others must not wait for it
            if len(batch) == 1:
                return self._unrecordable(batch[0], error)
        else:
            if self._unrecorded:
                self._forget({recorded.run.run_id for recorded in outcome.done} & self._unrecorded)
            return outcome
        each = [self.record([one]) for one in batch]
        return Outcome([x for one in each for x in one.done], [x for one in each for x in one.moved])

    def loss(self, run: Snapshot, task: Task, crashes: int, now: datetime) -> e.AttemptLost | None:
        """What has to be decided before a claimed task begins, whose earlier attempt never came back; None: nothing.

        *run* is as its claim has left it, *now*.
        """
        if not (task.lost_by or task.ending or run.paused):
            return None
        dead = task.lost_dead or task.lost_by is None
        lost = e.AttemptLost(task.name, task.attempt, self._incarnation, crashes, dead, task.lost_by or "no worker")
        try:
            return lost if decide(self._door.chart(run), run, lost, now, self._door.budget).commands else None
        except Exception:  # noqa: BLE001  whatever it is, it is of one run, and said when that is recorded
            return lost

    def fresh(self, ids: Sequence[str]) -> dict[str, Snapshot]:
        """The runs as they stand."""
        with self._door.store.glance() as db:
            self.now = self._door.store.clock(db)
            return runs.load(db, ids)

    def _together(self, batch: Sequence[tuple[Snapshot, e.Report]]) -> Outcome:
        now = self.now = self._door.store.now()
        entries = [Entry(run, report, self._decide(run, report, now)) for run, report in batch]
        moved = self._write([entry for entry in entries if entry.decision.commands])
        hit("runtime.recorder.recorded")
        gone = {entry.run_id for entry in moved} | self._outdated([x for x in entries if not x.decision.commands])
        outcome = Outcome([], [])
        for (_, report), entry in zip(batch, entries, strict=True):
            if entry.run_id in gone:
                outcome.moved.append(report)
            else:
                outcome.done.append(Recorded(report, entry.decision.after))
        return outcome

    def _outdated(self, entries: list[Entry]) -> set[str]:
        """Of runs of which nothing follows, those that are not any more what that was decided on.

        What is written is compared under the lock; but that nothing is to be written is a decision, too: on an old
        snapshot it would drop the only report of an attempt that somebody has asked to end since.
        """
        if not entries:
            return set()
        found = self.fresh([entry.run_id for entry in entries])
        return {entry.run_id for entry in entries if found.get(entry.run_id) != entry.before}

    def _write(self, entries: list[Entry]) -> list[Entry]:
        """T2. After an unknown outcome nothing is assumed: the batch is handed back, and its runs are read again.

        Under their lock the next try finds them moved, if that COMMIT took, and the reports stale.
        """
        if not entries:
            return []
        store = self._door.store
        try:
            return write(store, entries, self._heads, store.clock)
        except errors.OutcomeUnknown:
            return entries
        finally:
            for entry in entries:
                if not any(task.leased_by == self._incarnation for task in entry.decision.after.tasks):
                    self._heads.pop(entry.run_id, None)
            if len(self._heads) > HEADS_MAX:  # of runs that this life has lost without a decision
                self._heads.clear()

    def _decide(self, run: Snapshot, report: e.Report, now: datetime) -> Decision:
        chart = self._door.chart(run)
        decision = decide(chart, run, report, now, self._door.budget)
        head = leasable(chart, decision.after, now) if decision.commands else None
        if head is None or not self._leases(decision.after):
            return decision
        return leased(decision, head, self._incarnation)[0]

    def _unrecordable(self, one: tuple[Snapshot, e.Report], error: Exception) -> Outcome:
        """The database refuses what came of this attempt: that is a failure of the attempt, not of the worker.

        What is no such report, or cannot be recorded as a failure either, is tried again in a while, as it is.
        """
        run, report = one
        kind = type(getattr(error, "orig", None) or error).__name__
        log = structlog.get_logger().bind(run=run.run_id, task=report.task, error=kind)
        if isinstance(report, CAME_BACK):
            log.warning("report.unrecordable")
            text = f"{UNRECORDABLE}: {kind}"
            failed = e.ActionFailed(report.task, report.attempt, report.incarnation, text, final=True)
            try:
                return self._together([(run, failed)])
            except errors.StoreError:
                raise
            except Exception:  # noqa: BLE001, S110  then it is not what came of the attempt that is wrong
                pass
        log.error("run.undecidable")
        self._undecided.keep(report)
        self._say_unrecorded(run, report, kind)
        return Outcome([], [])

    def _say_unrecorded(self, run: Snapshot, report: e.Report, kind: str) -> None:
        """For ``saga why``. A store that refuses this, too, leaves it to the log."""
        store, task = self._door.store, run.task(report.task)
        what = f"the {task.kind} of {task.state}" if task is not None else "an attempt"
        text = f"what came of {what} cannot be recorded ({kind}): its worker tries again every {AGAIN_SECONDS:.0f} s"
        self._unrecorded.add(run.run_id)
        self._note_finding(run.run_id, lambda db: findings.say_unrecorded(db, run.run_id, text, store.clock(db)))

    def _forget(self, runs_done: set[str]) -> None:
        """What came of these is recorded after all; where that cannot be said, a keeper finds it out."""
        self._unrecorded -= runs_done
        for run in sorted(runs_done):
            self._note_finding(run, partial(findings.forget_unrecorded, run=run))

    def _note_finding(self, run: str, say: "Callable[[sa.Connection], None]") -> None:
        try:
            with self._door.store.write() as db:
                say(db)
        except Exception as error:  # noqa: BLE001  it is of one run, and only said
            structlog.get_logger().warning("run.undecidable.unsaid", run=run, reason=type(error).__name__)
