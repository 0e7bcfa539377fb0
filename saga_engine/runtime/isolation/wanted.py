"""Which states ask for a process of their own: all user code of such a state runs in one, its undo too."""

from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.table import Run
from saga_engine.runtime.attempt import Attempt


def isolated(attempt: Attempt) -> bool:
    """Whether the state of the attempt asks for it."""
    return _is_isolated(attempt.chart, attempt.task.state)


def asks_for_it(chart: Chart) -> bool:
    """Whether any state of the saga does."""
    return any(_is_isolated(chart, state) for state in chart.rows)


def _is_isolated(chart: Chart, state: str) -> bool:
    activity = chart.activity(state)
    return isinstance(activity, Run) and activity.isolation == "process"
