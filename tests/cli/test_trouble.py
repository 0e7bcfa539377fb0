"""Trouble: one line, a hint with the next command, an exit code, never a traceback, and nothing has moved."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.cli.place import Done, Place


def assert_told(done: Done, code: int, *words: str) -> None:
    """One line that says what is wrong, one that names a command, and nothing else."""
    lines = done.err.splitlines()
    assert (done.code, done.out, [line[:7] for line in lines]) == (code, "", ["error: ", "hint:  "]), done
    assert [word for word in words if word not in done.err] == [], done.err
    assert "Traceback" not in done.err


def test_bad_urls(saga: Place) -> None:
    for url in ("nonsense", "mysql://root:secret@db/x", "sqlite://", "postgresql://u:secret@127.0.0.1:1/x"):
        done = saga("--store", url, "list")
        assert (done.code in {2, 9}, done.out, "secret" in done.err) == (True, "", False), done
        assert [line[:7] for line in done.err.splitlines()] == ["error: ", "hint:  "], done
    assert_told(saga("--store", "sqlite:///a%00b", "list"), 9, "no file has a NUL in its name")
    assert_told(saga("--store", "env:NOWHERE", "list"), 2, "the environment variable NOWHERE is not set")


def test_a_store_that_is_missing_damaged_or_somebody_elses(saga: Place) -> None:
    there = saga.folder / "missing" / "saga.db"
    assert_told(saga("--store", f"sqlite:///{there}", "list"), 9, "there is no file", "hint:  saga doctor")
    assert not there.parent.exists()
    assert_told(saga("--store", f"sqlite:///{saga.folder}", "list"), 9, "is a directory")
    (saga.folder / "text.db").write_text("not a database, only words, and enough of them to look like a page\n" * 99)
    assert_told(saga("--store", "sqlite:///text.db", "list"), 9, "cannot be read")
    with sqlite3.connect(saga.folder / "shop.db") as shop:
        shop.execute("CREATE TABLE orders (id INTEGER)")
    shop.close()
    assert_told(saga("--store", "sqlite:///shop.db", "run", "parcel", "--input", "to=A"), 9, "holds other tables")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_store_that_may_only_be_read(saga: Place) -> None:
    (saga.folder / ".saga" / "saga.db").chmod(0o400)
    assert_told(saga("list"), 9, "may only be read")


def test_a_worker_without_sagas_says_so_and_makes_no_store(empty: Place) -> None:
    missing = empty("worker", "--until-idle")
    told = f"error: There is no {empty.folder}/workflows, where the sagas should be.\nhint:  saga init\n"
    assert missing == Done(3, "", told)
    (empty.folder / "workflows").mkdir()
    bare = empty("worker", "--until-idle")
    told = f"error: There is no saga in {empty.folder}/workflows: a worker would run nothing.\nhint:  saga init\n"
    assert bare == Done(3, "", told)
    assert [path.name for path in empty.folder.iterdir()] == ["workflows"]


def test_a_directory_where_nothing_can_be_made(saga: Place) -> None:
    (saga.folder / "file").write_text("")
    assert_told(saga("--store", "sqlite:///file/saga.db", "run", "parcel", "--input", "to=A"), 9, "file")


def test_an_older_and_a_newer_schema(any_saga: Place, store_url: str) -> None:
    saga = any_saga
    assert saga("db", "upgrade", "-q").code == 0
    url = f"sqlite:///{saga.folder}/.saga/saga.db" if store_url.startswith("sqlite") else store_url
    for version, told, hint in (
        ("0000", "is at 0000, this program needs 0004", "hint:  saga db upgrade"),
        ("9999", "is at 9999, this program knows up to 0004", "hint:  saga doctor"),
    ):
        engine = create_engine(url)
        with engine.begin() as db:
            db.execute(text("UPDATE saga_alembic_version SET version_num = :version"), {"version": version})
        engine.dispose()
        assert_told(saga("--store", url, "list"), 9, told, hint)
        assert saga("--store", url, "db", "current").code == 9


def test_damaged_settings(saga: Place) -> None:
    settings = saga.folder / "saga.toml"
    whole = settings.read_text()
    for damage, told in (
        ("store = \n", "is no TOML"),
        ("[limits]\nlease_secs = 3\n", "Did you mean limits.lease_seconds?"),
        ("[limits]\nlease_seconds = 'long'\n", "limits.lease_seconds: Input should be a valid number"),
    ):
        settings.write_text(damage)
        assert_told(saga("list"), 2, told, "hint:  saga config show --origin")
    settings.write_text('[roles]\ndba = "ann"\n')
    assert_told(saga("list"), 2, 'roles.dba: Input should be a list, such as ["ann", "bob"]')
    settings.write_text(whole)
    assert_told(saga("--profile", "prod", "list"), 2, "there is no [profiles.prod]")
    settings.unlink()
    assert_told(saga("--profile", "prod", "list"), 2, "no saga.toml that could have a [profiles.prod]")


def test_an_actor_that_is_not_allowed(saga: Place) -> None:
    assert_told(
        saga("run", "parcel", "--input", "to=A", SAGA_ACTOR="bob"), 4, "SAGA_ACTOR is set to bob", "saga config show"
    )
    assert saga("list", "--json").json["items"] == []


def test_names_that_are_not_there_are_guessed(saga: Place) -> None:
    name = saga.started("local=false", to="Ann")
    told: dict[tuple[str, ...], tuple[Any, ...]] = {
        ("show", name[:-1] + "#"): (3, f"No run is called {name[:-1]}#. Did you mean {name}?", "saga list"),
        ("why", "@parcle"): (3, "No run is called @parcle.", "saga list"),
        ("run", "parcle"): (3, "No saga called parcle is loaded. Loaded: parcel. Did you mean parcel?", "saga check"),
        ("list", "--saga", "parcle"): (3, "No saga called parcle is loaded.", "saga check"),
        ("list", "--state", "PACKIN"): (3, "has a state PACKIN. Did you mean PACKING?", "saga list"),
        ("send", name, "curier"): (3, "parcel knows no event curier.", "Did you mean courier?", "saga graph parcel"),
        ("send", name, "abort"): (7, f"{name} is in COURIER, which does not take", "abort", f"saga why {name}"),
        ("rollback", name, "--to", "PACKNG", "--plan"): (3, "parcel has no state PACKNG.", "Did you mean PACKING?"),
        ("rollback", name, "--to", "SHIPPING", "--yes"): (7, "cannot go back to SHIPPING", f"saga why {name}"),
        ("approve", name, "--shown", "0"): (7, "nothing waits for an approval", f"saga why {name}"),
        ("explain", "SG999"): (3, "no rule is called SG999", "hint:  saga explain"),
        ("list", "--page", "2"): (2, "no page is called '2'", "hint:  saga list --help"),
        ("history", name, "--after", "9" * 30): (2, "is not in the range", "hint:  saga history --help"),
        ("run", "parcel", "--input", "to=A", "--key", ""): (2, "the run key is empty"),
        ("run", "parcel", "--input", "to=A", "--key", "k" * 501): (2, "has 501 letters; the limit is 500"),
        ("run", "parcel", "--input", "[" * 100_000): (2, "write name=value"),
        ("run", "parcel", "--input", '{"to":' + "[" * 100_000): (2, "nested too deeply"),
        ("send", name, "courier", "--data", "name=x", "--key", " "): (2, "the event key is empty"),
        ("db", "ledger", "shoop"): (2, "No connection is called shoop. Known: shop."),
        ("list", "--since", "yesterday"): (2, "'yesterday' is no moment"),
        ("resume", name, "--wait=soon"): (2, "'soon' is no length of time"),
    }
    for command, (code, *words) in told.items():
        assert_told(saga(*command), code, *words)
    assert len(saga("history", name, "--json").json["items"]) == 3


def test_a_file_that_cannot_be_loaded_does_not_hide_the_others(saga: Place) -> None:
    (saga.folder / "workflows" / "broken.py").write_text("import nowhere_at_all\n")
    (saga.folder / "workflows" / "leaves.py").write_text("print('loud')\nraise SystemExit(3)\n")
    started = saga("run", "parcel", "--input", "to=Ann")
    assert started.code == 0
    assert "broken.py cannot be loaded: ModuleNotFoundError: No module named 'nowhere_at_all' (line 1)" in started.err
    assert "leaves.py cannot be loaded: SystemExit: 3 (line 2)" in started.err
    listed = saga("list", "--json")
    assert [item["name"] for item in listed.json["items"]] == [started.out.strip()]
    assert saga("list", "-q").err == "loud\n"
    checked = saga("check")
    assert (checked.code, "workflows/broken.py  SG000 error" in checked.out) == (6, True)
    examined = saga("doctor", "--json")
    problems = [item["text"] for item in examined.json["items"] if item["state"] == "problem"]
    assert (examined.code, len([text for text in problems if "cannot be loaded" in text])) == (6, 2)


def test_whatever_a_file_raises_is_its_own_trouble_and_shows_no_secret(saga: Place) -> None:
    raised = {
        "base": "raise BaseException('away')",
        "generator": "raise GeneratorExit",
        "secret": "raise ValueError('no answer from postgresql://u:hush@db/x')",
        "long": "raise ValueError('word ' * 20_000)",
    }
    for name, line in raised.items():
        (saga.folder / "workflows" / f"{name}.py").write_text(f"{line}\n")
    listed = saga("list", "--json")
    assert listed.code == 0
    notes = {Path(line.split()[1]).stem: line for line in listed.err.splitlines()}
    assert set(notes) == set(raised)
    assert "BaseException: away (line 1)" in notes["base"]
    assert ("hush" in listed.err, max(map(len, notes.values())) < 1_000) == (False, True)


def test_a_file_of_sagas_that_is_no_python_file(saga: Place) -> None:
    checked = saga("check", "saga.toml")
    assert (checked.code, "ImportError: this is no Python file; name a .py file" in checked.out) == (6, True)


def test_what_does_not_fit_names_the_help_of_its_command(saga: Place) -> None:
    names = [saga("run", "parcel", "--input", f"to={n}", "-q").out.strip() for n in range(2)]
    ids = [saga("show", name, "--json").json["item"]["id"] for name in names]
    assert_told(saga("show", ids[0][:6]), 2, "fits several runs", "hint:  saga help runs")
    assert_told(saga("show", ""), 3, "No run is called ''.", "hint:  saga list")
    assert_told(saga("send", names[0], "courier", "--data", "{"), 2, "this is no JSON", "hint:  saga send --help")
    assert_told(saga("init", "/proc"), 2, "cannot be written", "hint:  saga init DIR")


def test_a_run_whose_saga_is_gone_can_be_looked_at_and_not_moved(saga: Place) -> None:
    name = saga.started(to="Ann")
    digest = saga.digest(name)
    (saga.folder / "workflows" / "parcel.py").unlink()
    for command in (("show", name), ("list",), ("history", name), ("why", name), ("approvals",), ("status",)):
        assert (saga(*command).code, saga(*command).err) == (0, ""), command
    assert_told(saga("approve", name, "--shown", digest), 3, "parcel v1", "is not loaded here", "hint:  saga check")
    assert_told(saga("graph", name), 3, "No saga called parcel v1 is loaded", "hint:  saga check")


def test_a_reader_that_goes_away_is_no_trouble(saga: Place) -> None:
    for number in range(3):
        saga("run", "parcel", "--input", f"to={number}", "-q")
    name = saga.started(to="Ann")
    shell = f"{sys.executable} -m saga_engine history {name} -f -o jsonl | head -1; echo ${{PIPESTATUS[0]}}"
    following = subprocess.Popen(
        ["bash", "-c", shell], cwd=saga.folder, env=saga.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert following.stdout is not None
    assert '"kind":' in following.stdout.readline().replace(": ", ":")
    saga("cancel", name, "--yes", "-q")
    saga.work()
    out, err = following.communicate(timeout=30)
    assert (out, err) == ("1\n", "")


@pytest.mark.parametrize(
    ("redirected", "code", "told"),
    [
        (">/dev/full", 1, "error: no room is left where standard output goes\n"),
        (">&-", 0, ""),
        ("<&-", 0, ""),
        ("2>&-", 0, ""),
    ],
)
def test_streams_that_are_full_or_closed(saga: Place, redirected: str, code: int, told: str) -> None:
    shell = ["sh", "-c", f"exec {sys.executable} -m saga_engine approvals --json -q {redirected}"]
    done = subprocess.run(shell, cwd=saga.folder, env=saga.environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[: len(told)], "Traceback" in done.stderr) == (code, told, False)
    assert bool(told) == bool(done.stderr)


@pytest.mark.parametrize(("arguments", "code"), [("run parcel --input to=Ann --work", 8), ("show nobody", 3)])
def test_where_standard_error_takes_nothing_all_goes_on_and_the_exit_code_is_the_true_one(
    saga: Place, arguments: str, code: int
) -> None:
    shell = ["sh", "-c", f"exec {sys.executable} -m saga_engine -v {arguments} 2>/dev/full"]
    done = subprocess.run(shell, cwd=saga.folder, env=saga.environment, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert [run["state"] for run in saga("list", "--json").json["items"]] == (["ASKING"] if code == 8 else [])


def test_what_nobody_expected_is_kept_in_a_file_without_secrets(saga: Place) -> None:
    patch = "from saga_engine.runtime.engine import Engine\nEngine.resolve_name = lambda *_given: 1 / 0"
    done = saga.patched(patch, "show", "postgresql://u:hush@db/x")
    error, hint = done.err.splitlines()
    assert (done.code, done.out, hint) == (1, "", "hint:  report it with that file; saga doctor")
    assert error.startswith("error: unexpected ZeroDivisionError; the details are in ")
    kept = Path(error.rpartition(" ")[2])
    details = kept.read_text()
    assert (kept.parent, kept.stat().st_mode & 0o777) == (saga.folder.parent / "state" / "saga", 0o600)
    assert ("Traceback (most recent call last)" in details, "hush" in details) == (True, False)


def test_a_file_on_a_crash_has_the_options_and_no_value_that_may_be_secret(saga: Place) -> None:
    patch = "from saga_engine.runtime.engine import Engine\nEngine.start = lambda *_given, **_more: 1 / 0"
    given = ("--input", "to=hush", "--input", "db_password=hush it", "--key=hush", "--wait", "--workflows", "workflows")
    done = saga.patched(patch, "--store", "postgresql://u:hu sh's@127.0.0.1:1/x", "list")
    assert done.code == 9
    done = saga.patched(patch, "run", "parcel", *given)
    assert done.code == 1
    details = Path(done.err.splitlines()[0].rpartition(" ")[2]).read_text()
    assert details.splitlines()[1] == (
        "saga run parcel --input to=*** --input db_password=*** --key=*** --wait --workflows ***"
    )
    assert ("ZeroDivisionError" in details, "hush" in details) == (True, False)
