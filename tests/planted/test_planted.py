"""Every planted bug is still a bug of the engine as it is, and is found by what is meant to find it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest

from saga_engine.testing.check import RULES
from tests.planted.bugs import BREAKS, BUGS, HELD_ONCE, ONCE, REST, TOLD
from tests.planted.planting import ROOT, VARIABLE, Edit, Moved, edited

SECONDS_MAX: Final = 240
WHOLE: Final = ("the journal is whole", "the journal can be replayed")
FAILED: Final = 1
"""What pytest ends with when a test has failed, and nothing else was wrong."""


def test_there_are_bugs_enough_and_most_are_found_by_the_simulation_alone() -> None:
    simulated = [name for name, bug in BUGS.items() if bug.rules]
    assert (len(BUGS) >= 26, len(simulated) >= 26) == (True, True)


def test_every_bug_is_looked_for_by_something_that_is_there() -> None:
    rules = {*RULES, *WHOLE, TOLD, ONCE, HELD_ONCE, REST, BREAKS}
    assert {name: set(bug.rules) - rules for name, bug in BUGS.items() if not set(bug.rules) <= rules} == {}
    assert [name for name, bug in BUGS.items() if bool(bug.rules) == bool(bug.test)] == []


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_can_still_be_planted(name: str) -> None:
    for file in {edit.file for edit in BUGS[name].edits}:
        source = file.read_text(encoding="utf-8")
        assert edited(source, [edit for edit in BUGS[name].edits if edit.file == file]) != source


def test_a_bug_whose_place_is_gone_is_told() -> None:
    with pytest.raises(Moved, match="0 times, not once"):
        edited("what is there\n", [Edit("saga_engine.log", "what was there", "nothing")])


@pytest.mark.timeout(SECONDS_MAX + 10)
@pytest.mark.parametrize("name", [name for name, bug in BUGS.items() if bug.rules])
def test_the_simulation_finds_it(name: str) -> None:
    done = _run({}, "-m", "tests.planted.detect", name)
    print(done.stdout)  # noqa: T201  which seed, which rule
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(SECONDS_MAX + 10)
@pytest.mark.parametrize("name", [name for name, bug in BUGS.items() if bug.test])
def test_a_test_of_its_own_finds_it(name: str, request: pytest.FixtureRequest) -> None:
    if BUGS[name].server:
        request.getfixturevalue("postgres_server")  # skips where there is none
    which = "postgresql" if BUGS[name].server else "not postgresql"
    wanted = [BUGS[name].test, "-x", "-q", "-k", which, "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = _run({VARIABLE: name}, "-m", "pytest", "-p", "tests.planted.plugin", *wanted)
    print(BUGS[name].test)  # noqa: T201  what has found it
    assert done.returncode == FAILED, done.stdout + done.stderr
    assert " failed" in done.stdout


def _run(variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0", **variables},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
