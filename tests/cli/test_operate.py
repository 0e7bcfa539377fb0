"""Making a place, checking what is in it, and looking after it."""

from __future__ import annotations

import json
import shutil
import sqlite3

from saga_engine.settings import shipped_workflows, system_user
from tests.cli.place import Done, Place


def test_init_makes_a_place_whose_saga_runs_and_passes_its_check(empty: Place) -> None:
    saga = empty
    made = saga("init")
    assert made == Done(
        0, "wrote  saga.toml\nwrote  workflows/hello.py\n", "next:  saga run hello --input name=World --work\n"
    )
    checked = saga("check")
    assert (checked.code, checked.out.split(" (")[0]) == (0, "no problems in 1 saga")
    assert saga("run", "hello", "--input", "name=World", "--work", "-q").code == 8
    assert saga("approvals", "--mine", "--json").json["items"][0]["shows"]["text"] == "Hello, World!\n"
    assert saga("approve", "@last", "--shown", saga.digest("@last"), "-q").code == 0
    saga.work()
    assert saga("show", "@last", "--json").json["item"]["status"] == "completed"
    assert (saga.folder / "greetings" / "World.txt").read_text() == "Hello, World!\n"


def test_init_writes_over_nothing(empty: Place) -> None:
    saga = empty
    (saga.folder / "saga.toml").write_text("# mine\n")
    made = saga("init", "--from", "migrate_table")
    assert made.out == "kept   saga.toml\nwrote  workflows/migrate_table.py\n"
    assert (saga.folder / "saga.toml").read_text() == "# mine\n"
    source = (shipped_workflows() / "migrate_table.py").read_text()
    assert (saga.folder / "workflows" / "migrate_table.py").read_text() == source
    assert saga("init", "elsewhere", "-q").out == "wrote  elsewhere/saga.toml\nwrote  elsewhere/workflows/hello.py\n"
    unknown = saga("init", "--from", "migrate_tabel")
    assert (unknown.code, "Did you mean migrate_table?" in unknown.err) == (3, True)


def test_init_where_the_folder_of_sagas_is_a_file_says_so(empty: Place) -> None:
    (empty.folder / "workflows").write_text("mine")
    done = empty("init")
    assert done == Done(
        2,
        "wrote  saga.toml\n",
        "error: workflows/hello.py cannot be written: workflows is a file\nhint:  saga init DIR writes elsewhere\n",
    )
    assert (empty.folder / "workflows").read_text() == "mine"


def test_init_of_a_saga_that_is_not_shipped_names_those_that_are(empty: Place) -> None:
    told = (
        "error: No saga called nonesuch is shipped.\nhint:  saga init --from NAME, with one of hello, migrate_table\n"
    )
    assert empty("init", "--from", "nonesuch") == Done(3, "", told)
    assert list(empty.folder.iterdir()) == []


def test_check_finds_what_is_wrong_and_where(saga: Place) -> None:
    file = saga.folder / "workflows" / "parcel.py"
    assert saga("check").code == 0
    file.write_text(file.read_text().replace("minutes(1)).reads_only()", "minutes(1))"))
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if ".run(weigh" in text)
    checked = saga("check")
    assert (checked.code, checked.err) == (6, "")
    assert checked.out.splitlines()[0].startswith(f"workflows/parcel.py:{line}  SG010 error")
    assert "saga explain SG010" in checked.out
    (item,) = saga("check", "-o", "json").json["items"]
    assert (item["code"], item["severity"], item["where"]) == ("SG010", "error", f"workflows/parcel.py:{line}")
    (run,) = json.loads(saga("check", str(file), "-o", "sarif").out)["runs"]
    (result,) = run["results"]
    assert (result["ruleId"], result["level"], run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"]) == (
        "SG010", "error", "SG010",
    )  # fmt: skip
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "workflows/parcel.py"},
        "region": {"startLine": line},
    }


def test_warnings_alone_are_no_failure(saga: Place) -> None:
    file = saga.folder / "workflows" / "parcel.py"
    file.write_text(file.read_text().replace(".run(weigh, timeout=minutes(1))", ".run(weigh)"))
    checked = saga("check")
    assert (checked.code, "SG080 warning" in checked.out) == (0, True)


def test_check_against_the_store_sees_runs_that_go_by_another_table(saga: Place) -> None:
    saga.started(to="Ann")
    file = saga.folder / "workflows" / "parcel.py"
    assert saga("check", "--against-store").code == 0
    file.write_text(file.read_text().replace("expires=hours(2)", "expires=hours(3)"))
    assert saga("check").code == 0
    changed = saga("check", "--against-store")
    assert (changed.code, "SG060 error" in changed.out) == (6, True)
    assert "1 live run of parcel v1 cannot go on with this definition: another one had the same version" in changed.out
    file.write_text(file.read_text().replace("version=1", "version=2"))
    raised = saga("check", "--against-store")
    assert (raised.code, "SG060 warning" in raised.out) == (0, True)


def test_check_against_the_store_compares_what_the_path_holds(saga: Place) -> None:
    saga.started(to="Ann")
    file = saga.folder / "workflows" / "parcel.py"
    old, changed = file.read_text(), file.read_text().replace("expires=hours(2)", "expires=hours(3)")
    newer = saga.folder / "newer" / "parcel.py"
    newer.parent.mkdir()
    newer.write_text(changed)
    other = saga("check", "newer", "--against-store")
    assert (other.code, "SG060 error" in other.out, "newer/parcel.py" in other.out) == (6, True, True)
    newer.write_text(old)
    file.write_text(changed)
    assert saga("check", "newer", "--against-store").code == 0
    file.write_text("raise ValueError('not asked for')")
    same = saga("check", str(newer), "--against-store")
    assert (same.code, same.err) == (0, "")


