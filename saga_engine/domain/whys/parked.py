"""W14, W16, W17, W21 to W24: what is set aside for a person, and what that person can do."""

from collections.abc import Mapping
from typing import Final

from saga_engine.domain.snapshot import Parked, Task
from saga_engine.domain.values import ENDINGS, ParkCode
from saga_engine.domain.whys import offers
from saga_engine.domain.whys.held import elsewhere
from saga_engine.domain.whys.reason import Cause, Offer, View, counted

SENTENCES: Final[Mapping[ParkCode, str]] = {
    "W14": "{text}, so {what} does not lead on",
    "W16": "no way can be chosen after {what}: {text}",
    "W17": "{what} failed for good: {text}",
    "W21": "the target's ledger is ahead of the store at {what}: {text}",
    "W22": "{what} cannot go on by itself: {text}",
    "W23": "nobody knows what {what} did: {text}",
    "W24": "{what} kills its worker: {text}",
}
"""What is said of each reason to set something aside."""


def parked(view: View) -> list[Cause]:
    """One cause for each task that is parked; of an ended run only a notice can be."""
    return [_cause(view, task, task.parked) for task in view.run.tasks if task.parked is not None]


def _cause(view: View, task: Task, why: Parked) -> Cause:
    brief = f"a person: {view.what(task)} ({why.code})"
    helps = _loose(view, task, why) if why.outcome in ENDINGS else _helps(view, task, why)
    return Cause(why.code, brief, _sentence(view, task, why), _evidence(view, task, why), helps, parked=True)


def _sentence(view: View, task: Task, why: Parked) -> str:
    if _unopened(task, why):
        return f"the gate of {task.state} cannot open: {why.text}"
    if task.kind == "timer" and why.code == "W22":
        return why.text
    return SENTENCES[why.code].format(what=view.what(task), text=why.text)


def _unopened(task: Task, why: Parked) -> bool:
    """The gate has nothing to show."""
    return task.kind == "gate" and not why.outcome


def _evidence(view: View, task: Task, why: Parked) -> tuple[str, ...]:
    attempt = f" at attempt {task.attempt}" if task.attempt else ""
    failed = f", failed {counted(task.failures, 'time')}" if task.failures else ""
    lines = [f"task {task.name}, set aside{attempt}{failed}"]
    if task.error not in {"", why.text}:
        lines.append(f"last error: {task.error}")
    if view.attempt(task).progress:
        lines.append(f"it had come to {view.attempt(task).progress}")
    return (*lines, *elsewhere(view, task))


def _loose(view: View, task: Task, why: Parked) -> tuple[Offer, ...]:
    """An attempt may still be running somewhere: nothing may overtake it before somebody has looked."""
    first = "make sure that it has ended (or end it), then this"
    if why.outcome == "leave":
        return (offers.retry(view, f"{first} lets the run go on"), offers.skip(view, f"{first} does the same"))
    again = offers.retry(view, f"{first} tries it again")
    return (
        again,
        *offers.resolve(view, task),
        offers.skip(view, f"{first} goes on without it"),
        *offers.ways_back(view),
    )


def _helps(view: View, task: Task, why: Parked) -> tuple[Offer, ...]:
    match task.kind, why.code:
        case "event", code:
            again = offers.retry(view, "offers it to the state again", mend_first=code == "W16")
            return (again, offers.skip(view, "drops the event"))
        case "timer", "W22":
            return (offers.retry(view, "lets the run go on without this deadline"), *offers.ways_back(view))
        case "gate", "W16" if _unopened(task, why):
            opens = offers.retry(view, "opens the gate again, if what it shows is there now", mend_first=True)
            return (*offers.ways_back(view), opens)
        case (("entering" | "leaving"), _):
            return (offers.retry(view, "sends it again"), offers.skip(view, "goes on without it"))
        case _, "W14":
            return (offers.retry(view, "goes on, past the limit, once"), *offers.ways_back(view))
        case _, "W16":
            again = offers.retry(view, "asks the guard again, once it is mended", mend_first=True)
            return (again, *offers.ways_back(view))
        case _, "W21":
            look = "compares store and ledgers, and mends what is provably right; with --dry-run it only looks"
            compare = Offer(f"saga reconcile {view.around.run}", look, outside=True)
            return (compare, *_doubtful(view, task, in_doubt=False))
        case _:
            return _doubtful(view, task, in_doubt=why.code == "W23")


def _doubtful(view: View, task: Task, *, in_doubt: bool) -> tuple[Offer, ...]:
    """A step or an undo that a person may have tried again, find out about, or go on without."""
    once = ", though it may have taken effect already" if in_doubt else ", with a new budget"
    again = offers.retry(view, f"tries {view.what(task)} again{once}")
    found = offers.resolve(view, task)
    without = offers.skip(view, "goes on as if it were done: you have taken it over")
    return (
        (*found, again, without, *offers.ways_back(view))
        if in_doubt
        else (again, *found, without, *offers.ways_back(view))
    )
