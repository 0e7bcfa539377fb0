"""Workers as the tests see them: processes that are started, and killed with SIGKILL."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.migration.points import Points

CHECKOUT: Final = Path(__file__).parents[2]


class Nursery:
    """The process behind ``nursery.py``: starts workers in a few milliseconds. All tests of the room share it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.migration.nursery"],
            cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, **order: Any) -> str:
        """Give one order; the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        assert answer, "the nursery has ended"
        return answer

    def close(self) -> None:
        """End it, and every worker with it."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


class Worker:
    """One worker process of the project in *folder*. With *points* it kills itself there (``points.KillOnce``)."""

    def __init__(self, nursery: Nursery, folder: Path, concurrency: int = 2, points: Points | None = None) -> None:
        self._nursery = nursery
        order = {"folder": str(folder), "concurrency": concurrency, "points": points}
        self.pid = int(nursery.ask(work=order))

    def end(self) -> str:
        """ "alive", or how it ended: "killed", or "exit N"."""
        return self._nursery.ask(look=self.pid)

    @property
    def alive(self) -> bool:
        return self.end() == "alive"

    def kill(self) -> str:
        """SIGKILL; how it ended."""
        return self._nursery.ask(kill=self.pid)
