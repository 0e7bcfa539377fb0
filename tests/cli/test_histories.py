"""Verify, prune and reconcile, as people call them."""

from __future__ import annotations

import re
import sqlite3

from tests.cli.place import Done, Place


def change(saga: Place, statement: str) -> None:
    with sqlite3.connect(saga.folder / ".saga" / "saga.db") as db:
        db.execute(statement)
    db.close()


def test_verify_finds_nothing_then_what_was_changed(saga: Place) -> None:
    run = saga.started(to="Ann")
    assert saga("verify") == Done(0, "1 run and 3 lines: nothing is wrong\n", "")
    assert saga("verify", run).out == "1 run and 3 lines: nothing is wrong\n"
    change(saga, "UPDATE saga_journal SET event = replace(event, 'Succeeded', 'Failed') WHERE revision = 2")
    found = saga("verify")
    assert (found.code, found.err) == (6, "")
    title, line, looked = found.out.splitlines()
    assert title.split() == ["RUN", "LINE", "WHAT", "FOUND"]
    assert line.split()[:3] == [run, "2", "line"]
    assert looked == "1 run and 3 lines: 1 thing is wrong"
    item = saga("verify", run, "--json").json["item"]
    assert [(fault["run"], fault["revision"], fault["what"]) for fault in item["found"]] == [(run, 2, "line")]


def test_an_anchor_is_written_compared_and_never_replaced_by_one_that_disagrees(saga: Place) -> None:
    saga.started(to="Ann")
    made = saga("verify", "--write-anchor", "audit.anchor")
    assert (made.code, "the anchor is in audit.anchor" in made.err) == (0, True)
    assert saga("verify", "--anchor", "audit.anchor").out.endswith("1 run known by anchors: nothing is wrong\n")
    kept = (saga.folder / "audit.anchor").read_bytes()
    change(saga, "UPDATE saga_runs SET input = replace(input, 'Ann', 'Eve')")
    assert saga("verify").code == 0
    refused = saga("verify", "--write-anchor", "audit.anchor")
    assert (refused.code, "audit.anchor was not written" in refused.err) == (6, True)
    assert (saga.folder / "audit.anchor").read_bytes() == kept
    (saga.folder / "audit.anchor").write_text("{}")
    broken = saga("verify", "--anchor", "audit.anchor")
    assert broken.code == 2
    assert broken.err.startswith("error: The anchor audit.anchor cannot be used: it is no anchor.")
    assert saga("verify", "--anchor", "nowhere").code == 2


def test_prune_asks_counts_and_removes(saga: Place) -> None:
    run = saga.started(to="Ann")
    saga("reject", run, "--shown", saga.digest(run), "--reason", "no", "-q")
    saga.work()
    assert saga("prune").code == 2
    unasked = saga("prune", "--older-than", "0")
    assert (unasked.code, "say --yes, or --dry-run to count them" in unasked.err) == (2, True)
    assert saga("prune", "--older-than", "1d", "--yes").out.startswith(
        "0 runs pruned, 0 lines of history; ended before "
    )
    assert saga("prune", "--older-than", "0", "--keep-failed", "--yes").out.startswith("0 runs pruned")
    counted = saga("prune", "--older-than", "0", "--dry-run", "--json").json["item"]
    assert (counted["runs"], counted["dry_run"], saga("show", run).code) == (1, True, 0)
    assert re.match(r"1 runs pruned, \d+ lines of history", saga("prune", "--older-than", "0", "--yes").out)
    assert (saga("show", run).code, saga("verify").out) == (3, "0 runs and 0 lines, 1 pruned run: nothing is wrong\n")


def test_the_key_of_a_pruned_run_is_spent(saga: Place) -> None:
    assert saga("run", "parcel", "--input", "to=Ann", "--key", "monday", "--work", "-q").code == 8
    saga("cancel", "monday", "--yes", "-q")
    saga.work()
    saga("prune", "--older-than", "0", "--yes", "-q")
    again = saga("run", "parcel", "--input", "to=Ann", "--key", "monday")
    assert (again.code, "A key is spent for ever" in again.err) == (7, True)
    gone = saga("show", "monday")
    assert (gone.code, "ended (cancelled)" in gone.err) == (3, True)


def test_reconcile_looks_at_runs_and_at_all(saga: Place) -> None:
    run = saga.started(to="Ann")
    assert saga("reconcile").code == 2
    assert saga("reconcile", run, "--all", "--dry-run").code == 2
    assert saga("reconcile", "--all", "--settled", "x", "--yes").code == 2
    unasked = saga("reconcile", run)
    assert (unasked.code, "--yes, or --dry-run to look" in unasked.err) == (2, True)
    assert saga("reconcile", run, "--dry-run") == Done(0, f"{run} in ASKING: store and ledgers are in step\n", "")
    assert saga("reconcile", "--all", "--yes") == Done(0, "", "")
    (item,) = saga("reconcile", run, "--dry-run", "--json").json["items"]
    assert (item["run"], item["steps"], item["in_step"]) == (run, [], True)
    unknown = saga("reconcile", run, "--settled", "nothing", "--yes")
    assert (unknown.code, "is no step that only a ledger knows" in unknown.err) == (7, True)
    assert saga("reconcile", "nobody", "--dry-run").code == 3
