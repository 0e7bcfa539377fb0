"""Waiting for a run to stand still: told at once of what this process records, found by looking otherwise."""

import math
from time import monotonic
from typing import Final

from saga_engine import errors
from saga_engine.runtime import ids, look
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.views import RunView
from saga_engine.store import inspect
from saga_engine.store.connect import reading

FIRST_LOOK_SECONDS: Final = 0.02
LOOK_SECONDS: Final = 0.5
"""How often a wait looks at the run: often at first, for most answers come soon."""


def until_still(door: Door, run: str, seconds: float | None) -> RunView:
    """The run as soon as it stands still, or as it is when the time is over."""
    run_id = run if ids.is_run_id(run) else door.names.resolve(run)
    end = math.inf if seconds is None else monotonic() + seconds
    pause = FIRST_LOOK_SECONDS
    with door.still.awaited(run_id) as told:
        while not (told.is_set() or _stands_still(door, run_id)) and (left := end - monotonic()) > 0:
            told.wait(min(pause, left))
            pause = min(pause * 1.5, LOOK_SECONDS)
    return look.run(door, run_id)


def _stands_still(door: Door, run_id: str) -> bool:
    """One small look: it is made again and again."""
    found = reading(door.store, lambda db: inspect.standing(db, run_id))
    if found is None:
        door.names.resolve(run_id)  # knows what became of it
        raise errors.RunNotFound(run=run_id)
    return found.paused or found.gate is not None or found.status not in {"running", "waiting"}
