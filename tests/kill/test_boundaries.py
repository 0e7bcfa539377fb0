"""Every place where a process may die between two things that last has a failpoint; the code itself is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.kill.boundaries import Function, functions
from tests.support.nursery import CHECKOUT

FLOORS: Final = ("store", "ledger", "runtime")
EXCUSED: Final = {
    "store/sqlite.py do_begin": "BEGIN: store.write.begun stands behind it",
    "store/sqlite.py _connect": "settings of a session, which die with it",
    "store/sqlite.py _set_journal": "its caller has store.file.journal_chosen behind it",
    "store/transactions.py _commit": "its caller has store.write.before_commit and after_commit",
    "store/transactions.py _leave": "of what has only read",
    "store/record.py numbered": "reads, and takes a number: one that nobody uses is a gap",
    "store/record.py _numbers": "the same",
    "store/runs.py load": "reads",
    "store/runs.py load_row": "reads",
    "store/runs.py known": "reads",
    "store/findings.py _held": "reads",
    "store/findings.py _lines": "reads",
    "store/findings.py _unserved": "reads",
    "store/inspect.py find": "reads",
    "store/histories.py ids": "reads",
    "store/histories.py lines": "reads",
    "store/postgres.py tell_due": "NOTIFY, behind the commit: a hint, which may be lost",
    "store/wake.py __init__": "LISTEN: what is not heard is found by the poll",
    "store/compiled.py drive": "its callers have failpoints, or are excused here",
    "store/compiled.py execute": "the same",
    "store/compiled.py one_or_none": "the same",
    "store/many.py one_by_one": "store.record.* stands behind each statement",
    "store/many.py if_allowed": "store.record.before_write stands before it, store.write.after_commit behind it",
    "store/many.py execute": "its caller has store.record.* behind each statement",
    "store/upgrade.py _refuse_in_use": "a lock, and reads: its caller has store.upgrade.locked before it",
    "ledger/transaction.py _commit": "its caller has *.before_commit and *.after_commit",
    "ledger/sqlite.py _begin": "BEGIN: *.after_begin stands behind it",
    "ledger/sqlite.py _commit_durably": "a setting of a session, which dies with it",
    "ledger/traces.py once": "ledger.statement is hit in transaction.execute",
    "ledger/postgresql.py make_tables": "its caller has ledger.create.after_begin before it and .tables behind it",
    "ledger/postgresql.py not_durable": "reads",
    "ledger/mariadb.py _limit": "settings of a session, which die with it",
    "ledger/mariadb_rights.py missing": "reads",
    "ledger/mariadb_rights.py _not_granted": "reads",
    "ledger/mariadb_rights.py _denied": "reads: EXPLAIN",
    "ledger/mariadb_work.py watched": "a savepoint: its caller has ledger.part.after_insert before it",
    "ledger/mariadb_work.py failed": "a setting of the session, which makes the server tell",
    "ledger/mariadb_work.py returned": "a setting of the session, which makes the server tell",
    "ledger/mariadb_work.py _at_savepoint": "its caller has ledger.part.after_work behind it, or .before_doubt",
    "ledger/postgresql.py name_session": "a setting of a session that only reads, which dies with it",
    "ledger/postgresql.py _forget": "what a session had left, as it goes back to the pool",
}
"""Boundaries whose failpoint is elsewhere, or that nothing outlives; migrations run in store.write, as one."""


def of_floors() -> list[Function]:
    root = CHECKOUT / "saga_engine"
    files = [
        file for floor in FLOORS for file in sorted((root / floor).rglob("*.py")) if "migrations" not in file.parts
    ]
    return [function for file in files for function in functions(str(file.relative_to(root)), file.read_text())]


def test_every_boundary_of_store_ledger_and_runtime_has_a_failpoint() -> None:
    bare = [place for found in of_floors() if f"{found.file} {found.name}" not in EXCUSED for place in found.bare]
    assert bare == []


def test_nothing_is_excused_that_needs_no_excuse() -> None:
    bare = {f"{found.file} {found.name}" for found in of_floors() if found.bare}
    assert set(EXCUSED) - bare == set()


def test_boundaries_are_found_at_all() -> None:
    names = {f"{Path(found.file).stem}.{found.name}" for found in of_floors()}
    assert names >= {"claims.claim", "tasks.release", "record._lock", "effects.touch", "transactions._commit"}


@pytest.mark.parametrize(
    ("body", "bare"),
    [
        ("db.execute(insert(t))", 1),
        ("hit('a'); db.execute(insert(t))", 0),
        ("db.execute(insert(t)); hit('a')", 0),
        ("hit('a'); db.execute(insert(t)); db.execute(update(t))", 1),
        ("hit('a'); db.execute(insert(t)); hit('b'); db.execute(update(t))", 0),
        ("db.execute(select(t).where(x))", 0),
        ("db.execute(select(t).with_for_update())", 1),
        ("q = select(t); db.execute(q)", 0),
        ("db.execute(KNOWN, {})", 0),
        ("db.execute(LOCKED, {})", 1),
        ("db.execute(given)", 1),
        ("q = select(t); q = q.where(x); db.execute(q)", 0),
        ("q = select(t); q = q.with_for_update(); db.execute(q)", 1),
        ("db.exec_driver_sql('PRAGMA journal_mode')", 0),
        ("db.exec_driver_sql('PRAGMA journal_mode = wal')", 1),
        ("READY.execute(db, {})", 0),
        ("READY.one_or_none(db, {})", 0),
        ("LOCKING.execute(db, {})", 1),
        ("LOCKING.one_or_none(db, {})", 1),
        ("EACH['a'].execute(db, {})", 1),
        ("drive(db, 'SELECT 1', ())", 1),
        ("db.commit()", 1),
        ("x = lambda: db.execute(insert(t))", 1),
    ],
)
def test_a_boundary_is_known_by_what_it_executes(body: str, bare: int) -> None:
    known = "KNOWN = sa.select(t).where(x)\nLOCKED: Final = select(t).with_for_update()\n"
    compiled = "READY: Final = Compiled(KNOWN)\nLOCKING: Final = Compiled(LOCKED)\nEACH = {'a': Compiled(KNOWN)}\n"
    code = f"{known}{compiled}def f(db, given): {body}\n"
    assert sum(len(function.bare) for function in functions("f.py", code)) == bare
