"""Approve and reject at the same moment: one wins, all others are told who and when, and the run goes one way."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from tests.kill import votes
from tests.kill.conftest import Projects
from tests.kill.workers import voters

ROUNDS: Final = 200
PROCESSES: Final = 2
THREADS: Final = 2
SECONDS_MAX: Final = 90.0
"""For all rounds, on a machine that is busy with something else; a few seconds on one that is not."""


def test_of_those_who_decide_at_once_one_wins_and_the_others_are_told_who_and_when(
    project_of: Projects, store: str
) -> None:
    project = project_of(store)
    runs = [project.start("asking") for _ in range(ROUNDS)]
    worker = project.worker(concurrency=4)
    for run in runs:
        project.until(run, lambda found: found.status == "waiting")
    shown = {approval.run_id: approval.digest for approval in project.engine.approvals()}
    rounds = [(run, shown[run]) for run in runs]
    # The worker works on meanwhile: those who come too late find the run in any state behind the gate.
    people = voters(project.nursery, folder=str(project.folder), processes=PROCESSES, threads=THREADS, rounds=rounds)
    assert [process.ended(SECONDS_MAX) for process in people] == ["exit 0"] * PROCESSES, project.told(runs[0])
    answers: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for answer in votes.answers(project.folder, PROCESSES):
        answers[answer["run"]].append(answer)
    winners = []
    for run in runs:
        [winner] = [answer for answer in answers[run] if not answer["error"]]
        losers = [answer for answer in answers[run] if answer["error"]]
        end = project.ended(run)
        assert end.state == ("BOOKED" if winner["approved"] else "REFUSED")
        [given] = project.events(run, "VerdictGiven")
        assert (given["actor"], given["approved"]) == (winner["actor"], winner["approved"])
        [at] = {loser["facts"]["at"] for loser in losers}
        verdict = "approved" if winner["approved"] else "rejected"
        reason = f"{winner['actor']} says so"
        told = f"{run} was already {verdict} by {winner['actor']} at {at}: {reason}"
        expected = [("AlreadyDecided", 7, told)] * (PROCESSES * THREADS - 1)
        assert [(loser["error"], loser["code"], loser["text"]) for loser in losers] == expected
        project.check_journal(run)
        winners.append(winner)
    approved = [winner["run"] for winner in winners if winner["approved"]]
    assert project.booked() == {run: ["car"] for run in approved}
    assert 0 < len(approved) < ROUNDS
    assert len({winner["actor"] for winner in winners}) > THREADS, "people of more than one process won"
    assert worker.state() == "alive"
