"""``saga test --kill-everywhere``: it finds the step that breaks its promise, and leaves the user's databases alone."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.place import Done, Place

KILLED = Path(__file__).with_name("killed.py")
SECONDS_MAX = 600
"""For a test of many processes on a machine that is busy with something else."""
BEHIND = "after its function had returned, before that was recorded"
GIVEN = ["--connection", "dw=sqlite:///dw.db"]
GO = ["--event", 'go={"text": "now"}']


@pytest.fixture
def project(saga: Place) -> Place:
    shutil.copy(KILLED, saga.folder / "killed.py")
    with closing(sqlite3.connect(saga.folder / "dw.db")) as db:
        db.execute("CREATE TABLE facts (id INTEGER PRIMARY KEY, n int, at text)")
        db.execute("CREATE TABLE undone (what text)")
        db.execute("INSERT INTO facts (n, at) VALUES (-1, 'before')")
        db.commit()
    return saga


def killed(project: Place, *arguments: str, connections: list[str] = GIVEN) -> Done:
    """Longer than a command may take in the process that the other tests share."""
    process = project.start("test", "--kill-everywhere", "killed.py", *connections, *arguments)
    out, err = process.communicate(timeout=SECONDS_MAX)
    return Done(process.returncode, out, err)


def item(done: Done) -> dict[str, Any]:
    assert (done.json["schema"], done.json["kind"]) == ("saga/v1", "KillTest"), done.err
    found: dict[str, Any] = done.json["item"]
    return found


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_every_promise_of_a_good_saga_is_kept_and_its_database_is_as_before(project: Place) -> None:
    before = digest(project.folder / "dw.db")
    done = killed(project, "--saga", "load", *GO, "--kills", "20", "--json")
    found = item(done)
    assert (done.code, found["broken"], found["kills"]) == (0, [], 20)
    assert found["not_compared"] == ["the result of ASKING", "dw.facts.at"]
    assert digest(project.folder / "dw.db") == before
    assert sorted(path.name for path in project.folder.iterdir() if path.suffix == ".db") == ["dw.db", "shop.db"]
    assert "of 20 places" in done.err


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_a_step_that_is_not_idempotent_is_named_with_what_it_did_and_how_to_see_it_again(project: Place) -> None:
    done = killed(project, "--saga", "plain", "--input", "how=again", "--kills", "6")
    assert done.code == 6, done.err
    assert done.out.splitlines()[:2] == [
        f"LOADING is not idempotent: killed {BEHIND}, it wrote 4 rows twice into dw.facts",
        "    again: saga test --kill-everywhere killed.py --at runtime.action.after:1",
    ]
    again = killed(project, "--saga", "plain", "--input", "how=again", "--at", "runtime.action.after:1", "--json")
    (broken,) = item(again)["broken"]
    assert (again.code, item(again)["kills"]) == (6, 1)
    assert (broken["state"], broken["promise"], broken["at"]) == ("LOADING", "idempotent", "runtime.action.after:1")
    assert broken["what"] == ["it wrote 4 rows twice into dw.facts"]


@pytest.mark.timeout(SECONDS_MAX + 20)
@pytest.mark.parametrize(
    ("arguments", "at", "text"),
    [
        (
            ["--saga", "load", "--input", "how=outside the ledger", *GO],
            "runtime.action.after:1",
            f"LOADING does not take effect exactly once: killed {BEHIND}, it wrote 4 rows twice into dw.facts",
        ),
        (
            ["--saga", "plain", "--input", "fails=true"],
            "runtime.action.after:1",
            f"the undo of LOADING does not bear being run twice: killed {BEHIND}, it wrote 1 row twice into dw.undone",
        ),
        (
            ["--saga", "probed", "--input", "how=lies"],
            "runtime.action.after:1",
            f"LOADING does something that its probe does not see: killed {BEHIND}, it wrote 4 rows twice into dw.facts",
        ),
    ],
    ids=["effect", "undo", "probe"],
)
def test_each_promise_is_held_to(project: Place, arguments: list[str], at: str, text: str) -> None:
    done = killed(project, *arguments, "--at", at)
    assert (done.code, done.out.splitlines()[0]) == (6, text), done.err


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_a_run_that_asks_a_person_as_it_has_promised_is_no_fault(project: Place) -> None:
    done = killed(project, "--saga", "probed", "--input", "how=in doubt", "--at", "runtime.action.after:1", "--json")
    assert (done.code, item(done)["broken"], item(done)["parked"]) == (0, [], 1)


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_a_statement_that_a_process_was_killed_behind_is_named(project: Place) -> None:
    done = killed(project, "--saga", "plain", "--input", "how=again", "--at", "user.statement:2", "--json")
    assert (done.code, item(done)["broken"], item(done)["kills"]) == (0, [], 1)


@pytest.mark.parametrize(
    ("arguments", "code", "error", "hint"),
    [
        (["killed.py"], 2, "say what to test the saga with", "saga test --kill-everywhere killed.py"),
        (["--kill-everywhere", "gone.py"], 3, "gone.py", "saga init"),
        (["--kill-everywhere", "workflows"], 3, "workflows", "saga init"),
        (["--kill-everywhere", "empty.py"], 2, "there is no saga at module level of empty.py", "saga init"),
        (["--kill-everywhere", "broken.py"], 6, "broken.py cannot be loaded: NameError", ""),
        (["--kill-everywhere", "killed.py"], 2, "killed.py has several sagas: load, plain, probed", "say --saga load"),
        (["--kill-everywhere", "killed.py", "--saga", "lod"], 3, "lod", ""),
        (["--kill-everywhere", "workflows/parcel.py"], 2, "parcel cannot start with this input", "--input to=…"),
        (["--kill-everywhere", "killed.py", "--saga", "load", "--event", "go"], 2, "--event go", ""),
        (["--kill-everywhere", "killed.py", "--saga", "load", "--event", "went={}"], 3, "went", ""),
        (["--kill-everywhere", "killed.py", "--saga", "load", "--event", "go={}"], 2, "go cannot be sent", ""),
        (["--kill-everywhere", "killed.py", "--saga", "load", "--connection", "dw"], 2, "--connection dw", ""),
        (["--kill-everywhere", "killed.py", "--saga", "load", "--connection", "dw=what"], 2, "connection dw", ""),
        (["--kill-everywhere", "killed.py", "--at", "nowhere"], 2, "'nowhere' is not NAME:N", ""),
        (["--kill-everywhere", "killed.py", "--kills", "0"], 2, "--kills", ""),
    ],
)
def test_what_cannot_be_tested_is_refused(
    project: Place, arguments: list[str], code: int, error: str, hint: str
) -> None:
    (project.folder / "empty.py").write_text("")
    (project.folder / "broken.py").write_text("saga = Saga()\n")
    done = project("test", *arguments)
    assert (done.code, done.out) == (code, ""), done.err
    assert error in done.err
    assert hint in done.err


@pytest.mark.timeout(SECONDS_MAX + 20)
@pytest.mark.parametrize(
    ("arguments", "connections", "error"),
    [
        (["--saga", "load"], GIVEN, "it waits for the event go: give one with --event 'go={…}'"),
        (["--saga", "plain"], [], "SettingsError: No connection is called dw. Known: shop."),
    ],
    ids=["event", "connection"],
)
def test_a_saga_that_does_not_end_by_itself_is_not_killed(
    project: Place, arguments: list[str], connections: list[str], error: str
) -> None:
    done = killed(project, *arguments, connections=connections)
    assert (done.code, done.out) == (2, "")
    assert "a run that nobody disturbs does not come to its end" in done.err
    assert error in done.err


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_a_server_of_the_settings_is_left_out(project: Place) -> None:
    settings = project.folder / "saga.toml"
    settings.write_text(settings.read_text().replace("[connections]", '[connections]\ndw = "postgresql://prod/dw"'))
    done = killed(project, "--saga", "plain", connections=[])
    assert done.code == 2
    assert "dw of your settings is left out" in done.err
    assert "name a database for tests with --connection dw=URL" in done.err
