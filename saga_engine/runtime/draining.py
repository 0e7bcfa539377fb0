"""What a worker that drains records all the same: what nobody could find out, or mend, later."""

import os
from collections.abc import Collection
from typing import Final

from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.snapshot import Snapshot
from saga_engine.runtime.attempt import Attempt, is_manual

STOPPED: Final = "worker pid {pid} was stopped in the middle of it"


def must_tell(chart: Chart, run: Snapshot, failed: e.ActionFailed) -> bool:
    """A failure on which somebody waits, or that no later attempt can mend; other steps are simply begun again."""
    task = run.task(failed.task)
    return task is None or bool(failed.park or task.ending) or is_manual(chart, task)


def cut_off(attempts: Collection[Attempt]) -> list[e.ActionFailed]:
    """The failures of those that must never begin twice, and have not come back."""
    text = STOPPED.format(pid=os.getpid())
    return [e.ActionFailed(*one.who, text) for one in attempts if is_manual(one.chart, one.task)]
