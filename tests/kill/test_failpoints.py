"""kill -9 at the failpoints of a whole run: another worker goes on, and nothing is lost, nothing done twice.

A clean run counts the hits; then each trial is a run of its own whose worker kills itself at one of them. What is
killed where is chosen by the seed; `-m soak` goes through every hit, and through pairs of hits.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

import pytest

from tests.kill.conftest import Projects
from tests.kill.project import GOING, Project

SAMPLE: Final = 4
TWICE: Final = 1
"""So many trials in which the second worker is killed, too."""
TAIL: Final = 12
"""A run may have a few hits less than the clean one: its last polls depend on the clock."""
PASSED: Final = {
    "ledger.head.after_commit",
    "ledger.part.after_insert",
    "ledger.part.after_work",
    "ledger.part.before_commit",
    "runtime.action.after",
    "runtime.action.before",
    "runtime.attempt.start",
    "runtime.recorder.recorded",
    "store.claim.before_commit",
    "store.incarnation.end",
    "store.record.journal",
    "store.record.locked",
    "store.record.tasks",
    "store.record.tasks_gone",
    "store.record.undo",
    "store.touch.before_write",
    "store.write.after_commit",
    "store.write.before_commit",
}
PASSED_BACK: Final = PASSED | {
    "ledger.undo.begin.after_commit",
    "ledger.undo.part.after_work",
    "ledger.undo.part.before_commit",
    "ledger.undo.finish.after_commit",
    "store.record.undo_changes",
}

on_every_pair = pytest.mark.parametrize(
    ("store", "target"),
    [("sqlite", "sqlite"), ("sqlite", "postgresql"), ("postgresql", "sqlite"), ("postgresql", "postgresql")],
)
there_and_back = pytest.mark.parametrize("fails", [False, True], ids=["forward", "rolled back"])


def clean_run(project: Project, *, fails: bool) -> int:
    """How many hits a run has whose worker is left alone."""
    file = project.folder / "hits"
    run = project.start("trip", fails=fails)
    assert project.worker(f"*:*=trace:{file}", until_idle=True).ended() == "exit 0", project.told(run)
    check(project, run, fails=fails)
    hits = file.read_text().splitlines()
    assert set(hits) >= (PASSED_BACK if fails else PASSED), sorted(set(hits))
    return len(hits)


def survives(project: Project, at: Sequence[int], hits: int, *, fails: bool) -> None:
    """Start a run, kill one worker after the other at the hits *at*; the next one goes on to the end."""
    run = project.start("trip", fails=fails)
    for number, hit in enumerate(at):
        end = project.worker(f"*:{hit}=kill", until_idle=True).ended()
        if end != "killed":  # the second worker has less to do than the first one had
            assert (end, number > 0 or hit > hits - TAIL) == ("exit 0", True), (at, project.told(run))
    assert project.worker(until_idle=True).ended() == "exit 0", (at, project.told(run))
    try:
        check(project, run, fails=fails)
    except AssertionError as error:
        raise AssertionError(f"killed at {at} of {hits} hits: {error}") from error


def check(project: Project, run: str, *, fails: bool) -> None:
    found = project.engine.get(run)
    assert (found.state, found.status) == (("AT_HOME", "rolled_back") if fails else ("BOOKED", "completed")), (
        project.told(run)
    )
    assert found.tasks == ()
    assert project.booked().get(run, []) == ([] if fails else GOING)
    assert project.taken_back().get(run, []) == (GOING[::-1] if fails else [])
    assert undone(project, run) == ([3, 2, 1] if fails else [])
    project.check_journal(run)


def undone(project: Project, run: str) -> list[int]:
    """The positions of the undo stack in the order in which they were undone."""
    commands = [command for line in project.engine.history(run) for command in line.commands]
    return [c["position"] for c in commands if c["kind"] == "SetUndo" and c["status"] == "undone"]


@on_every_pair
@there_and_back
def test_a_run_whose_worker_is_killed_anywhere_ends_as_if_nobody_had_died(
    project_of: Projects, seed: str, store: str, target: str, *, fails: bool
) -> None:
    project = project_of(store, target)
    hits = clean_run(project, fails=fails)
    chance = Random(f"{seed} {store} {target} {fails}")
    for hit in chance.sample(range(1, hits + 1), SAMPLE):
        survives(project, [hit], hits, fails=fails)
    for _ in range(TWICE):
        survives(project, [chance.randint(1, hits), chance.randint(1, hits)], hits, fails=fails)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@on_every_pair
@there_and_back
def test_a_run_whose_worker_is_killed_at_each_single_hit_ends_as_if_nobody_had_died(
    project_of: Projects, seed: str, store: str, target: str, *, fails: bool
) -> None:
    project = project_of(store, target)
    hits = clean_run(project, fails=fails)
    chance = Random(f"{seed} {store} {target} {fails}")
    for hit in range(1, hits + 1):
        survives(project, [hit], hits, fails=fails)
        survives(project, [hit, chance.randint(1, hits)], hits, fails=fails)