def test_check_names_a_place_that_is_not_there(empty: Place) -> None:
    assert empty("check") == Done(
        3, "", f"error: There is no {empty.folder}/workflows, where the sagas should be.\nhint:  saga init\n"
    )


def test_every_rule_is_explained(saga: Place) -> None:
    codes = [line.split()[0] for line in saga("explain").out.splitlines()]
    wanted = {"SG000", "SG001", "SG002", "SG003", "SG010", "SG012", "SG020", "SG021", "SG022", "SG030", "SG031",
              "SG032", "SG060", "SG070", "SG080", "SG110"}  # fmt: skip
    assert wanted - set(codes) == set()
    for code in sorted(wanted):
        done = saga("explain", code.lower())
        assert (done.code, done.out.startswith(f"{code}  ")) == (0, True), code
    unknown = saga("explain", "SG999")
    told = f"error: no rule is called SG999; the rules are {', '.join(codes)}\nhint:  saga explain\n"
    assert unknown == Done(3, "", told)


def test_the_schema_is_made_upgraded_and_printed(empty: Place) -> None:
    saga = empty
    store = ("--store", "sqlite:///new.db")
    missing = saga(*store, "db", "current")
    assert (missing.code, missing.out, (saga.folder / "new.db").exists()) == (9, "", False)
    assert saga(*store, "db", "upgrade").out == f"sqlite:///{saga.folder}/new.db: nothing → 0004\n"
    assert saga(*store, "db", "upgrade").out == f"sqlite:///{saga.folder}/new.db is at 0004 already\n"
    assert saga(*store, "db", "current").out == f"sqlite:///{saga.folder}/new.db is at 0004\n"
    printed = saga("db", "sql").out
    with sqlite3.connect(":memory:") as db:
        db.executescript(printed)
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    db.close()
    assert {"saga_runs", "saga_tasks", "saga_journal"} - tables == set()
    assert "TIMESTAMP WITH TIME ZONE" in saga("db", "sql", "--dialect", "postgresql").out
    upgrade = saga("db", "sql", "--from", "0002").out
    assert "CREATE INDEX ix_saga_tasks_failing" in upgrade
    assert "CREATE TABLE" not in upgrade
    wrong = saga("db", "sql", "--from", "4")
    assert (wrong.code, wrong.out) == (2, "")
    assert "there is no schema 4; there are 0001, 0002, 0003, 0004" in wrong.err


def test_a_ledger_is_made_once(saga: Place) -> None:
    (saga.folder / "shop.db").unlink()
    first, second = saga("db", "ledger", "shop", "--json").json["item"], saga("db", "ledger", "shop").out
    assert (first["connection"], first["made"]) == ("shop", True)
    assert second == f"shop: ledger {first['uuid']} was there already\n"


def test_doctor_finds_nothing_wrong_and_then_what_is(saga: Place) -> None:
    saga("db", "ledger", "shop", "-q")
    saga.started(to="Ann")
    well = saga("doctor", "--json")
    areas = {item["area"]: item["state"] for item in well.json["items"]}
    assert (well.code, areas) == (
        0,
        {"sagas": "ok", "store": "ok", "durability": "ok", "workers": "warning", "runs": "ok", "connection": "ok"},
    )
    with sqlite3.connect(saga.folder / ".saga" / "saga.db") as db:
        db.execute("DELETE FROM saga_approvals")
        db.execute("DELETE FROM saga_tasks")
    db.close()
    settings = saga.folder / "saga.toml"
    settings.write_text(settings.read_text().replace("sqlite:///shop.db", "sqlite:////nowhere/shop.db"))
    ill = saga("doctor")
    problems = [" ".join(line.split()) for line in ill.out.splitlines() if line.startswith("problem")]
    assert ill.code == 6
    assert ["has no open task" in problems[0], problems[1].startswith("problem connection")] == [True, True]
    settings.write_text("nonsense")
    broken = saga("doctor")
    assert (broken.code, broken.out.splitlines()[1].split()[:2]) == (6, ["problem", "settings"])


def test_doctor_of_a_store_that_is_not_there(saga: Place) -> None:
    shutil.rmtree(saga.folder / ".saga")
    done = saga("doctor", "--json")
    store = next(item for item in done.json["items"] if item["area"] == "store")
    assert (done.code, store["state"], "there is no file" in store["text"]) == (6, "problem", True)


def test_the_settings_and_who_said_what(saga: Place) -> None:
    settings = saga.folder / "saga.toml"
    settings.write_text(settings.read_text().replace("sqlite:///shop.db", "env:SHOP"))
    shown = saga("config", "show", "--json", SHOP="postgresql://u:hush@db/x", SAGA_LIMITS__POLL_SECONDS="0.25")
    found = {item["name"]: (item["value"], item["origin"]) for item in shown.json["items"]}
    assert found["roles.sender"] == ([system_user()], str(settings))
    assert found["connections.shop"] == ("env:SHOP", str(settings))
    assert found["limits.poll_seconds"] == (0.25, "SAGA_LIMITS__POLL_SECONDS in the environment")
    assert found["limits.lease_seconds"] == (15.0, "default")
    table = saga("config", "show", "--origin", "--store", "postgresql://u:hush@db/x")
    assert ("hush" in shown.out + table.out, "flag --store" in table.out) == (False, True)
    odd = saga("config", "show", "--json", "--store", "postgresql://u:hu'sh \"hush@db/x")
    assert next(item["value"] for item in odd.json["items"] if item["name"] == "store") == "postgresql://u:***@db/x"
