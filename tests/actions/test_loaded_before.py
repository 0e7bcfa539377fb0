"""Runs that an older release has loaded are swapped by this one: their staging tables look as they did then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from saga_engine.actions.copy.names import derivations
from saga_engine.actions.copy.plan import Carried
from saga_engine.actions.copy.postgres.forms import is_collated
from tests.actions.support import Database, Mover, move

Fresh = Callable[[str, str], str]
LONG = "an_index_with_so_long_a_name_that_nobody_reads_it_to_the_end_"[:60]
FOREIGN_KEYS = """
SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint
 WHERE conrelid = 'public.item'::regclass AND contype = 'f' ORDER BY conname"""


@pytest.fixture
def source(fresh_url: Fresh) -> Database:
    database = Database(fresh_url("sqlite", "source"))
    database.run("CREATE TABLE item (id integer PRIMARY KEY, a integer)")
    database.fill("item", [(n, n) for n in range(1, 6)])
    return database


def test_foreign_keys_that_the_staging_table_has_already(source: Database, postgres_url: str, exports: Path) -> None:
    target = Database(postgres_url)
    target.run(
        "CREATE TABLE parent (id bigint PRIMARY KEY)",
        "INSERT INTO parent SELECT generate_series(1, 9)",
        "CREATE TABLE item (id bigint PRIMARY KEY, a bigint REFERENCES parent, CONSTRAINT own FOREIGN KEY (id)"
        " REFERENCES parent)",
    )
    before = target.rows(FOREIGN_KEYS)
    mover = Mover(move("item", exports), source, target)
    plan = mover.up_to_load()
    target.run(f"ALTER TABLE {plan.staging} ADD CONSTRAINT item_a_fkey FOREIGN KEY (a) REFERENCES parent")
    mover.validate()
    statements = mover.cut_over().statements
    assert target.rows(FOREIGN_KEYS) == before
    assert [found for found in statements if "ADD CONSTRAINT" in found or "VALIDATE" in found] == [
        'ALTER TABLE "public"."item" ADD CONSTRAINT "own" FOREIGN KEY (id) REFERENCES public.parent(id) NOT VALID',
        'ALTER TABLE "public"."item" VALIDATE CONSTRAINT "own"',
    ]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_indexes_whose_names_were_cut_without_a_hash(
    source: Database, fresh_url: Fresh, exports: Path, kind: str
) -> None:
    target = Database(fresh_url(kind, "target"))
    index = f"{LONG}a"
    target.run("CREATE TABLE item (id bigint PRIMARY KEY, a bigint)", f"CREATE UNIQUE INDEX {index} ON item (a)")
    mover = Mover(move("item", exports), source, target)
    plan = mover.up_to_load()
    now, before = derivations(index, f"_{plan.token}")
    if kind == "sqlite":
        target.run(f'DROP INDEX "{now}"', f'CREATE UNIQUE INDEX "{before}" ON "{plan.staging.name}" (a)')
    else:
        target.run(f'ALTER INDEX "{now}" RENAME TO "{before}"')
    mover.cut_over()
    assert index in target.tables()
    assert before not in target.tables()


def test_a_new_table_whose_index_has_such_a_name(source: Database, postgres_url: str, exports: Path) -> None:
    target = Database(postgres_url)
    source.run(f"CREATE INDEX {LONG}a ON item (a)")
    mover = Mover(move("item", exports), source, target)
    plan = mover.up_to_load()
    [index] = plan.indexes
    _, before = derivations(index.name, f"_{plan.token}")
    target.run(f'ALTER INDEX "{index.name}" RENAME TO "{before}"')
    mover.cut_over()
    assert {"item", "item_pkey", before} <= target.tables()


@pytest.mark.parametrize("kind", ["bigint", "numeric(10,2)", "uuid", "timestamp with time zone"])
def test_a_plan_that_calls_a_new_number_not_binary(kind: str) -> None:
    assert not is_collated(Carried(name="id", type=kind, form="same", binary=False))
    assert is_collated(Carried(name="id", type="text", form="same", binary=False))
