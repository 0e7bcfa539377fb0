"""Every event comes three times, shuffled, from eight processes that are killed before they hear: each counts once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Final

import pytest

from tests.kill.conftest import Projects
from tests.kill.project import Project
from tests.kill.senders import SOURCE, acknowledged
from tests.support.nursery import Forked

SENDERS: Final = 8
TIMES: Final = 3
EVENTS_OF_A_RUN: Final = 50
"""A run may be in one state a hundred times."""
EVENTS: Final = 1_000
"""On each store."""
EVENTS_LONG: Final = 500_000
KILLS: Final = 2
"""Of each sender."""
SECONDS_MAX: Final = 100.0


def shares(runs: Sequence[str], chance: Random) -> list[list[tuple[str, str]]]:
    """What each sender sends: of all events, each three times, a part in an order of chance."""
    all_events = [(run, str(number)) for run in runs for number in range(EVENTS_OF_A_RUN)] * TIMES
    chance.shuffle(all_events)
    return [all_events[number::SENDERS] for number in range(SENDERS)]


def sends(project: Project, number: int, points: str) -> Forked:
    order = {"folder": str(project.folder), "number": number, "points": points}
    process = Forked(project.nursery, int(project.nursery.ask(send=order)))
    project.processes.append(process)
    return process


def each_counts_once(project: Project, seed: str, events: int, seconds: float) -> None:
    chance = Random(seed)
    runs = [project.start("counting") for _ in range(events // EVENTS_OF_A_RUN)]
    parts = shares(runs, chance)
    for number, part in enumerate(parts):
        (project.folder / f"events-{number}").write_text(json.dumps(part))
    killed = 0
    for turn in range(KILLS + 1):
        # It dies when its event is there, and its caller has not heard of it.
        at = chance.randint(1, events // SENDERS // (KILLS + 1))
        points = f"store.write.after_commit:{at}=kill" if turn < KILLS else ""
        processes = [sends(project, number, points) for number in range(SENDERS)]
        ends = [process.ended(seconds) for process in processes]
        killed += ends.count("killed")
        assert set(ends) <= {"killed", "exit 0"}, (project.folder / "worker.log").read_text()[-3_000:]
    assert ends == ["exit 0"] * SENDERS
    assert [acknowledged(project.folder, number) for number in range(SENDERS)] == [
        [list(event) for event in part] for part in parts
    ]
    expected = {(SOURCE, str(number)) for number in range(EVENTS_OF_A_RUN)}
    for run in runs:
        received = [(event["source"], event["dedup_key"]) for event in project.events(run, "EventReceived")]
        assert (len(received), set(received)) == (EVENTS_OF_A_RUN, expected)
        project.check_journal(run)
        assert project.engine.send(run, "stop").state == "COUNTED"
    assert killed >= SENDERS
    print(f"{events} events, {TIMES} times each, by {SENDERS} senders killed {killed} times")  # noqa: T201  the measurement


@pytest.mark.timeout(300)
def test_each_event_is_consumed_once(project_of: Projects, seed: str, store: str) -> None:
    each_counts_once(project_of(store), seed, EVENTS, SECONDS_MAX)


@pytest.mark.soak
@pytest.mark.timeout(36_000)
def test_each_of_a_million_events_is_consumed_once(project_of: Projects, seed: str, store: str) -> None:
    each_counts_once(project_of(store), seed, EVENTS_LONG, 30_000)
