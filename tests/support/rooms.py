"""How long each room of tests takes, printed against its budget, so that a slow test is seen when it arrives."""

from __future__ import annotations

from collections import defaultdict
from pathlib import PurePosixPath
from typing import Final

BUDGET_SECONDS: Final = {
    "actions": 45,
    "cli": 60,
    "docs": 30,
    "domain": 15,
    "domain_views": 10,
    "ground": 10,
    "house": 5,
    "kill": 300,
    "ledger": 45,
    "migration": 60,
    "model": 60,
    "network": 60,
    "planted": 40,
    "runtime": 130,
    "simulation": 120,
    "store": 40,
    "testing": 20,
    "typing": 10,
}
"""What a room takes of ``.ci/run`` on two cores, and a third more: together 18 of its 20 minutes.

``model`` takes next to nothing where spin is not installed.
"""


class RoomTimes:
    """Seconds and number of tests for each room, from the reports of one run of so many *processes*.

    Where four tests run at a time, each second of a test is a quarter of a second of the run.
    """

    def __init__(self, processes: int = 1) -> None:
        self._processes = processes
        self.seconds: dict[str, float] = defaultdict(float)
        self.tests: dict[str, set[str]] = defaultdict(set)

    def add(self, nodeid: str, seconds: float) -> None:
        """Count one phase (set-up, call or tear-down) of a test."""
        name = room_of(nodeid)
        self.seconds[name] += seconds / self._processes
        self.tests[name].add(nodeid)

    def lines(self) -> list[str]:
        """One line for each room, slowest first; together they are what the run took."""
        return [self._line(name) for name in sorted(self.seconds, key=lambda room: -self.seconds[room])]

    def _line(self, name: str) -> str:
        budget = BUDGET_SECONDS.get(name)
        line = f"{name:12} {len(self.tests[name]):5} tests {self.seconds[name]:8.1f} s"
        if budget is None:
            return line
        return f"{line}  of {budget:4} s" + ("  OVER BUDGET" if self.seconds[name] > budget else "")


def room_of(nodeid: str) -> str:
    """The folder below tests/, or "house" for what stands there itself."""
    parts = PurePosixPath(nodeid.split("::", maxsplit=1)[0]).parts
    return parts[1] if len(parts) > 2 and parts[0] == "tests" else "house"
