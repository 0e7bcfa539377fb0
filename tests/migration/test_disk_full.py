"""A disk that is full, or may only be read: each disk here is a small tmpfs of its own.

What did not fit is not there; when there is room again the run goes on by itself, and until then it can be taken back.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from saga_engine import errors
from tests.actions.compare import unequal
from tests.actions.support import Database
from tests.migration.conftest import FreshUrl, Projects
from tests.migration.databases import whole
from tests.migration.project import LOOK_SECONDS, Project

ROWS = [(i, f"name {i} " + "x" * 200) for i in range(1, 2_001)]
"""About half a megabyte."""
SMALL, LARGE = "1m", "16m"
ROOM_LEFT_BYTES = 48 * 1024


class Disk:
    """A file system in memory, of a size that can be changed, and filled up."""

    def __init__(self, folder: Path, size: str) -> None:
        self.folder = folder
        folder.mkdir()
        self._run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))

    def fill(self, leave_bytes: int = 0) -> None:
        """Write a file that leaves so much room."""
        space = os.statvfs(self.folder)
        # Somebody else may have written meanwhile: then it is full before.
        with suppress(OSError), (self.folder / "filler").open("wb") as filler:
            filler.write(b"\0" * max(0, space.f_bavail * space.f_frsize - leave_bytes))

    def free(self) -> None:
        """Take that file away, and make the disk larger."""
        (self.folder / "filler").unlink(missing_ok=True)
        self._run("mount", "-o", f"remount,size={LARGE}", str(self.folder))

    def may_be_written(self, allowed: bool) -> None:
        self._run("mount", "-o", f"remount,{'rw' if allowed else 'ro'}", str(self.folder))

    def gone(self) -> None:
        # Lazily: a process of the test may still look at it.
        self._run("umount", "--lazy", str(self.folder))

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no disk of a size of its own can be had here: {done.stderr.strip() or command}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small disk; only root may have one."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tmpfs, the small disk of this test")
    with ExitStack() as mounted:
        disk = Disk(tmp_path / "disk", SMALL)
        mounted.callback(disk.gone)
        yield disk


@pytest.fixture
def source(fresh_url: FreshUrl) -> Database:
    source = Database(fresh_url("sqlite", "source"))
    source.run("CREATE TABLE item (id bigint PRIMARY KEY, name text)")
    source.fill("item", ROWS)
    return source


@pytest.fixture
def target(disk: Disk) -> Database:
    """A SQLite file on the small disk, with an older table."""
    target = Database(f"sqlite:///{disk.folder}/target.db")
    target.run("CREATE TABLE item (id bigint PRIMARY KEY, name text)", "INSERT INTO item VALUES (1, 'old')")
    return target


def failed_with(project: Project, run: str, text: str) -> None:
    """Wait until an attempt has failed with *text*, and the next one backs off."""
    project.until(run, lambda found: any(text in task.error and task.failures for task in found.tasks))
    assert project.engine.why(run).reasons[0].code == "W04"
    assert text in str(project.engine.why(run).reasons[0])


def test_a_load_into_a_full_disk_goes_on_when_there_is_room(
    disk: Disk, source: Database, target: Database, project_of: Projects
) -> None:
    project = project_of(shop=source, dw=target)
    run = project.start("shop", "dw", "item", chunk_rows=100)
    project.dies_in("LOADING", "ledger.part.after_commit", 4)
    disk.fill()
    project.worker()
    failed_with(project, run, "database or disk is full")
    assert target.rows("SELECT * FROM item") == [(1, "old")]
    disk.free()
    project.engine.retry(run)
    project.waiting(run)
    project.approve(run)
    assert project.ended(run).status == "completed"
    assert (unequal(source, "item", target), project.left_over()) == ([], [])


def test_a_load_into_a_full_disk_can_be_taken_back_wholly(
    disk: Disk, source: Database, target: Database, project_of: Projects
) -> None:
    project = project_of(shop=source, dw=target)
    before = whole(target)
    run = project.start("shop", "dw", "item", chunk_rows=100)
    project.dies_in("LOADING", "ledger.part.after_commit", 4)
    disk.fill()
    project.worker()
    failed_with(project, run, "database or disk is full")
    project.engine.cancel(run, reason="there is no room")
    project.until(run, lambda found: found.ended or any(task.failures for task in found.tasks if task.kind == "undo"))
    disk.free()  # even to drop a table SQLite needs room for its journal
    if not project.get(run).ended:
        project.engine.retry(run)
    assert project.ended(run).status == "cancelled"
    assert (whole(target), project.left_over()) == (before, [])


def test_an_export_that_would_not_fit_is_refused_before_anything_is_written(
    disk: Disk, source: Database, fresh_url: FreshUrl, project_of: Projects
) -> None:
    target = Database(fresh_url("sqlite", "target"))
    project = project_of(shop=source, dw=target)
    disk.fill(leave_bytes=ROOM_LEFT_BYTES)
    run = project.start("shop", "dw", "item", exports=f"{disk.folder}/exports")
    project.worker()
    assert project.ended(run).status == "rolled_back"
    [error] = project.errors(run)
    assert "nothing was written: the files need about" in error
    assert error.endswith(f"and {disk.folder} has {ROOM_LEFT_BYTES}")
    assert (target.tables(), list(disk.folder.iterdir())) == (set(), [disk.folder / "filler"])


def test_an_export_whose_disk_fills_up_goes_on_when_there_is_room(
    disk: Disk, source: Database, fresh_url: FreshUrl, project_of: Projects
) -> None:
    target = Database(fresh_url("sqlite", "target"))
    project = project_of(shop=source, dw=target)
    run = project.start("shop", "dw", "item", exports=f"{disk.folder}/exports", chunk_rows=100)
    project.dies_in("EXPORTING", "copy.chunk.written", 3)
    disk.fill()
    project.worker()
    failed_with(project, run, "No space left on device")
    disk.free()
    project.engine.retry(run)
    project.waiting(run)
    assert project.get(run).results["EXPORTING"]["reused"] == 3
    project.approve(run)
    assert project.ended(run).status == "completed"
    assert unequal(source, "item", target) == []
    assert list(disk.folder.glob("exports/*")) == []


def on_the_disk(disk: Disk, source: Database, target: Database, project_of: Projects) -> tuple[Project, str]:
    """A project whose store is on the disk, and a run that is before LOADING."""
    project = project_of(f"sqlite:///{disk.folder}/saga.db", shop=source, dw=target)
    run = project.start("shop", "dw", "item", chunk_rows=100)
    project.dies_in("LOADING")
    return project, run


def goes_on(project: Project, run: str, source: Database, target: Database) -> None:
    """The run ends well, and its journal is whole."""
    project.waiting(run)
    project.approve(run)
    assert project.ended(run).status == "completed"
    assert (unequal(source, "item", target), project.broken_at(run), project.left_over()) == ([], None, [])


def many_starts(project: Project) -> None:
    """One may still fit: the file may have a few free pages."""
    for _ in range(100):
        project.start("shop", "dw", "item")


def test_a_store_on_a_full_disk_refuses_by_name_and_loses_nothing(
    disk: Disk, source: Database, fresh_url: FreshUrl, project_of: Projects
) -> None:
    target = Database(fresh_url("sqlite", "target"))
    project, run = on_the_disk(disk, source, target, project_of)
    told = project.told(run)
    worker = project.worker()
    while worker.pid not in [life.pid for life in project.engine.workers()]:
        assert worker.alive, project.log()
        time.sleep(LOOK_SECONDS)
    disk.fill()  # one that has not begun by then ends, and says why
    with pytest.raises(errors.StoreFull, match="No room is left for the store"):
        many_starts(project)
    assert worker.alive, project.log()
    disk.free()
    assert project.get(run).name in told
    goes_on(project, run, source, target)


def test_a_store_that_may_only_be_read_is_refused_by_name_and_goes_on_after(
    disk: Disk, source: Database, fresh_url: FreshUrl, project_of: Projects
) -> None:
    target = Database(fresh_url("sqlite", "target"))
    project, run = on_the_disk(disk, source, target, project_of)
    project.engine.close()
    disk.may_be_written(False)
    with pytest.raises(errors.StoreForbidden, match="cannot be written by this user"):
        project.opened()
    worker = project.worker()
    while worker.alive:
        time.sleep(LOOK_SECONDS)
    assert "StoreForbidden: The store" in project.log()
    disk.may_be_written(True)
    project.engine = project.opened()
    project.worker()
    goes_on(project, run, source, target)


def test_a_target_that_may_only_be_read_is_refused_by_name(
    disk: Disk, source: Database, target: Database, project_of: Projects
) -> None:
    project = project_of(shop=source, dw=target)
    before = target.rows("SELECT * FROM item")
    run = project.start("shop", "dw", "item")
    disk.may_be_written(False)
    project.worker()
    assert project.ended(run).status == "rolled_back"
    [error] = project.errors(run)
    assert "nothing was written: missing in the target:" in error
    assert f"{disk.folder}/target.db" in error
    assert (target.rows("SELECT * FROM item"), project.left_over()) == (before, [])
