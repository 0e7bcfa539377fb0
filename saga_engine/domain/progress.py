"""What follows by itself once something has changed: the head of the line starts, a state opens, an event is taken."""

from datetime import timedelta
from typing import Final

from saga_engine.domain import approvals, attempts, inbox, unwind
from saga_engine.domain import commands as c
from saga_engine.domain.definition.table import Activity, RollBack, Run, Wait
from saga_engine.domain.draft import Draft
from saga_engine.domain.snapshot import ACTIONS, Task

STEPS_PER_TRANSITION: Final = 8
"""More than what a state can queue: a decision that needs more goes in circles."""


def advance(draft: Draft) -> None:
    """Go on until the run waits: for an attempt, a time, an event or a person."""
    most = STEPS_PER_TRANSITION * (draft.budget.transitions + draft.run.transitions) + len(draft.run.inbox)
    steps = 0
    while _one(draft):
        steps += 1
        assert steps <= most, f"{draft.run.run_id} goes in circles in {draft.run.state}"


def _one(draft: Draft) -> bool:
    """Do the next thing; False when there is none."""
    head = draft.run.head()
    if head is None:
        return _rolls_on(draft)
    if _to_start(draft, head):
        return _start(draft, head)
    return not draft.run.ended and _act(draft)


def _act(draft: Draft) -> bool:
    """Let act what waited, in the order in which it happened: a gate's votes, events, deadlines that passed before."""
    decided = approvals.decided(draft.run)
    for arrived, event in inbox.waiting(draft):
        if decided is not None and decided <= arrived:
            break
        if attempts.overdue(draft, arrived) or inbox.offer(draft, event):
            return True
    return decided is not None and (attempts.overdue(draft, decided) or approvals.conclude(draft))


def _to_start(draft: Draft, head: Task) -> bool:
    """Held so far, and nothing is before it any more."""
    if head.parked or head.leased_by is not None or head.due_at is not None or head.resumes_at is not None:
        return False
    return head.kind in ACTIONS or not draft.run.open


def _start(draft: Draft, head: Task) -> bool:
    if head.kind in ("step", "wait", "gate") and not draft.run.open and not _open(draft, head):
        return False
    if head.kind in ACTIONS:
        draft.emit(c.SetDue(head.name, draft.now))
    return True


def _open(draft: Draft, head: Task | None) -> bool:
    """The state has been entered: its timers start, its gate can be decided. False where the gate cannot open."""
    state = draft.run.state
    if head is not None and head.kind == "gate" and not approvals.open_gate(draft, head):
        return False
    draft.emit(c.OpenState(state))
    deadline = _deadline(draft.chart.activity(state))
    if deadline is not None:
        draft.timer(state, "timed_out", deadline)
    _group_timers(draft)
    return True


def _deadline(activity: Activity) -> timedelta | None:
    match activity:
        case Run(deadline=deadline) | Wait(deadline=deadline):
            return deadline
        case _:
            return None


def _group_timers(draft: Draft) -> None:
    """A group's deadline runs from the opening of its first state; one that came due while entering fires now."""
    for task in draft.run.tasks:
        if task.kind == "timer" and task.due_at is None and task.resumes_at is None and not task.parked:
            length = draft.chart.groups[task.state].deadline
            assert length is not None, "only a group's deadline is ever held"
            draft.emit(c.SetDue(task.name, draft.now if task.attempt else draft.now + length))


def _rolls_on(draft: Draft) -> bool:
    """Nothing in line: a rolling-back state undoes what is left; an ended run is at rest."""
    if draft.run.ended or not isinstance(draft.chart.activity(draft.run.state), RollBack):
        return False
    if not draft.run.open:
        _open(draft, None)
    unwind.next_undo(draft)
    return True
