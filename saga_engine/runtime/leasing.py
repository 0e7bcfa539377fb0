"""When the next task of a run is recorded already leased, so that its worker needs no claim (PROTOCOL, T2)."""

from datetime import datetime

from saga_engine.domain.chart import Chart
from saga_engine.domain.draft import Decision
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import ACTIONS, Snapshot, Task
from saga_engine.runtime.attempt import is_manual


def leasable(chart: Chart, run: Snapshot, now: datetime) -> Task | None:
    """The head of the line, where it may be.

    Never a manual step: its start is committed before it begins. One that a worker was lost with is claimed: whoever
    takes it has to ask about that first.
    """
    head = run.head()
    if head is None or head.due_at is None or head.due_at > now or head.kind not in ACTIONS:
        return None
    free = head.leased_by is None and head.lost_by is None and not run.paused
    return head if free and not is_manual(chart, head) else None


def leased(decision: Decision, head: Task, incarnation: str) -> tuple[Decision, Task]:
    """The decision with the *head* of its run leased, and that task."""
    taken = replace(head, attempt=head.attempt + 1, leased_by=incarnation)
    tasks = tuple([taken if task is head else task for task in decision.after.tasks])
    return replace(decision, after=replace(decision.after, tasks=tasks)), taken
