"""The loop of a worker: claim what is due, run it, record what came of it, in batches; drain when asked to stop."""

from collections.abc import Collection, Sequence
from queue import Empty
from time import monotonic, sleep
from typing import Final

import structlog

from saga_engine import errors
from saga_engine.domain import events as e
from saga_engine.domain.snapshot import ACTIONS, Snapshot, Task
from saga_engine.failpoints import hit
from saga_engine.runtime import draining
from saga_engine.runtime.attempt import Attempt, is_manual
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.executor import STORE_AWAY
from saga_engine.runtime.ids import run_id_of
from saga_engine.runtime.outfit import outfit
from saga_engine.runtime.recorder import Recorded, one_each
from saga_engine.runtime.slots import KILL_SECONDS, slots_of
from saga_engine.runtime.targets import Targets
from saga_engine.runtime.undecided import Undecided
from saga_engine.runtime.waking import listening
from saga_engine.settings import Settings
from saga_engine.store import tasks
from saga_engine.store.connect import retrying
from saga_engine.store.tasks import Lease

GAVE_UP_EXIT: Final = 75
"""The exit code when half of the slots hang: start a new worker (CLI, "Exit codes")."""
TICK_SECONDS: Final = 0.1
"""How often running attempts are looked at."""
STORE_PAUSE_SECONDS: Final = 1.0
"""How long to wait when the store does not answer."""


