"""Where a worker dies: at a failpoint, or when the step of a state has done its work and nobody has recorded it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from enum import Enum
from fnmatch import fnmatchcase
from typing import Final

from structlog.contextvars import get_contextvars

from saga_engine.failpoints import Hook, switched_on
from saga_engine.runtime.engine import Engine
from saga_engine.testing.aside import one_worker
from saga_engine.testing.clock import ClockedEngine

AFTER_STEP: Final = "runtime.action.after"
"""The step has returned, and what it did to the world is done; the engine does not know yet."""


class KillAt:
    """A hook for ``failpoints.switched_on`` that kills this process at the *hit*-th time that *is_there* says yes."""

    def __init__(self, is_there: Callable[[str], bool], hit: int) -> None:
        self._is_there = is_there
        self._left = hit
        self._counting = threading.Lock()

    def __call__(self, name: str) -> None:
        """Die, or go on."""
        if not self._is_there(name):
            return
        with self._counting:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def work(like: ClockedEngine, run_id: str, at: Enum | str, hit: int) -> int:
    """Be a worker, in the process that dies: on an engine of its own, with the store and the clock of *like*."""
    with ClockedEngine(like.settings, like.registry, like.skipped, create=False) as engine:
        worker = one_worker(engine)
        signal.signal(signal.SIGTERM, lambda *_: worker.stop())
        hook = point(at, hit) if isinstance(at, str) else after_step(engine, run_id, at.name, hit)
        with switched_on(hook):
            return worker.run()


def point(pattern: str, hit: int) -> Hook:
    """Die at the *hit*-th passing of a failpoint; *pattern* may hold ``*``."""
    return KillAt(lambda name: fnmatchcase(name, pattern), hit)


def after_step(engine: Engine, run_id: str, state: str, hit: int) -> Hook:
    """Die when the step of *state* has returned for the *hit*-th time. Its notices and its undo do not count."""

    def is_there(name: str) -> bool:
        if name != AFTER_STEP:
            return False
        here = get_contextvars()
        return (here.get("run"), here.get("state")) == (run_id, state) and _runs_step(engine, run_id)

    return KillAt(is_there, hit)


def _runs_step(engine: Engine, run_id: str) -> bool:
    return any(task.leased_by and task.kind == "step" for task in engine.get(run_id).tasks)
