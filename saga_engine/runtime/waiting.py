"""Waiting for a run to stand still: told at once of what this process records, found by looking otherwise."""

import math
from time import monotonic
from typing import Final

from saga_engine import errors
from saga_engine.runtime import ids, run_views
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.views import RunView
from saga_engine.store import inspect
from saga_engine.store.connect import glancing

FIRST_LOOK_SECONDS: Final = 0.02
LOOK_SECONDS: Final = 0.5
"""How often a wait looks at the run: often at first, for most answers come soon."""


def until_still(door: Door, run: str, seconds: float | None) -> RunView:
    """The run as soon as it stands still, or as it is when the time is over."""
    run_id = run if ids.is_run_id(run) else door.names.resolve(run)
    end = math.inf if seconds is None else monotonic() + seconds
    pause = FIRST_LOOK_SECONDS
    with door.still.awaited(run_id) as told:
        # A worker of this process that has a task of it in hand tells, most likely before a look would be worth it.
        moves = any(places.holds(run_id) for places in [*door.places.values()])
        while not (told.is_set() or (not moves and _stands_still(door, run_id))) and (left := end - monotonic()) > 0:
            told.wait(min(pause, left))
            pause, moves = min(pause * 1.5, LOOK_SECONDS), False
    return run_views.run(door, run_id)


def _stands_still(door: Door, run_id: str) -> bool:
    """One small look: it is made again and again."""
    found = glancing(door.store, lambda db: inspect.standing(db, run_id))
    if found is None:
        door.names.resolve(run_id)  # knows what became of it
        raise errors.RunNotFound(run=run_id)
    return found.paused or found.gate is not None or found.status not in {"running", "waiting"}
