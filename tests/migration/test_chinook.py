"""Every table of a real database through the engine, between every two kinds, the worker killed in each state of each.

Each table has its worker killed with SIGKILL in the middle of two states, so that each state has it for three or four
tables of eleven. One run more is rejected, and its worker is killed in the middle of ROLLING_BACK. PREFLIGHT refuses
none of these tables: each has a primary key, PlaylistTrack one of two columns.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.actions.compare import unequal
from tests.actions.support import Database
from tests.migration.conftest import FreshUrl, Projects
from tests.migration.points import Points, killed
from tests.migration.project import LOOK_SECONDS, Project

ROWS = {
    "Album": 347, "Artist": 275, "Customer": 59, "Employee": 8, "Genre": 25, "Invoice": 412, "InvoiceLine": 2240,
    "MediaType": 5, "Playlist": 18, "PlaylistTrack": 8715, "Track": 3503,
}  # fmt: skip
IN_POSTGRES = {"InvoiceLine": "invoice_line", "MediaType": "media_type", "PlaylistTrack": "playlist_track"}
CHUNK_ROWS = 1_000
STATES = ["PREFLIGHT", "EXPORTING", "LOADING", "VALIDATING", "AWAITING_CUTOVER", "CUTTING_OVER"]
SECONDS = 100.0


def places(moment: str) -> dict[str, tuple[str, int]]:
    """Where to die: behind a step's work, but before it is recorded; *moment* is one of an effect."""
    return {
        "PREFLIGHT": ("runtime.action.after", 1),
        "EXPORTING": ("copy.chunk.written", 1),
        "LOADING": (f"ledger.part.{moment}", 2),
        "VALIDATING": ("runtime.action.after", 1),
        "AWAITING_CUTOVER": ("runtime.action.after", 1),
        "CUTTING_OVER": (f"ledger.part.{moment}", 1),
        "ROLLING_BACK": ("ledger.undo.part.after_work", 1),
    }


def planned(runs: list[str], rejected: str) -> list[tuple[str, str]]:
    """``(run, state)`` of each kill."""
    states = [(run, STATES[(number + shift) % 6]) for number, run in enumerate(runs) for shift in (0, 3)]
    return [*states, (rejected, "ROLLING_BACK")]


@pytest.fixture
def source_of(chinook: Path, tmp_path: Path, fresh_url: FreshUrl) -> Callable[[str], Database]:
    """Ask `source_of(kind)` for a database with all of Chinook."""

    def source_of(kind: str) -> Database:
        source = Database(fresh_url(kind, "chinook"))
        if kind == "sqlite":
            shutil.copyfile(chinook / "Chinook_Sqlite.sqlite", source.path)
            return source
        script = (chinook / "Chinook_PostgreSql.sql").read_text(encoding="utf-8")
        with psycopg.connect(source.libpq) as server:
            server.execute(script[script.index("CREATE TABLE") :].encode())  # before it: the database itself
        return source

    return source_of


def work_and_decide(project: Project, rejected: str, points: Points) -> None:
    """Replace each worker that dies, and answer each approval, until every run has ended."""
    end = time.monotonic() + SECONDS
    worker = project.worker(concurrency=1, points=points)
    while live := project.live():
        stuck = time.monotonic() > end or "parked" in live.values()
        assert not stuck, [project.told(run) for run in live]
        if not worker.alive:
            assert worker.state() == "killed", project.log()
            worker = project.worker(concurrency=1, points=points)
        for run in [run for run, status in live.items() if status == "waiting"]:
            (project.reject if run == rejected else project.approve)(run)
        time.sleep(LOOK_SECONDS)


@dataclass
class Scene:
    """The databases of one test, and when its workers die in an effect."""

    source: Database
    target: Database
    project: Project
    moment: str


@pytest.fixture(
    params=[
        ("sqlite", "postgresql", "sqlite", "after_work"),
        ("postgresql", "sqlite", "postgresql", "after_commit"),
        ("sqlite", "sqlite", "postgresql", "after_work"),
        ("postgresql", "postgresql", "sqlite", "after_commit"),
    ],
    ids=lambda given: f"{given[0]} to {given[1]}, store in {given[2]}",
)
def scene(
    request: pytest.FixtureRequest,
    source_of: Callable[[str], Database],
    fresh_url: FreshUrl,
    project_of: Projects,
) -> Scene:
    here, there, store, moment = request.param
    source, target = source_of(here), Database(fresh_url(there, "target"))
    return Scene(source, target, project_of(fresh_url(store, "saga"), shop=source, dw=target), moment)


@pytest.mark.timeout(200)
def test_every_table_arrives_exactly_though_its_worker_is_killed_in_each_state(scene: Scene) -> None:
    source, target, project = scene.source, scene.target, scene.project
    names = IN_POSTGRES if source.kind == "postgresql" else {}
    rows = {names.get(table, table.lower() if names else table): count for table, count in ROWS.items()}
    runs = {table: project.start("shop", "dw", table, chunk_rows=CHUNK_ROWS) for table in rows}
    rejected = project.start("shop", "dw", next(iter(rows)), target_table="never", chunk_rows=CHUNK_ROWS)
    kills, place = planned(list(runs.values()), rejected), places(scene.moment)

    work_and_decide(project, rejected, {f"{run} {state}": place[state] for run, state in kills})

    for run in [*runs.values(), rejected]:
        project.ended(run)
    assert sorted(killed(project.folder)) == sorted(kills)
    assert project.statuses(list(runs.values())) == {"completed": 11}
    assert (project.get(rejected).status, project.get(rejected).state) == ("rolled_back", "ROLLED_BACK")
    assert {table: unequal(source, table, target) for table in runs} == {table: [] for table in rows}
    assert {table: len(target.rows(f'SELECT * FROM "{table}"')) for table in runs} == rows
    assert [project.broken_at(run) for run in [*runs.values(), rejected]] == [None] * 12
    assert [name for name in target.tables() if "never" in name or "__staging" in name] == []
    assert project.left_over() == []
