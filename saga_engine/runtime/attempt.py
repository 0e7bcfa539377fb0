"""One attempt, as whoever runs it knows it."""

from dataclasses import dataclass, field
from time import monotonic

from saga_engine.domain.chart import Chart
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.store.tasks import Lease


@dataclass(slots=True)
class Attempt:
    """One lease of one task, as its worker knows it. ``ends``: nobody wants the result any more."""

    run: Snapshot
    task: Task
    chart: Chart
    incarnation: str
    ends: bool = False
    told: bool = False
    """The step has asked whether its result is wanted, and was told that nobody wants it."""
    gone: bool = False
    """The lease is lost: nothing of this attempt counts any more."""
    started: float = field(default_factory=monotonic)
    """When its user code began; ``math.inf`` while its process is still being made: no timeout runs yet."""
    heard: float = field(default_factory=monotonic)
    """When it last gave a sign of life, on the worker's own clock."""
    timed_out: bool = False

    noted: float = 0.0
    """When it last wrote to its row in the store."""

    @property
    def lease(self) -> Lease:
        """The task's name and the attempt."""
        return self.task.name, self.task.attempt

    @property
    def who(self) -> tuple[str, int, str]:
        """What every report of it begins with."""
        return self.task.name, self.task.attempt, self.incarnation


def is_manual(chart: Chart, task: Task) -> bool:
    """True for a step that must never begin twice."""
    return task.kind == "step" and chart.run_of(task.state).promise == "manual"
