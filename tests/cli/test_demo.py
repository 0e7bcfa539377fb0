"""The demo: what it shows is what happened, and what it says to type can be typed."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.place import Place

SECONDS_MAX = 280.0


@pytest.mark.timeout(300)
def test_the_demo_is_told_to_its_end_and_its_last_commands_work_whatever_the_environment_says(empty: Place) -> None:
    """In a pipe, with --yes; the shell that follows it has no saga on its PATH, and names another store."""
    elsewhere = {
        "SAGA_STORE": f"sqlite:///{empty.folder}/mine.db",
        "SAGA_WORKFLOWS": "/nowhere",
        "SAGA_CONNECTIONS__WAREHOUSE": f"sqlite:///{empty.folder}/mine.db",
        "SAGA_LIMITS__RENEW_SECONDS": "soon",
        "SAGA_PROFILE": "prod",
        "SAGA_ACTOR": "bob",
        "saga_store_group": "nobody",
    }
    done = empty.finished("demo", "--yes", PATH="/usr/bin:/bin", seconds=SECONDS_MAX, **elsewhere)
    assert done.code == 0, done.err
    assert [path.name for path in empty.folder.iterdir()] == ["saga-demo"]
    assert "\x1b" not in done.out
    for told in (
        r"200,000 rows in three related tables",
        r"kill -9 \d+: the worker died of signal 9 in LOADING",
        r"chunks committed in the warehouse: \d+ by attempt 1, \d+ by attempt 2",
        r"validated: 150,000 rows in the shop, 150,000 in the warehouse, 38 of 38 chunk checksums equal",
        r"migrate_table-\w+ is completed in COMPLETED",
        r"the validation named it: changed at key 12345 \(39 of 40 chunk checksums equal\)",
        r"migrate_table-\w+ is rolled_back in ROLLED_BACK",
        r"UTC  LOADING succeeded, attempt 2 +→ VALIDATING",
        r"UTC  the undo of EXPORTING succeeded +→ ROLLED_BACK; ended rolled_back",
    ):
        assert re.search(told, done.out), told
    assert tables(empty) == {"orders", "order_lines"}
    script = "".join(f"{line}\n" for line in re.findall(r"(?m)^  \$ (.*)", done.out.partition("Look around")[2]))
    assert f"PATH={Path(sys.executable).parent}:$PATH\n" in script
    assert f"unset {' '.join(sorted(elsewhere))}\n" in script
    typed = subprocess.run(
        ["/bin/sh", "-e"],
        input=script,
        cwd=empty.folder,
        env={**empty.environment, **elsewhere, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert (typed.returncode, typed.stderr) == (0, "")
    assert "rolled_back" in typed.stdout


@pytest.mark.timeout(300)
def test_who_says_no_at_the_terminal_sees_it_taken_back(empty: Place) -> None:
    with empty.terminal("demo") as terminal:
        terminal.until("Let the warehouse have this order_lines? [n: take it all back] [Y/n]: ", SECONDS_MAX)
        terminal.type("n")
        assert terminal.end(SECONDS_MAX) == 0
    assert "rejected: AWAITING_CUTOVER → ROLLING_BACK" in terminal.seen
    assert terminal.seen.count("the warehouse is as it was: same tables, no staging table") == 2
    assert tables(empty) == {"orders"}


def test_a_folder_that_is_not_the_demos_is_left_alone(empty: Place) -> None:
    (empty.folder / "mine").write_text("kept")
    done = empty("demo", "--dir", ".")
    assert (done.code, done.out.strip()) == (2, "A shop and a warehouse, in two SQLite files")
    assert done.err.splitlines() == [
        "error: . holds other files, and the demo leaves them alone",
        "hint:  saga demo --dir FOLDER makes it in an empty one",
    ]
    assert [path.name for path in empty.folder.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_made_is_named(empty: Place) -> None:
    done = empty("demo", "--dir", "/proc/demo")
    assert done.code == 2
    assert done.err.startswith("error: /proc/demo cannot be filled: No such file or directory\n")


def test_the_demo_takes_no_store_of_somebody_else(empty: Place) -> None:
    done = empty("demo", "--store", "sqlite:///mine.db")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: the demo has a store and a saga of its own\n")
    assert list(empty.folder.iterdir()) == []


def tables(place: Place) -> set[str]:
    """The warehouse's tables, without the ledger's."""
    db = sqlite3.connect(place.folder / "saga-demo" / "warehouse.db")
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    db.close()
    return {name for name in names if not name.startswith("saga_ledger")}
