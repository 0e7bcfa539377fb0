"""``saga test --kill-everywhere``: it finds the step that breaks its promise, and leaves the user's databases alone."""

from __future__ import annotations

import hashlib
import shlex
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
    done = killed(project, "--saga", "load", *GO, "--kills", "12", "--json")
    found = item(done)
    assert (done.code, found["broken"], found["kills"]) == (0, [], 12)
    assert (found["compared"], found["not_compared"]) == (["dw", "shop"], ["the result of ASKING", "dw.facts.at"])
    assert digest(project.folder / "dw.db") == before
    assert sorted(path.name for path in project.folder.iterdir() if path.suffix == ".db") == ["dw.db", "shop.db"]
    assert "of 12 places" in done.err


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_a_step_that_is_not_idempotent_is_named_with_what_it_did_and_how_to_see_it_again(project: Place) -> None:
    done = killed(project, "--saga", "plain", "--input", "how=again", "--kills", "6")
    assert done.code == 6, done.err
    typed = "--saga plain --input how=again --connection dw=sqlite:///dw.db"
    assert done.out.splitlines()[:2] == [
        f"LOADING is not idempotent: killed {BEHIND}, it wrote 4 rows twice into dw.facts",
        f"    again: saga test --kill-everywhere killed.py {typed} --at runtime.action.after:1",
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
            ["--saga", "load", "--input", "how=outside the ledger", "--event", 'go={"text": "password=s3cret"}'],
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
def test_each_promise_is_held_to_and_a_secret_that_was_typed_is_not_shown_again(
    project: Place, arguments: list[str], at: str, text: str
) -> None:
    done = killed(project, *arguments, "--at", at)
    assert (done.code, done.out.splitlines()[0]) == (6, text), done.err
    again = shlex.split(done.out.splitlines()[1].removeprefix("    again: "))
    assert again[:4] == ["saga", "test", "--kill-everywhere", "killed.py"]
    typed = [word.replace("s3cret", "***") for word in arguments]
    assert sorted(again[4:]) == sorted([*typed, *GIVEN, "--at", at])


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_a_run_that_asks_a_person_as_it_has_promised_is_no_fault(project: Place) -> None:
    done = killed(project, "--saga", "probed", "--input", "how=in doubt", "--at", "runtime.action.after:1", "--json")
    assert (done.code, item(done)["broken"], item(done)["parked"]) == (0, [], 1)


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_a_statement_that_a_process_was_killed_behind_is_named(project: Place) -> None:
    done = killed(project, "--saga", "plain", "--input", "how=again", "--at", "user.statement:2", "--json")
    assert (done.code, item(done)["broken"], item(done)["kills"]) == (0, [], 1)


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_a_step_of_many_statements_leaves_room_for_the_place_where_it_breaks_and_what_was_tried_is_said(
    project: Place,
) -> None:
    done = killed(project, "--saga", "plain", "--input", "how=again", "--input", "rows=200", "--kills", "5")
    *_, more, last = done.out.splitlines()
    assert (done.code, done.out.splitlines()[0]) == (
        6,
        f"LOADING is not idempotent: killed {BEHIND}, it wrote 200 rows twice into dw.facts",
    ), done.err
    assert "5 of " in last
    assert last.endswith(" hits tried: 1 broken promise")
    assert more.startswith("not tried were ")


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_a_notice_of_the_end_goes_on_when_it_was_killed_and_is_held_to_its_promise(project: Place) -> None:
    done = killed(project, "--saga", "noticed", "--at", "runtime.action.after:2")
    assert (done.code, done.out.splitlines()[0]) == (
        6,
        f"the notice of LOADED does not bear being sent twice: killed {BEHIND}, it wrote 1 row twice into dw.undone",
    ), done.err
    before = killed(project, "--saga", "noticed", "--at", "runtime.action.before:2", "--json")
    assert (before.code, item(before)["broken"], item(before)["kills"]) == (0, [], 1)


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_steps_that_ask_for_a_process_of_their_own_are_killed_too(project: Place) -> None:
    done = killed(project, "--saga", "apart", "--input", "how=again", "--at", "runtime.action.after:1", "--json")
    (broken,) = item(done)["broken"]
    assert (done.code, broken["what"]) == (6, ["it wrote 4 rows twice into dw.facts"])
    assert item(done)["on_threads"] == ["LOADING"]


BEHIND_ITS_BACK = """
import sqlite3
from enum import Enum, auto
from saga_engine import Frozen, Outcome, Saga, Step
class S(Enum):
    LOADING = auto(); DONE = auto(); BACK = auto(); UNDONE = auto()
class Input(Frozen):
    n: int = 4
def load(step: Step[Input]) -> None:
    with sqlite3.connect("shop.db") as db:
        db.execute("CREATE TABLE IF NOT EXISTS loaded (n int)")
        db.execute("INSERT INTO loaded VALUES (?)", [step.input.n])
def unload(step: Step[Input], was: Outcome[None]) -> None: ...
loads = Saga("loads", version=1, states=S, input=Input, start=S.LOADING)
loads.at(S.LOADING).run(load, promise="idempotent").undo(unload).then(S.DONE, failed=S.BACK)
loads.rolls_back(S.BACK).to(S.UNDONE)
loads.final(S.DONE, S.UNDONE)
"""


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_what_no_connection_leads_to_is_not_said_to_be_kept(project: Place) -> None:
    """The step writes twice, into a file of which the test knows nothing."""
    (project.folder / "killed.py").write_text(BEHIND_ITS_BACK)
    (project.folder / "saga.toml").write_text("")
    done = killed(project, "--at", "runtime.action.after:1", connections=[])
    assert done.code == 0
    assert "every promise was kept, as far as the state and the results of a run tell" in done.out
    assert "no database was compared: name each that steps write to with --connection NAME=URL" in done.out


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_a_table_that_is_named_by_the_run_condemns_no_kill(project: Place) -> None:
    done = killed(project, "--saga", "aside", "--kills", "4", "--json")
    assert (done.code, item(done)["broken"], item(done)["kills"], item(done)["not_compared"]) == (0, [], 4, [])


@pytest.mark.timeout(SECONDS_MAX + 20)
@pytest.mark.parametrize(
    ("at", "error"),
    [
        ("runtime.action.aftr:1", "no undisturbed run comes to runtime.action.aftr; near it are runtime.action.after"),
        ("runtime.action.after:9", "the run ended before it came to runtime.action.after:9"),
    ],
)
def test_a_place_that_no_run_comes_to_is_refused(project: Place, at: str, error: str) -> None:
    done = killed(project, "--saga", "noticed", "--at", at)
    assert (done.code, done.out) == (2, ""), done.err
    assert error in done.err


@pytest.mark.timeout(SECONDS_MAX + 20)
@pytest.mark.parametrize(
    ("how", "at", "what"),
    [
        ("the third breaks", "runtime.action.after:1", "a process ended with 70"),
        ("the third loads less", "user.statement:4", "2 rows of dw.facts were missing"),
    ],
)
def test_a_run_that_was_not_killed_and_ends_otherwise_is_a_fault(project: Place, how: str, at: str, what: str) -> None:
    done = killed(project, "--saga", "plain", "--input", f"how={how}", "--at", at, "--json")
    (broken,) = item(done)["broken"]
    assert (done.code, item(done)["kills"], broken["promise"]) == (6, 0, "alone")
    assert what in broken["text"]


@pytest.mark.parametrize(
    ("arguments", "code", "error", "hint"),
    [
        (["killed.py"], 2, "say what to test the saga with", "saga test --kill-everywhere killed.py"),
        (["--kill-everywhere", "gone.py"], 3, "gone.py", "saga init"),
        (["--kill-everywhere", "workflows"], 3, "workflows", "saga init"),
        (["--kill-everywhere", "empty.py"], 2, "there is no saga at module level of empty.py", "saga init"),
        (["--kill-everywhere", "broken.py"], 6, "broken.py cannot be loaded: NameError", ""),
        (["--kill-everywhere", "killed.py"], 2, "killed.py has several sagas: apart, aside,", "say --saga apart"),
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
