"""W05, W23 and W00: a task that an incarnation holds: it works, is asked to stop, or its worker is gone."""

from datetime import timedelta
from shlex import quote
from typing import Final

from saga_engine.domain.chart import retry_of
from saga_engine.domain.definition.table import NOTICE_RETRY
from saga_engine.domain.snapshot import ACTIONS, Task
from saga_engine.domain.whys import offers
from saga_engine.domain.whys.reason import Cause, Offer, View, counted
from saga_engine.domain.whys.surroundings import Holder

SILENT: Final = timedelta(seconds=10)
"""Two renewals missed (every 5 s): the worker is likely dead, though its lease still holds."""


def held(view: View, task: Task) -> Cause:
    """What the run waits for while *task* is leased."""
    holder = view.attempt(task).holder
    if holder is None:
        return _unknown(view, task)
    if holder.ended_at is not None or holder.is_gone or view.now - holder.renewed_at > SILENT:
        return _lost(view, task, holder)
    return _ending(view, task, holder) if task.ending else _running(view, task, holder)


def _running(view: View, task: Task, holder: Holder) -> Cause:
    sentence = f"{view.what(task)} runs: attempt {task.attempt}, on {holder.process}"
    watch = Offer(f"saga show {view.around.run} --watch", "watches it go on; nothing has to be done", outside=True)
    pause = offers.pause(view, "lets this attempt end and starts nothing after it")
    helps = (watch, pause, *offers.ways_back(view))
    return Cause("W00", f"{view.what(task)}, attempt {task.attempt}", sentence, tuple(_signs(view, task)), helps)


def _ending(view: View, task: Task, holder: Holder) -> Cause:
    """What follows is held back: nothing may overtake an attempt that may still act."""
    sentence = f"{_attempt(view, task)} on {holder.process} was asked to stop, and what follows waits for it"
    look = see_workers("the attempt ends with its process")
    return Cause("W23", f"attempt {task.attempt} to end", sentence, tuple(_signs(view, task)), (look,))


def _lost(view: View, task: Task, holder: Holder) -> Cause:
    """Nobody will report; the task comes free when the incarnation has ended."""
    sentence = f"{_attempt(view, task)} is held by a worker that is dead or silent, {holder.process}"
    lines = (f"incarnation {holder.id}: {_end(view, holder)}", *_signs(view, task))
    return Cause("W05", f"takeover from {holder.process}", sentence, lines, _takes_over(view))


def _unknown(view: View, task: Task) -> Cause:
    sentence = f"{_attempt(view, task)} is held by incarnation {task.leased_by}, of which nothing is known"
    return Cause("W05", "takeover from an unknown worker", sentence, tuple(_signs(view, task)), _takes_over(view))


def _attempt(view: View, task: Task) -> str:
    return f"attempt {task.attempt} of {view.what(task)}"


def _takes_over(view: View) -> tuple[Offer, ...]:
    return (see_workers("another one takes over"),) if view.around.workers else (start_worker(view),)


def _end(view: View, holder: Holder) -> str:
    if holder.ended_at is not None:
        return f"ended at {view.at(holder.ended_at)}; any worker takes over at its next look"
    if holder.is_gone:
        return (
            f"its process is gone, last heard of at {view.at(holder.renewed_at)}; a worker on {holder.host} takes over"
        )
    if holder.lease_until < view.now:
        return f"its lease ran out at {view.at(holder.lease_until)}; any worker takes over at its next look"
    return f"its lease ends {view.ahead(holder.lease_until)}; if it stays silent, another worker takes over then"


def _signs(view: View, task: Task) -> list[str]:
    """What the running attempt has shown of itself."""
    attempt = view.attempt(task)
    moments = {
        "leased": attempt.leased_at,
        "last sign of life": attempt.heard_at,
        "last checkpoint": attempt.checkpoint_at,
        "its worker renewed its lease": attempt.holder and attempt.holder.renewed_at,
    }
    lines = [f"{word} {view.ago(moment)} ago" for word, moment in moments.items() if moment]
    if attempt.progress:
        since = f", {view.ago(attempt.progressed_at)} ago" if attempt.progressed_at else ""
        lines.append(f"progress: {attempt.progress}{since}")
    if attempt.timeout_at:
        lines.append(f"this attempt times out {view.ahead(attempt.timeout_at)}")
    return lines + failures(view, task)


def failures(view: View, task: Task) -> list[str]:
    """How earlier attempts of *task* went."""
    lines = [f"failed {times(view, task)}; last error: {task.error}"] if task.error else []
    return lines + elsewhere(view, task)


def elsewhere(view: View, task: Task) -> list[str]:
    """What the error did to others, and the task to its workers."""
    attempt = view.attempt(task)
    lines = [f"the same error on {counted(attempt.same_error, 'other run')}"] if attempt.same_error else []
    if attempt.crashes:
        limit = view.around.budget.crashes
        lines.append(f"{counted(attempt.crashes, 'worker')} ended while holding it; at {limit} it is set aside (W24)")
    return lines


def times(view: View, task: Task) -> str:
    """How often *task* has failed, and out of how many tries."""
    if view.chart is None or task.kind not in ACTIONS:
        return counted(task.failures, "time")
    return f"{task.failures} of {counted(retry_of(view.chart, task.kind, task.state, NOTICE_RETRY).attempts, 'time')}"


def start_worker(view: View, having: str = "") -> Offer:
    """A worker for the run's queue, *having* that saga: here, or where the run's files are."""
    queue = "" if view.around.queue == "default" else f" --queues {quote(view.around.queue)}"
    loads = " --workflows …" if having else ""
    what = f" that has {having}" if having else "" if view.around.host else " here"
    where = f"; run it on {view.around.host}" if view.around.host else ""
    return Offer(f"saga{loads} worker{queue}", f"starts a worker{what}{where}", outside=True)


def see_workers(then: str) -> Offer:
    """A look at the workers."""
    return Offer("saga doctor", f"shows the workers and how long each has been silent; {then}", outside=True)
