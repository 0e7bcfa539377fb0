"""The loop of a worker: claim what is due, run it, record what came of it, in batches; drain when asked to stop."""

import os
import random
from collections.abc import Sequence
from queue import Empty
from threading import Event as Flag
from time import monotonic, sleep
from typing import Final

import structlog

from saga_engine import errors
from saga_engine.domain import events as e
from saga_engine.domain.snapshot import ACTIONS, Snapshot, Task
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.incarnation import Incarnation, Serves
from saga_engine.runtime.keeper import Keeper
from saga_engine.runtime.life import runtime_directory
from saga_engine.runtime.recorder import Recorder
from saga_engine.runtime.slots import Slots
from saga_engine.runtime.step import Attempt, Hands
from saga_engine.runtime.targets import Targets
from saga_engine.settings import Settings
from saga_engine.store import claims, tasks
from saga_engine.store.claims import Claimed, Kind, Menu
from saga_engine.store.connect import retrying

GAVE_UP_EXIT: Final = 75
"""The exit code when half of the slots hang: start a new worker (CLI, "Exit codes")."""
CHAINED_MAX: Final = 16
"""So many steps of a run follow each other without a claim, before other due work gets its turn."""
TICK_SECONDS: Final = 0.1
"""How often running attempts are looked at."""
FINDINGS_SECONDS: Final = 10.0
STORE_PAUSE_SECONDS: Final = 1.0
"""How long to wait when the store does not answer."""


