"""Two workers on one store: each does some, and nothing is done twice."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from tests.kill.conftest import Projects

RUNS: Final = 200
SECONDS_MAX: Final = 90.0
"""For all runs, on a machine that is busy with something else."""


def test_two_workers_share_two_hundred_runs_and_no_effect_takes_place_twice(project_of: Projects, store: str) -> None:
    project = project_of(store, store)
    runs = [project.start("errand") for _ in range(RUNS)]
    workers = [project.worker(concurrency=4, until_idle=True) for _ in range(2)]
    assert [worker.ended(SECONDS_MAX) for worker in workers] == ["exit 0", "exit 0"], project.told(runs[0])
    assert project.booked() == {run: ["car"] for run in runs}
    assert {project.engine.get(run).state for run in runs} == {"BOOKED"}
    with project.target.connect() as db:
        assert set(db.execute(sa.text("SELECT DISTINCT pid FROM booked")).scalars()) == {w.pid for w in workers}
    for run in runs:
        project.check_journal(run)
