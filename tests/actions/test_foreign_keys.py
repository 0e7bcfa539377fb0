"""Foreign keys of a replaced PostgreSQL table: they hold up nobody before the swap, nor do the kept one's after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from saga_engine.actions.copy.load import target_as_before, unload
from saga_engine.domain.definition.values import InDoubt
from saga_engine.errors import CannotMove, MoveError
from tests.actions.support import Database, Mover, move

Fresh = Callable[[str, str], str]
CONSTRAINTS = """
WITH named AS (SELECT set_config('search_path', '', true))
SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint, named
 WHERE conrelid = 'public.item'::regclass AND contype = 'f' AND conparentid = 0 ORDER BY conname"""


@pytest.fixture
def target(postgres_url: str) -> Database:
    database = Database(postgres_url)
    database.run(
        'CREATE TABLE "the % parent" (id bigint PRIMARY KEY, name text)',
        "CREATE TABLE pair (a int, b text, PRIMARY KEY (a, b))",
        """CREATE TABLE item (id bigint PRIMARY KEY, parent bigint CONSTRAINT "to % one" REFERENCES "the % parent"
              ON DELETE CASCADE DEFERRABLE, a bigint, b varchar(9), previous bigint REFERENCES item,
              CONSTRAINT to_pair FOREIGN KEY (a, b) REFERENCES pair MATCH FULL)""",
        "INSERT INTO \"the % parent\" SELECT n, 'x' FROM generate_series(1, 9) AS n",
        "INSERT INTO pair VALUES (1, 'x'), (2, 'y')",
        "INSERT INTO item VALUES (1000, 9, NULL, NULL, NULL)",
    )
    return database


@pytest.fixture
def source(fresh_url: Fresh) -> Database:
    database = Database(fresh_url("sqlite", "source"))
    database.run("CREATE TABLE item (id integer PRIMARY KEY, parent integer, a integer, b text, previous integer)")
    database.fill(
        "item", [(n, n if n < 4 else None, 1 if n < 3 else None, "x" if n < 3 else None, 1) for n in range(1, 6)]
    )
    return database


@pytest.fixture
def mover(source: Database, target: Database, exports: Path) -> Mover:
    return Mover(move("item", exports, chunk_rows=2), source, target)


def kept(mover: Mover) -> str:
    return f'"{mover.preflight().kept.name}"'


def test_the_new_table_has_them_proved_and_the_kept_one_gives_them_up(mover: Mover, target: Database) -> None:
    before = target.rows(CONSTRAINTS)
    mover.up_to_load()
    mover.validate()
    kept = mover.preflight().kept.name
    statements = mover.cut_over().statements
    assert target.rows(CONSTRAINTS) == before
    assert [found for found in statements if "CONSTRAINT" in found] == [
        f'ALTER TABLE "public"."{kept}" DROP CONSTRAINT "to % one"',
        f'ALTER TABLE "public"."{kept}" DROP CONSTRAINT "to_pair"',
        f'ALTER TABLE "public"."item" ADD CONSTRAINT "to % one" {before[1][1]} NOT VALID',
        f'ALTER TABLE "public"."item" ADD CONSTRAINT "to_pair" {before[2][1]} NOT VALID',
        'ALTER TABLE "public"."item" VALIDATE CONSTRAINT "to % one"',
        'ALTER TABLE "public"."item" VALIDATE CONSTRAINT "to_pair"',
    ]
    assert target.rows(
        f"SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = '\"{kept}\"'::regclass"
    ) == [("item_previous_fkey",)]


def test_approvers_read_that_the_kept_table_gives_them_up(mover: Mover) -> None:
    mover.up_to_load()
    assert [note for note in mover.validate().notes if "kept" in note] == [
        f"the kept table gives up the foreign key {name}: it would hold up deletes in the table that it refers to"
        for name in ("to % one", "to_pair")
    ]


def test_while_the_approval_waits_parents_can_be_deleted_as_ever(mover: Mover, target: Database) -> None:
    """Also those to which only the staging table refers; none of its rows go with them."""
    mover.up_to_load()
    mover.validate()
    target.run("DELETE FROM pair", 'DELETE FROM "the % parent"')
    assert target.rows("SELECT count(*) FROM item") == [(0,)]  # by its own ON DELETE CASCADE
    assert mover.validate().validated.rows == 5


def test_after_the_swap_the_kept_table_holds_nobody_up(mover: Mover, target: Database) -> None:
    mover.whole()
    target.run("DELETE FROM pair WHERE a = 2", 'DELETE FROM "the % parent" WHERE id IN (3, 9)')
    assert target.rows(f"SELECT id, parent FROM {kept(mover)}") == [(1000, 9)]
    assert target.rows("SELECT id FROM item ORDER BY id") == [(1,), (2,), (4,), (5,)]


def test_writers_of_the_parents_need_not_wait_while_the_load_is_finished(mover: Mover, target: Database) -> None:
    mover.preflight()
    mover.export()
    with psycopg.connect(target.libpq) as writer:
        writer.execute("SET lock_timeout = '2s'")
        writer.execute("INSERT INTO pair VALUES (3, 'z')")
        mover.load()
    mover.roll_back()


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("77, 999, NULL, NULL, NULL", "to % one"),
        ("77, NULL, 5, 'x', NULL", "to_pair"),
        ("77, NULL, 1, NULL, NULL", "to_pair"),
    ],
)
def test_a_row_without_its_parent_stops_the_load(
    mover: Mover, source: Database, target: Database, row: str, name: str
) -> None:
    source.run(f"INSERT INTO item VALUES ({row})")
    before = target.tables()
    with pytest.raises(MoveError, match=rf"the foreign key {name} .* such as key \(77\)"):
        mover.up_to_load()
    mover.loading.undo(unload, InDoubt(), verify=target_as_before)
    assert target.tables() == before


def test_a_parent_that_went_while_the_approval_waited_stops_the_swap_before_it_begins(
    mover: Mover, target: Database
) -> None:
    mover.up_to_load()
    mover.validate()
    target.run('DELETE FROM "the % parent" WHERE id = 2')
    before, constraints = target.tables(), target.rows(CONSTRAINTS)
    with pytest.raises(MoveError, match=r"the foreign key to % one .* such as key \(2\)"):
        mover.cut_over()
    assert (target.tables(), target.rows(CONSTRAINTS)) == (before, constraints)
    target.run("INSERT INTO \"the % parent\" VALUES (2, 'again')")
    mover.cutting_over = mover.cutting_over.again()
    assert mover.cut_over().rows == 5


def test_a_swap_whose_proof_was_interrupted_goes_on_with_the_proof(
    mover: Mover, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    mover.up_to_load()
    mover.validate()

    def die(*_: object) -> list[str]:
        raise OSError("the network is gone")

    with monkeypatch.context() as killed:
        killed.setattr("saga_engine.actions.copy.postgres.prove", die)
        with pytest.raises(OSError, match="network"):
            mover.cut_over()
    assert [valid for *_, valid in target.rows(CONSTRAINTS)] == [True, False, False]
    mover.cutting_over = mover.cutting_over.again()
    mover.cut_over()
    assert [valid for *_, valid in target.rows(CONSTRAINTS)] == [True, True, True]


def test_one_that_was_never_proved_stays_so(mover: Mover, source: Database, target: Database) -> None:
    target.run(
        "ALTER TABLE item DROP CONSTRAINT to_pair",
        "ALTER TABLE item ADD CONSTRAINT to_pair FOREIGN KEY (a, b) REFERENCES pair NOT VALID",
    )
    source.run("UPDATE item SET a = 77")
    before = target.rows(CONSTRAINTS)
    mover.whole()
    assert target.rows(CONSTRAINTS) == before


def test_one_that_somebody_has_dropped_or_renamed_or_proved_after_the_swap_is_let_be(
    mover: Mover, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    mover.up_to_load()
    mover.validate()

    def die(*_: object) -> list[str]:
        raise OSError("the network is gone")

    with monkeypatch.context() as killed:
        killed.setattr("saga_engine.actions.copy.postgres.prove", die)
        with pytest.raises(OSError, match="network"):
            mover.cut_over()
    target.run(
        'ALTER TABLE item RENAME CONSTRAINT "to % one" TO another', "ALTER TABLE item VALIDATE CONSTRAINT to_pair"
    )
    mover.cutting_over = mover.cutting_over.again()
    assert mover.cut_over().statements[-1] == "-- the foreign key to % one is not there any more: not proved"
    assert [valid for *_, valid in target.rows(CONSTRAINTS)] == [False, True, True]


def test_a_table_that_is_gone_after_the_swap_can_be_got_past(
    mover: Mover, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    mover.up_to_load()
    mover.validate()

    def drop(*_: object) -> list[str]:
        target.run("ALTER TABLE item RENAME TO elsewhere")
        raise OSError("the network is gone")

    with monkeypatch.context() as killed:
        killed.setattr("saga_engine.actions.copy.postgres.prove", drop)
        with pytest.raises(OSError, match="network"):
            mover.cut_over()
    mover.cutting_over = mover.cutting_over.again()
    assert [found.startswith("-- the foreign key") for found in mover.cut_over().statements[-2:]] == [True, True]


def test_parents_whose_rows_a_policy_hides_are_named_in_the_preflight(
    source: Database, target: Database, exports: Path
) -> None:
    user = f"saga_test_{target.rows('SELECT pg_backend_pid()')[0][0]}"
    target.run(
        f"CREATE ROLE {user} LOGIN PASSWORD 'x'",
        f"ALTER TABLE item OWNER TO {user}",
        "ALTER TABLE pair ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY everything ON pair USING (true)",
        'GRANT SELECT, REFERENCES ON pair, "the % parent" TO PUBLIC',
    )
    try:
        own = Database(make_url(target.url).set(username=user, password="x").render_as_string(hide_password=False))
        with pytest.raises(CannotMove) as refused:
            Mover(move("item", exports), source, own).preflight()
        assert [why for why in str(refused.value).split("; ") if "public.pair" in why or "parent" in why] == [
            "missing in the target: BYPASSRLS, for row-level security holds on public.pair"
        ]
    finally:
        target.run(
            'REVOKE ALL ON pair, "the % parent" FROM PUBLIC',
            "ALTER TABLE item OWNER TO CURRENT_USER",
            f"DROP ROLE {user}",
        )


def test_a_partitioned_parent_may_get_partitions_meanwhile(source: Database, target: Database, exports: Path) -> None:
    target.run(
        "CREATE TABLE parts (id bigint PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10)",
        "INSERT INTO parts VALUES (1), (2), (3)",
        "CREATE TABLE child (id bigint PRIMARY KEY, parent bigint REFERENCES parts)",
    )
    source.run("CREATE TABLE child (id integer PRIMARY KEY, parent integer)", "INSERT INTO child VALUES (1, 1), (2, 3)")
    mover = Mover(move("child", exports), source, target)
    mover.up_to_load()
    mover.validate()
    target.run("CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20)")
    mover.cut_over()
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        target.run("INSERT INTO child VALUES (3, 5)")
    Mover(move("child", exports), source, target, run="second").whole()


def test_parents_on_which_one_has_no_rights_are_named_in_the_preflight(
    source: Database, target: Database, exports: Path
) -> None:
    user = f"saga_test_{target.rows('SELECT pg_backend_pid()')[0][0]}"
    target.run(
        f"CREATE ROLE {user} LOGIN PASSWORD 'x'",
        f"ALTER TABLE item OWNER TO {user}",
        "CREATE SCHEMA elsewhere",
        "ALTER TABLE pair SET SCHEMA elsewhere",
        "GRANT SELECT (a, b), REFERENCES (a, b) ON elsewhere.pair TO PUBLIC",
    )
    try:
        own = Database(make_url(target.url).set(username=user, password="x").render_as_string(hide_password=False))
        with pytest.raises(CannotMove) as refused:
            Mover(move("item", exports), source, own).preflight()
        missing = [why for why in str(refused.value).split("; ") if "the % parent" in why or "elsewhere" in why]
        assert missing == [
            'missing in the target: SELECT and REFERENCES on public."the % parent"',
            "missing in the target: USAGE on the schema elsewhere",
        ]
    finally:
        target.run("ALTER TABLE item OWNER TO CURRENT_USER", f"DROP ROLE {user}")