class Worker:
    """One worker: ``run`` in the calling thread, ``stop`` from any other, or from a signal handler."""

    def __init__(
        self, door: Door, targets: Targets, settings: Settings, store_uuid: str, *, slots: int, queues: tuple[str, ...]
    ) -> None:
        self._door, self._store, self._limits = door, door.store, settings.limits
        self._queues = queues
        hands = Hands(door.store, targets, store_uuid, settings.limits.result_bytes_max)
        self._slots = Slots(slots, hands, settings.limits.grace_seconds, os.getpid())
        self._stopping = Flag()
        self._runs: dict[str, Snapshot] = {}
        """Snapshots of the runs that this worker holds a task of."""
        self._reports: list[e.Report] = []
        self._chained: dict[str, int] = {}
        self._next_claim = 0.0
        self._next_findings = 0.0
        self._due_later = False

    def stop(self) -> None:
        """Ask the worker to drain: nothing new starts, what runs may end within the grace."""
        self._stopping.set()

    def run(self, *, until_idle: bool = False) -> int:
        """Work until stopped, or until nothing is due, runs or backs off; 0, or 75 when half of the slots hang."""
        self._begin()
        try:
            while not self._stopping.is_set() and not self._gave_up():
                if self._round() and until_idle and self._idle():
                    break
            return GAVE_UP_EXIT if self._gave_up() else 0
        finally:
            self._drain()

    def _begin(self) -> None:
        """A new life: also after the old one lost its lease."""
        self._pins = self._door.pins()
        loaded = {f"{c.name} v{c.version}": self._pins[c.digest] for c in self._door.registry}
        serves = Serves(self._queues, loaded, self._door.registry.broken, self._slots.size)
        directory = runtime_directory()
        self._me = Incarnation(self._store, self._limits, directory, serves, os.getpid(), self._slots.held)
        self._recorder = Recorder(self._door, self._me.id, self._leases)
        self._keeper = Keeper(self._store, self._me.id)
        structlog.get_logger().info("worker.began", incarnation=self._me.id, slots=self._slots.size)

    def _round(self) -> bool:
        """One turn of the loop; True when a look for due work found none."""
        try:
            if self._me.lost.is_set():
                self._start_over()
            self._listen()
            self._record()
            return self._look_for_work()
        except (errors.StoreUnreachable, errors.StoreBusy, errors.StoreFull) as error:
            # What was done is kept in memory and recorded when the store is back, or refused by the fence.
            structlog.get_logger().warning("store.away", reason=str(error))
            sleep(STORE_PAUSE_SECONDS)
            return False

    def _listen(self) -> None:
        """Wait for a report, no longer than a tick; take what else has come meanwhile, up to a batch."""
        wait = 0.0 if self._reports else TICK_SECONDS
        if self._slots.free and not self._reports:
            wait = min(wait, max(0.0, self._next_claim - monotonic()))
        try:
            while len(self._reports) < self._limits.batch_rows:
                task, report = self._slots.reports.get(timeout=wait) if wait else self._slots.reports.get_nowait()
                self._came_back(task, report)
                wait = 0.0
        except Empty:
            pass
        self._slots.ask_to_end(self._me.asked_to_end)
        self._reports += self._slots.overdue()

    def _came_back(self, task: str, report: e.Report | None) -> None:
        if not self._slots.finished(task) or report is None:
            return
        run = self._run_of(task)
        held = run.task(task) if run else None
        if self._stopping.is_set() and isinstance(report, e.ActionFailed) and held is not None and not held.ending:
            # It failed because it was asked to stop, for all we know: handed back, nothing is counted.
            self._hand_back([(task, report.attempt)])
        else:
            self._reports.append(report)

    def _record(self) -> None:
        """Decide and record one report of each run; the others wait for the next round."""
        first: dict[str, e.Report] = {}
        later: list[e.Report] = []
        for report in self._reports[: self._limits.batch_rows]:
            run_id = _run_id(report.task)
            (later.append(report) if run_id in first else first.setdefault(run_id, report))
        later += self._reports[self._limits.batch_rows :]
        if not first:
            return
        self._load([run_id for run_id in first if run_id not in self._runs])
        batch = [(self._runs[run_id], report) for run_id, report in first.items() if run_id in self._runs]
        done, moved = self._recorder.record(batch)
        self._load([_run_id(report.task) for report in moved])
        self._reports = moved + later
        for recorded in done:
            self._go_on(recorded.report, recorded.run, moved=recorded.moved)

    def _go_on(self, report: e.Report, run: Snapshot, *, moved: bool) -> None:
        """Start what the run has leased to this worker by now; forget a run that it holds nothing of."""
        self._runs[run.run_id] = run
        asked_about = {pending.task for pending in self._reports}
        for task in run.tasks:
            if task.name in asked_about:
                continue
            if task.leased_by == self._me.id and task.ending and self._slots.has(task.name):
                self._slots.ask_to_end({task.name})
            elif task.leased_by == self._me.id and not self._slots.has(task.name) and task.kind in ACTIONS:
                # Either recorded already leased, or a lost attempt of which nothing had to be decided.
                if task.name != report.task or not moved or task.attempt > report.attempt:
                    self._start(run, task)
        if not any(task.leased_by == self._me.id for task in run.tasks):
            self._runs.pop(run.run_id, None)
            self._chained.pop(run.run_id, None)
        if any(task.due_at and task.leased_by is None for task in run.tasks):
            self._next_claim = 0.0

    def _start(self, run: Snapshot, task: Task) -> None:
        self._slots.start(Attempt(run, task, self._door.chart(run), self._me.id))

    def _leases(self, run: Snapshot, head: Task) -> bool:
        """Whether the next task of a run is recorded already leased to this worker (PROTOCOL, T2)."""
        if self._stopping.is_set() or run.paused or self._me.lost.is_set():
            return False
        chart = self._door.chart(run)
        if head.kind == "step" and chart.run_of(head.state).promise == "manual":
            return False
        chained = self._chained.get(run.run_id, 0) + 1
        self._chained[run.run_id] = 0 if chained > CHAINED_MAX else chained
        return chained <= CHAINED_MAX

    def _look_for_work(self) -> bool:
        """Claim what is due, when it is time to look; True when there was nothing."""
        if monotonic() < self._next_claim or self._slots.free <= 0:
            return False
        self._keeper.round()
        if monotonic() >= self._next_findings:
            self._keeper.find()
            self._keeper.sweep()
            self._next_findings = monotonic() + FINDINGS_SECONDS
        claimed = self._claim()
        if len(claimed) < self._slots.free:
            jitter = random.uniform(-self._limits.poll_jitter, self._limits.poll_jitter)  # noqa: S311  no secret
            self._next_claim = monotonic() + self._limits.poll_seconds * (1 + jitter)
        self._take(claimed)
        return not claimed

    def _claim(self) -> list[Claimed]:
        """T1, where a look says that something is due."""
        loaded = list(self._pins.values())
        menu = Menu(self._queues, tuple(loaded))
        with self._store.read() as db:
            now = self._store.clock(db)
            due = claims.look(db, menu)
        self._due_later = due.action is not None and due.action > now
        kinds: list[Kind] = ["action"] if due.action and due.action <= now else []
        kinds += ["suspect"] if due.suspect else []
        kinds += ["timer"] if due.timer and due.timer <= now else []
        return [claimed for kind in kinds for claimed in self._claim_some(menu, kind)]

    def _claim_some(self, menu: Menu, kind: Kind) -> list[Claimed]:
        free = self._slots.free
        return retrying(
            self._store, lambda db: claims.claim(db, self._me.id, menu, kind, free, self._store.clock(db))
        )

    def _take(self, claimed: Sequence[Claimed]) -> None:
        """Start what was claimed; timers fire, and an earlier attempt that never came back is asked about first."""
        if not claimed:
            return
        self._load(list({claim.run_id for claim in claimed}))
        for claim in claimed:
            run = self._runs.get(claim.run_id)
            task = run.task(claim.name) if run else None
            if run is None or task is None or (task.attempt, task.leased_by) != (claim.attempt, self._me.id):
                continue
            who = (task.name, task.attempt, self._me.id)
            if task.kind == "timer":
                self._reports.append(e.TimerFired(*who))
            elif task.lost_by or task.ending or run.paused:
                self._reports.append(e.AttemptLost(*who, claim.crashes, task.lost_dead, task.lost_by or "no worker"))
            else:
                self._start(run, task)

    def _load(self, ids: Sequence[str]) -> None:
        if ids:
            self._runs.update(self._recorder.fresh(ids))

    def _run_of(self, task: str) -> Snapshot | None:
        return self._runs.get(_run_id(task))

    def _idle(self) -> bool:
        return not (self._slots.busy or self._reports or self._due_later or not self._slots.reports.empty())

    def _gave_up(self) -> bool:
        return self._slots.hung * 2 >= self._slots.size and self._slots.hung > 0

    def _start_over(self) -> None:
        """The lease is lost: drop all that was held, and begin a new life."""
        structlog.get_logger().warning("worker.lost_lease", incarnation=self._me.id)
        self._slots.disown()
        self._reports.clear()
        self._runs.clear()
        self._me.end("expired")
        self._begin()

    def _hand_back(self, names: list[tuple[str, int]]) -> None:
        retrying(self._store, lambda db: tasks.release(db, self._me.id, names, self._store.clock(db)))

    def _drain(self) -> None:
        """Give running attempts the grace, record what comes, hand back the rest; the release is the last write."""
        self._stopping.set()
        self._slots.ask_all_to_end()
        end = monotonic() + self._limits.grace_seconds
        try:
            while (self._slots.busy or self._reports) and monotonic() < end:
                self._listen()
                self._record()
        except errors.StoreError as error:
            structlog.get_logger().warning("worker.drain_unrecorded", reason=str(error))
        hangs = self._slots.busy or self._slots.hung
        self._slots.close()
        self._me.end("expired" if hangs else "released")


def _run_id(task: str) -> str:
    """A task's name begins with its run."""
    return task.partition(".")[0]