class Worker:
    """One worker: ``run`` once, in the calling thread; ``stop`` from any other, or from a signal handler."""

    def __init__(
        self, door: Door, targets: Targets, settings: Settings, store_uuid: str, *, slots: int, queues: tuple[str, ...]
    ) -> None:
        self._door, self._store, self._limits = door, door.store, settings.limits
        self._queues = queues
        self._slots = slots_of(door, targets, settings, store_uuid, slots)
        self._stopping = False
        self._runs: dict[str, Snapshot] = {}
        """Snapshots of the runs that this worker holds a task of."""
        self._reports: list[e.Report] = []
        """Not recorded yet."""
        self._begins: Lease | None = None
        """What is about to be started."""
        self._undecided = Undecided()
        self._returned: list[Lease] = []
        """To be handed back."""
        self._only_once: set[Lease] = set()
        """Manual attempts that came back and are not recorded."""

    def stop(self) -> None:
        """Ask the worker to drain: nothing new starts, what runs may end within the grace."""
        self._stopping = True
        self._slots.came.put(None)

    def run(self, *, until_idle: bool = False) -> int:
        """Work until stopped, or until nothing is due, runs or backs off; 0, or 75 when half of the slots hang."""
        self._begin()
        try:
            with listening(self._store, self._hint, wanted=not until_idle):
                while not self._stopping and not self._gave_up():
                    self._round(until_idle=until_idle)
                    if until_idle and self._quiet() and self._claiming.idle:
                        break  # the look that was made when all was quiet found nothing to do, now or after a back-off
            return GAVE_UP_EXIT if self._gave_up() else 0
        finally:
            self._drain()

    def _hint(self, said: bool) -> None:  # noqa: FBT001  an Ear's answer
        """Something may have come due. Called by the thread that listens."""
        self._claiming.hint(said=said)
        self._slots.came.put(None)

    def _begin(self) -> None:
        """A new life: also after the old one was ended from outside."""
        new = outfit(self._door, self._queues, self._slots, self._mine, self._leases, self._undecided)
        self._me, self._claiming, self._chaining, self._recorder, self._places = new
        self._door.places[self._me.id] = self._places

    @property
    def _free(self) -> int:
        """Slots that are free, and not kept for a start in this process."""
        return self._slots.free - self._places.kept

    def _mine(self) -> set[Lease]:
        """What this process knows that it holds. Asked by the thread that renews, too."""
        reported = {(report.task, report.attempt) for report in [*self._reports]}
        begins = self._begins
        return {*self._slots.held(), *reported, *self._undecided.leases(), *([] if begins is None else [begins])}

    def _round(self, *, until_idle: bool) -> None:
        """One turn of the loop."""
        try:
            if self._me.lost.is_set():
                self._start_over()
            self._listen()
            self._record()
            if until_idle and self._quiet():
                self._claiming.soon()
            self._arrive()
            self._claim()
            self._give_back()
            self._places.offer(0 if self._stopping or self._claiming.is_busy else self._slots.free)
        except STORE_AWAY as error:
            self._claiming.store_was_away()
            self._wait_for_store(error)

    def _wait_for_store(self, error: errors.StoreError) -> None:
        # What was done is kept in memory and recorded when the store is back, or refused by the fence.
        structlog.get_logger().warning("store.away", reason=str(error))
        self._runs.clear()  # a lease that was read, and not begun with, may be handed back by then
        sleep(STORE_PAUSE_SECONDS)

    def _listen(self) -> None:
        """Wait for a report, no longer than a tick; take what else has come meanwhile, up to a batch."""
        # A worker that may not claim now does not look: to be called at once would only burn the processor.
        looks = self._me.trusted and not self._stopping
        look = self._claiming.seconds(self._free) if looks else TICK_SECONDS
        wait = 0.0 if self._reports else min(TICK_SECONDS, look)
        try:
            while len(self._reports) < self._limits.batch_rows:
                came = self._slots.came.get(timeout=wait) if wait else self._slots.came.get_nowait()
                if came is not None:
                    self._came_back(*came)
                wait = self._slots.gathering.seconds()
        except Empty:
            pass
        self._slots.ask_to_end(self._me.asked_to_end)
        self._slots.disown(self._me.gone)
        self._reports += [*self._slots.overdue(), *self._undecided.due()]

    def _came_back(self, lease: Lease, report: e.Report | None) -> None:
        """Keep the report; in a drain an attempt may have come back because it was asked to stop."""
        attempt = self._slots.finished(lease)
        if attempt is None or report is None:
            return
        if is_manual(attempt.chart, attempt.task):
            self._only_once.add(lease)
        run = self._runs.get(run_id_of(lease[0])) if self._stopping else None
        if run and not draining.must_tell(run, attempt, report):
            self._returned.append(lease)
        else:
            self._reports.append(report)

    def _record(self) -> None:
        """Decide and record one report of each run; the others wait for the next round."""
        first, later = one_each(self._reports, self._limits.batch_rows)
        if not first:
            return
        self._load([run_id for run_id in first if run_id not in self._runs])
        self._chaining.begin(self._free)
        outcome = self._recorder.record([(self._runs[run], first[run]) for run in first if run in self._runs])
        self._reports = outcome.moved + later
        self._only_once -= {(done.report.task, done.report.attempt) for done in outcome.done}
        held = self._mine() if outcome.done else set()
        for recorded in outcome.done:
            self._door.still.tell(recorded.run)
            self._go_on(recorded, held)
        self._load([run_id_of(report.task) for report in outcome.moved])

    def _go_on(self, recorded: Recorded, held: Collection[Lease]) -> None:
        """Start what the run has leased to this worker, less what is *held*; forget a run that it holds nothing of."""
        run, report = recorded.run, recorded.report
        mine = [task for task in run.tasks if task.leased_by == self._me.id]
        if mine:
            self._runs[run.run_id] = run
        else:
            self._runs.pop(run.run_id, None)
            self._chaining.forget(run.run_id)
        for task in mine:
            lease = (task.name, task.attempt)
            if task.ending:
                self._slots.ask_to_end([lease])
            elif self._is_new(run, task, report) and task.kind in ACTIONS and lease not in held and not run.paused:
                self._start(run, task, suspect=isinstance(report, e.AttemptLost) and report.crashes > 0)
        self._claiming.follow(run, self._recorder.now)

    def _is_new(self, run: Snapshot, task: Task, report: e.Report) -> bool:
        """Recorded already leased, or claimed with nothing to decide first; what nobody asked about is handed back."""
        lease = (task.name, task.attempt)
        own = lease == (report.task, report.attempt)
        asked = isinstance(report, e.AttemptLost) if own else task.lost_by is None
        return asked and not self._slots.knows(lease) and not self._places.awaits(run, task)

    def _start(self, run: Snapshot, task: Task, *, suspect: bool = False) -> None:
        """Run an attempt, if this worker may; else hand it back, not started."""
        hit("runtime.attempt.start")
        attempt = Attempt(run, task, self._door.chart(run), self._me.id)
        self._begins = attempt.lease  # told before it is asked about
        if self._stopping or not self._me.keeps(attempt.lease) or self._slots.free <= 0:
            self._returned.append(attempt.lease)
        else:
            self._slots.start(attempt, suspect=suspect, alone=self._claiming.is_alone(attempt.lease))
        self._begins = None

    def _arrive(self) -> None:
        """Start what was asked for in this process and is recorded already leased."""
        for run, task in self._places.arrived():
            known = self._runs.get(run.run_id)
            if known is None or known.revision < run.revision:
                self._runs[run.run_id] = run
            self._start(run, task)
            self._claiming.follow(run, task.due_at)

    def _give_back(self) -> None:
        """Release what was not started, or ended without a report; nothing is counted."""
        if self._returned:
            store, leases = self._store, [*self._returned]
            retrying(store, lambda db: tasks.release(db, self._me.id, leases, store.clock(db)))
            for task, _ in leases:
                self._runs.pop(run_id_of(task), None)
            self._returned = []
            store.tell_due()

    def _leases(self, run: Snapshot) -> bool:
        """Whether the next task of a run is recorded already leased to this worker."""
        may = not (self._stopping or self._claiming.holds_back or self._claiming.recovers)
        return may and self._chaining.goes_on(run, backlog=self._claiming.backlog)

    def _claim(self) -> None:
        """Start what is due; timers fire, and an earlier attempt that never came back is asked about first."""
        if not self._me.trusted or self._stopping:
            return
        for run, task, crashes, now in self._claiming.claim(self._free):
            self._runs[run.run_id] = run
            if task.kind == "timer":
                self._reports.append(e.TimerFired(task.name, task.attempt, self._me.id))
            elif (lost := self._recorder.loss(run, task, crashes, now)) is not None:
                self._reports.append(lost)
            else:
                self._start(run, task, suspect=crashes > 0)

    def _load(self, ids: Sequence[str]) -> None:
        if ids:
            self._runs.update(self._recorder.fresh(ids))

    def _quiet(self) -> bool:
        """Nothing runs here and nothing waits to be recorded."""
        return not (self._slots.busy or self._places.kept or self._reports) and self._slots.came.empty()

    def _gave_up(self) -> bool:
        return 0 < self._slots.size <= self._slots.hung * 2

    def _start_over(self) -> None:
        """Others have ended this life: drop all that was held, and begin a new one."""
        structlog.get_logger().warning("worker.lost_lease", incarnation=self._me.id)
        self._slots.disown(self._slots.held())
        self._reports, self._returned, self._only_once, self._undecided = [], [], set(), Undecided()
        self._runs.clear()
        self._me.abandon()
        self._door.places.pop(self._me.id, None)
        self._begin()

    def _drain(self) -> None:
        """Give running attempts the grace, record what comes, hand back the rest; the release is the last write."""
        self._stopping = True
        self._door.places.pop(self._me.id, None)
        self._places.offer(0)
        self._slots.tell_all()
        try:
            if not self._me.lost.is_set():
                self._wind_down()
        except errors.StoreError as error:
            structlog.get_logger().warning("worker.drain_unrecorded", reason=str(error))
        finally:
            hanging = {*self._slots.held(), *self._only_once, *self._undecided.leases()}
            self._slots.close()
            self._me.end(hanging)

    def _wind_down(self) -> None:
        """Until everything has come back, or the grace is over and what can be killed is killed."""
        self._until_back(self._limits.grace_seconds)
        if self._slots.kill(self._slots.held()):
            self._until_back(KILL_SECONDS)
        self._reports += draining.cut_off(self._slots.attempts())
        self._record()

    def _until_back(self, seconds: float) -> None:
        until = monotonic() + seconds
        while True:
            try:
                self._record()
                self._arrive()
                self._give_back()
                if not (self._slots.busy or self._places.kept or self._reports) or monotonic() >= until:
                    return
            except STORE_AWAY as error:
                if monotonic() >= until:
                    raise
                self._wait_for_store(error)
            self._listen()
