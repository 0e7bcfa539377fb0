"""Lives through seeds of the simulation with a bug in the engine, until what is meant to find it has found it.

``python -m tests.planted.detect NAME`` prints the seed and what was found; it ends with 1 where nothing was.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from tests.planted.bugs import BREAKS, BUGS, SEEDS_MAX
from tests.planted.planting import plant


def main(name: str) -> int:
    """0 when a rule that is meant to has found the bug."""
    bug = BUGS[name]
    plant(bug.edits)
    simulate: Any = importlib.import_module("tests.simulation.simulate").simulate
    others: set[str] = set()
    for seed in range(bug.first, bug.first + SEEDS_MAX):
        found = _found(simulate, seed)
        for rule in bug.rules:
            if rule in found:
                print(f"seed {seed}: {found[rule]}")  # noqa: T201  what the test reads
                return 0
        others |= found.keys()
    text = f"{SEEDS_MAX} seeds, and none of {bug.rules} has found it; others did: {sorted(others)}"
    print(text)  # noqa: T201  what the test shows
    return 1


def _found(simulate: Any, seed: int) -> dict[str, str]:
    """What a seed shows, by rule. The engine may break, too: a constraint of the store, an assertion."""
    try:
        return {violation.rule: str(violation) for violation in simulate(seed).violations}
    except Exception as error:  # noqa: BLE001  whatever a bug leads to
        return {BREAKS: f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
