"""Where a worker kills itself: at a failpoint, in the middle of a state, once for each run."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Final

import structlog

FILE: Final = "killed"
"""In the project's folder: one line "run state" for each kill; it outlives those who write it."""

Points = dict[str, tuple[str, int]]
"""``{state: (failpoint, n)}``: die at the n-th time that an attempt of this state is at the failpoint.

``"run state"`` instead of ``"state"`` means that run only.
"""


class KillOnce:
    """A hook for ``failpoints.switched_on``: SIGKILL to this very process, once for each run and each state.

    The state is that of the attempt whose thread is at the failpoint. Undos have failpoints of their own, so
    ROLLING_BACK is told by their names.
    """

    def __init__(self, folder: Path, points: Points) -> None:
        self._file = folder / FILE
        self._points = points
        self._killed = set(killed(folder))
        self._hits: Counter[tuple[str, str]] = Counter()

    def __call__(self, name: str) -> None:
        bound = structlog.contextvars.get_contextvars()
        state = "ROLLING_BACK" if name.startswith("ledger.undo.") else bound.get("state", "")
        here = (bound.get("run", ""), state)
        point, at = self._points.get(" ".join(here)) or self._points.get(state) or ("", 0)
        if name != point or here in self._killed:
            return
        self._hits[here] += 1
        if self._hits[here] == at:
            with self._file.open("a") as file:
                file.write(" ".join(here) + "\n")
            os.kill(os.getpid(), signal.SIGKILL)


def killed(folder: Path) -> list[tuple[str, str]]:
    """``(run, state)`` of each kill so far."""
    file = folder / FILE
    lines = file.read_text().splitlines() if file.exists() else []
    return [(run, state) for run, _, state in (line.partition(" ") for line in lines)]
