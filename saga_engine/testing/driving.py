"""Waiting for a run without waiting: where it rests until a time, that time is skipped to."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from saga_engine.runtime.engine import Engine
    from saga_engine.runtime.views import RunView
    from saga_engine.testing.clock import ClockedEngine

PAUSE_SECONDS: Final = 0.005
"""Between two looks at the run."""
REST_SECONDS: Final = 0.25
"""A run that has not gone on for so long, with nothing due and nobody at it, will not."""
FAILURES_SHOWN: Final = 3
LINES_MAX: Final = 100_000


def drive(
    engine: ClockedEngine, run_id: str, done: Callable[[RunView], bool], wanted: str, *, skip: bool, within: float
) -> None:
    """Return when *done* says so of the run; let time pass at once wherever nothing but time is missing.

    AssertionError, which tells where the run is and why, when it comes to rest without *done*, or after *within*
    seconds of real time. *wanted* is what the error says was waited for.
    """
    until = time.monotonic() + within
    rests_since: float | None = None
    # One look for both: a run that has moved since *done* was asked must not lose the time that it has now.
    while not done(run := engine.get(run_id)):
        clock = time.monotonic()
        moment = None if is_busy(run) else next_due(run)
        rests_since = (rests_since or clock) if moment is None and not is_busy(run) else None
        if rests_since is not None and clock - rests_since > REST_SECONDS:
            raise AssertionError(f"the run does not come to {wanted}: {told(engine, run)}")
        if clock >= until:
            raise AssertionError(f"the run did not come to {wanted} in {within} s: {told(engine, run)}")
        if skip and moment is not None and (ahead := moment - engine.clock.now()).total_seconds() > 0:
            engine.clock.skip(ahead)
        time.sleep(PAUSE_SECONDS)


def is_busy(run: RunView) -> bool:
    """Whether a worker holds something of the run."""
    return any(task.leased_by for task in run.tasks)


def next_due(run: RunView) -> datetime | None:
    """When the run goes on by itself; None where only an event or a person can get it on."""
    return min((task.due_at for task in run.tasks if task.due_at is not None), default=None)


def path(engine: Engine, run_id: str) -> list[str]:
    """The states that a run has been in, in order, the present one last."""
    moves = (command for line in engine.history(run_id, limit=LINES_MAX) for command in line.commands)
    return [move["target"] for move in moves if move["kind"] == "Move"]


def told(engine: Engine, run: RunView) -> str:
    """Where a run is, how it came there, and why it stays: for the error of a test."""
    failed = [line.event["error"] for line in engine.history(run.id, limit=LINES_MAX) if "error" in line.event]
    return "\n".join(
        [
            f"{run.name} is in {run.state} ({run.status})",
            f"  path: {' → '.join(path(engine, run.id))}",
            *(f"  {reason.code}: {reason.sentence}" for reason in engine.why(run.id).reasons),
            *(f"  failed: {error}" for error in dict.fromkeys(failed[-FAILURES_SHOWN:])),
        ]
    )
