"""Whether store and ledger tell the same of a step; and what may be done about it without asking anybody.

The ledger commits with the work itself: what it says took place has taken place. Where the store knows less, it was
restored from a backup.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from saga_engine.domain.snapshot import Snapshot, Task, UndoEntry

Verdict: TypeAlias = Literal["in step", "ahead", "behind", "unknown", "set aside", "lost"]
Mend: TypeAlias = Literal["", "raise", "aside", "close", "free", "touch"]
"""raise: count the task's attempts on · aside: keep the row for its state · close: nothing of it is in effect · free:
the same, and its name is another step's now · touch: note that the step was there."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A step as a ledger knows it. *parts*: in effect. *step*: state and visit; None where the row does not say."""

    task: str
    step: str | None
    status: str
    token: int
    undo_token: int
    parts: int
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a row means. *attempt*: for "raise", the newest one of *task* that the ledger knows."""

    verdict: Verdict
    text: str
    mend: Mend = ""
    task: str = ""
    attempt: int = 0
    next: str = ""


IN_STEP: Final = Judgement("in step", "store and ledger agree")


def judge(run: Snapshot, seen: Seen) -> Judgement:
    """Compare one row of a ledger with the run as it is stored."""
    if seen.aside:
        return IN_STEP if seen.status == "undone" else _aside(run, seen)
    entry = run.entry(seen.task)
    if entry is None or seen.step not in (None, _step(entry)):
        return _unknown(run, seen)
    if entry.status in ("undone", "dropped"):
        return _after(seen)
    undo = _undo_of(run, entry)
    if entry.status == "skipped" and undo is None:
        return IN_STEP  # a person has taken over what is left of it
    task = run.task(seen.task)
    if seen.status == "open":
        return IN_STEP if task is None else _forward(task, seen)
    if undo is not None:
        return _back(undo, seen)
    text = f"{_what(seen)} was undone after the backup, and the run has not turned back"
    return Judgement("ahead", text, next="saga rollback {run}")


def untouched(run: Snapshot, seen: Seen, meaning: Judgement) -> Judgement:
    """The same of a step that is known here, but not that it has been there: an undo would not go there."""
    entry = run.entry(seen.task)
    if meaning is not IN_STEP or entry is None or entry.status not in ("started", "done", "sealed"):
        return meaning
    text = f"{_what(seen)} has been there after the backup, {seen.parts} parts are in effect"
    return Judgement("ahead", text, "touch", seen.task)


def missing(run: Snapshot, task: str) -> Judgement:
    """The store knows that a step has touched a target, and the ledger has no row of it."""
    entry = run.entry(task)
    if entry is None or entry.status not in ("done", "sealed"):
        return IN_STEP  # it was killed before it wrote
    text = f"{_step(entry)} is done by the store, and the ledger knows nothing of it: the target is the older one"
    return Judgement("behind", text, next=_gone(run, entry))


def _gone(run: Snapshot, entry: UndoEntry) -> str:
    """What the run takes where the target cannot be restored; where nothing, how to see what is to be done again."""
    undo = _undo_of(run, entry)
    if undo is not None and undo.parked is not None:
        return "saga resolve {run} --done --evidence …"
    turns_back = entry.status == "done" and not run.ended and all(task.kind != "undo" for task in run.tasks)
    return "saga rollback {run}" if turns_back else "saga history {run}"


def _forward(task: Task, seen: Seen) -> Judgement:
    if seen.token <= task.attempt:
        return IN_STEP
    text = f"attempt {seen.token} of {_what(seen)} has written, {seen.parts} parts; the store knows {task.attempt}"
    return Judgement("ahead", text, "raise", task.name, seen.token)


def _back(undo: Task, seen: Seen) -> Judgement:
    if seen.undo_token <= undo.attempt:
        return IN_STEP
    text = f"attempt {seen.undo_token} of the undo of {_what(seen)} was here; the store knows {undo.attempt}"
    return Judgement("ahead", text, "raise", undo.name, seen.undo_token)


def _after(seen: Seen) -> Judgement:
    if not seen.parts:
        return IN_STEP
    text = f"{_what(seen)} is undone by the store, and {seen.parts} parts of it are in effect: the target is older"
    return Judgement("behind", text, next="saga history {run}")


def _unknown(run: Snapshot, seen: Seen) -> Judgement:
    """Begun after the backup, under a name that this store has not given, or has given to another step since."""
    in_use = run.entry(seen.task) is not None and seen.step is not None
    if seen.status == "undone" and not in_use:
        return Judgement("in step", f"{_what(seen)} was begun and undone after the backup: nothing of it is left")
    if not seen.parts:
        text = f"{_what(seen)} was begun after the backup; nothing of it is in effect"
        return Judgement("unknown", text, "free" if in_use else "close", seen.task, seen.undo_token + 1)
    text = f"{_what(seen)} has {seen.parts} parts in effect, and this store has not heard of it"
    if seen.step is None or _was_done_again(run, seen):
        return Judgement("unknown", text, next=f"saga reconcile {{run}} --settled {seen.task}")
    return Judgement("unknown", text, "aside", seen.task)


def _was_done_again(run: Snapshot, seen: Seen) -> bool:
    """The store has had the same step done since: what is in effect twice is for a person to see."""
    same = [entry for entry in run.undo if _step(entry) == seen.step and run.task(entry.task) is None]
    return any(entry.status in ("done", "sealed", "undone", "skipped") for entry in same)


def _aside(run: Snapshot, seen: Seen) -> Judgement:
    text = f"{_what(seen)} has {seen.parts} parts in effect, which count when the run comes there"
    if run.ended or any(task.kind == "undo" for task in run.tasks):
        text = f"{_what(seen)} has {seen.parts} parts in effect, and the run does not come there any more"
        return Judgement("unknown", text, next=f"saga reconcile {{run}} --settled {seen.task}")
    return Judgement("set aside", text)


def _undo_of(run: Snapshot, entry: UndoEntry) -> Task | None:
    return next((task for task in run.tasks if task.kind == "undo" and task.about == entry.position), None)


def _step(entry: UndoEntry) -> str:
    return f"{entry.state} {entry.visit}"


def _what(seen: Seen) -> str:
    """``LOADING``, with its visit where it is not the first one."""
    state, _, visit = (seen.step or seen.task).partition(" ")
    return state if visit in ("", "1") else f"{state}, visit {visit},"
