"""What a worker that drains records: what is done, and what nobody could find out, or mend, later."""

import os
from collections.abc import Collection
from typing import Final

from saga_engine.domain import events as e
from saga_engine.domain.snapshot import Snapshot
from saga_engine.runtime.attempt import Attempt, is_manual

STOPPED: Final = "worker pid {pid} was stopped in the middle of it"


def must_tell(run: Snapshot, attempt: Attempt, report: e.Report) -> bool:
    """Whether the report is recorded; else the step is simply begun again, by a later attempt.

    A failure: where somebody waits on it, or no later attempt can mend it. A success: unless the step has heard that
    nobody wants its result; it may have returned in the middle of its work.
    """
    task = run.task(report.task)
    if task is None or task.ending or is_manual(attempt.chart, task):
        return True
    match report:
        case e.ActionFailed(park=park):
            return bool(park)
        case e.ActionSucceeded():
            return not attempt.told
        case _:
            return True


def cut_off(attempts: Collection[Attempt]) -> list[e.ActionFailed]:
    """The failures of those that must never begin twice, and have not come back."""
    text = STOPPED.format(pid=os.getpid())
    return [e.ActionFailed(*one.who, text) for one in attempts if is_manual(one.chart, one.task)]
