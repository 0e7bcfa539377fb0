"""W01, W02, W04, W10 and W00: a task that nobody holds: it waits for its time, or for a worker that can take it."""

from datetime import datetime
from shlex import quote
from typing import Final

from saga_engine.domain.chart import CONVICTED
from saga_engine.domain.snapshot import Task
from saga_engine.domain.whys import offers
from saga_engine.domain.whys.held import elsewhere, failures, see_workers, start_worker, times
from saga_engine.domain.whys.reason import Cause, Offer, View, counted
from saga_engine.domain.whys.surroundings import Worker

DIGITS: Final = 12
"""Of a digest, where a person compares two."""


def due(view: View, task: Task, due_at: datetime) -> Cause:
    """What the run waits for while *task*, due at *due_at*, is not leased."""
    if due_at <= view.now:
        return _for_a_worker(view, task, f"{view.what(task)} is due since {view.at(due_at)}")
    when = view.ahead(due_at)
    if not task.error:
        return Cause("W00", f"{view.what(task)} at {view.at(due_at)}", f"{view.what(task)} comes due {when}")
    sentence = f"{view.what(task)} failed {times(view, task)} and is tried again {when}"
    lines = (f"last error: {task.error}", *elsewhere(view, task))
    now = offers.retry(view, "tries it now, with a new budget")
    return Cause(
        "W04",
        f"retry at {view.at(due_at)} (failed {times(view, task)})",
        sentence,
        lines,
        (now, *offers.ways_back(view)),
    )


def _for_a_worker(view: View, task: Task, since: str) -> Cause:
    workers, lines = view.around.workers, tuple(failures(view, task))
    if workers is None:
        return Cause("W00", "a worker", since, lines)
    if not workers:
        where = f" on {view.around.host}, where its files are" if view.around.host else ""
        queue = f"the queue {view.around.queue}{where}"
        sentence = f"{since}, and no live worker serves {queue}"
        return Cause("W01", f"a worker for {queue}", sentence, lines, (start_worker(view),))
    fit = [worker for worker in workers if any(loaded.digest == view.run.digest for loaded in worker.loaded)]
    if not fit:
        return _not_loaded(view, since, workers)
    free = [worker for worker in fit if _has_room(view, task, worker)]
    if not free:
        return _all_busy(view, task, since, fit)
    sentence = f"{since}; {free[0].process} has room and takes it at its next look"
    return Cause("W00", "its turn", sentence, lines)


def _has_room(view: View, task: Task, worker: Worker) -> bool:
    """A timer needs no slot; a task that two processes have died with needs a worker that holds nothing else."""
    if task.kind == "timer":
        return True
    return worker.busy == 0 if _runs_alone(view, task) else worker.busy < worker.slots


def _runs_alone(view: View, task: Task) -> bool:
    return view.attempt(task).crashes >= CONVICTED


def _all_busy(view: View, task: Task, since: str, fit: list[Worker]) -> Cause:
    lines = (
        *(f"{worker.process}: {worker.busy} of {worker.slots} slots busy" for worker in fit),
        *failures(view, task),
    )
    helps = (start_worker(view), see_workers("a slot comes free when an attempt ends"))
    if _runs_alone(view, task):
        sentence = f"{since}; it brought two processes down, so it needs an idle worker: none is"
        return Cause("W02", "an idle worker", sentence, lines, helps)
    slots = sum(worker.slots for worker in fit)
    sentence = f"{since}, and all {counted(slots, 'slot')} of {counted(len(fit), 'worker')} are busy"
    return Cause("W02", f"a free slot (of {slots})", sentence, lines, helps)


def _not_loaded(view: View, since: str, workers: tuple[Worker, ...]) -> Cause:
    """Workers are there, and none has the table that the run is pinned to."""
    saga = f"{view.run.saga} v{view.run.version}"
    broken = {file: error for worker in workers for file, error in worker.broken.items()}
    lines = [f"{worker.process} has {_has(view, worker)}" for worker in workers]
    lines += [f"{file} could not be loaded: {error}" for file, error in broken.items()]
    mend = "shows why it cannot be loaded; mend it, then restart the worker"
    checks = [Offer(f"saga check {quote(file)}", mend, outside=True) for file in broken]
    load = start_worker(view, saga)
    return Cause(
        "W10", f"a worker with {saga}", f"{since}, and no live worker has {saga} loaded", tuple(lines), (*checks, load)
    )


def _has(view: View, worker: Worker) -> str:
    run = view.run
    found = [loaded for loaded in worker.loaded if loaded.saga == run.saga]
    other = next((loaded.digest for loaded in found if loaded.version == run.version), None)
    if other is not None:
        return f"v{run.version} with another table ({other[:DIGITS]}, the run needs {run.digest[:DIGITS]})"
    return ", ".join(f"v{loaded.version}" for loaded in found) or f"no {run.saga} at all"
