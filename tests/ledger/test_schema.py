"""The ledger is made once, on purpose, and says what it is; its tables refuse rows that cannot be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import IntegrityError

from saga_engine.errors import LedgerChanged
from saga_engine.ledger import effect, schema
from tests.ledger.conftest import Opened
from tests.ledger.support import apply, change, key, rows


def test_a_target_without_a_ledger_has_no_identity(bare: Engine) -> None:
    assert schema.identity(bare) is None


def test_a_ledger_is_made_once_and_keeps_its_uuid(bare: Engine) -> None:
    made = schema.create(bare)
    assert UUID(made).version == 4
    assert (schema.create(bare), schema.identity(bare)) == (made, made)


def test_several_that_make_it_at_the_same_moment_get_the_same_ledger(bare: Engine) -> None:
    with ThreadPoolExecutor(8) as threads:
        uuids = set(threads.map(lambda _: schema.create(bare), range(8)))
    assert uuids == {schema.identity(bare)}


def test_half_a_ledger_is_neither_used_nor_mended(target: Engine) -> None:
    change(target, "DROP TABLE {ledger}.saga_ledger_parts")
    for act in (schema.identity, schema.create):
        with pytest.raises(LedgerChanged, match="only saga_ledger, saga_ledger_heads is left of it") as changed:
            act(target)
    assert changed.value.next_command == "saga doctor"


def test_a_ledger_of_another_format_is_refused(target: Engine) -> None:
    change(target, "UPDATE {ledger}.saga_ledger SET format = 9")
    with pytest.raises(LedgerChanged, match="its format is 9, this program knows 2"):
        schema.identity(target)


def test_a_ledger_that_has_lost_its_uuid_is_refused(target: Engine) -> None:
    change(target, "DELETE FROM {ledger}.saga_ledger")
    with pytest.raises(LedgerChanged, match="it has no uuid"):
        schema.identity(target)
    with pytest.raises(LedgerChanged, match="its uuid is None"):
        effect.open_head(target, key(1))


def test_every_table_and_column_tells_a_dba_what_it_is(postgres: Engine) -> None:
    silent = rows(
        postgres,
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = '{ledger}'::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
        " AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)",
    )
    assert silent == []


HEAD = "INSERT INTO {{ledger}}.saga_ledger_heads (store, task, token, undo_token, status, {}) VALUES ('s', 't', {})"
PART = (
    "INSERT INTO {{ledger}}.saga_ledger_parts (store, task, part, token, status, intended_at, {})"
    " SELECT store, task, 'x', 1, {} FROM {{ledger}}.saga_ledger_heads"
)
NOW = "'2026-11-23T10:00:00Z'"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {{ledger}}.saga_ledger (id, uuid, format, created_at) VALUES (2, 'x', 1, " + NOW + ")",
        HEAD.format("opened_at", f"1, 0, 'closed', {NOW}"),
        HEAD.format("opened_at", "1, 0, 'open', NULL"),
        HEAD.format("opened_at", f"0, 0, 'open', {NOW}"),
        HEAD.format("opened_at", f"-1, 0, 'open', {NOW}"),
        HEAD.format("opened_at", f"1, 1, 'open', {NOW}"),
        HEAD.format("undoing_at", "0, 1, 'undoing', NULL"),
        HEAD.format("undoing_at", f"0, 0, 'undoing', {NOW}"),
        HEAD.format("undoing_at", f"0, 1, 'undone', {NOW}"),
        PART.format("applied_at", f"'applied', {NOW}, {NOW}"),
        PART.format("result", f"'applied', {NOW}, 'null'"),
        PART.format("result", f"'intended', {NOW}, 'null'"),
        PART.format("undone_at", f"'undone', {NOW}, NULL"),
        PART.format("undone_at", f"'intended', {NOW}, {NOW}"),
        PART.format("undone_at", f"'done', {NOW}, {NOW}"),
        "UPDATE {{ledger}}.saga_ledger_parts SET part = 'a'",
        "UPDATE {{ledger}}.saga_ledger_parts SET part = replace('" + "x" * 501 + "', 'y', '')",
    ],
)
def test_the_tables_refuse_what_cannot_be(target: Engine, statement: str) -> None:
    effect.open_head(target, key(1))
    apply(target, key(1), "a")
    apply(target, key(1), "b")
    with pytest.raises(IntegrityError):
        change(target, statement.replace("{{", "{").replace("}}", "}"))


def test_a_part_without_a_head_is_refused_where_foreign_keys_hold(postgres: Engine) -> None:
    effect.open_head(postgres, key(1))
    apply(postgres, key(1), "a")
    with pytest.raises(IntegrityError):
        change(postgres, "DELETE FROM {ledger}.saga_ledger_heads")


def test_nothing_is_missing_for_the_owner_of_the_database(bare: Engine) -> None:
    assert schema.privileges(bare) == []
    schema.create(bare)
    assert schema.privileges(bare) == []


@pytest.fixture
def user(postgres: Engine, opened: Opened) -> Iterator[Engine]:
    """The database of `postgres`, as somebody who has no rights in it; the role goes away with the test."""
    name = f"saga_test_role_{os.getpid()}"
    change(postgres, f"CREATE ROLE {name} LOGIN PASSWORD 'none'")
    yield opened(make_url(postgres.url).set(username=name, password="none").render_as_string(hide_password=False))
    change(postgres, f"DROP OWNED BY {name}")
    change(postgres, f"DROP ROLE {name}")


@pytest.fixture
def grant(postgres: Engine, user: Engine) -> Callable[[str], None]:
    return lambda right: change(postgres, f"GRANT {right} TO {user.url.username}")


def test_missing_rights_on_a_ledger_are_named_one_by_one(user: Engine, grant: Callable[[str], None]) -> None:
    assert schema.privileges(user) == ["USAGE on schema saga_ledger"]
    grant("USAGE ON SCHEMA saga_ledger")
    grant("SELECT ON ALL TABLES IN SCHEMA saga_ledger")
    grant("INSERT ON saga_ledger.saga_ledger_parts")
    assert schema.privileges(user) == [
        "INSERT on saga_ledger.saga_ledger_heads",
        "UPDATE on saga_ledger.saga_ledger_heads",
        "UPDATE on saga_ledger.saga_ledger_parts",
    ]
    grant("INSERT, UPDATE ON saga_ledger.saga_ledger_heads, saga_ledger.saga_ledger_parts")
    grant("INSERT ON loaded")
    assert schema.privileges(user) == []
    effect.open_head(user, key(1))
    apply(user, key(1), "a")  # what was named is enough


def test_missing_rights_to_make_a_ledger_are_named(postgres: Engine, user: Engine) -> None:
    change(postgres, "DROP SCHEMA {ledger} CASCADE")
    assert schema.privileges(user) == ["CREATE on the database"]
    change(postgres, "CREATE SCHEMA {ledger}")
    assert schema.privileges(user) == ["USAGE on schema saga_ledger", "CREATE on schema saga_ledger"]
    change(postgres, f"GRANT ALL ON SCHEMA {{ledger}} TO {user.url.username}")
    assert schema.privileges(user) == []
    schema.create(user)  # what was named is enough


def test_a_standby_or_a_read_only_session_is_named(postgres_url: str, opened: Opened) -> None:
    read_only = opened(f"{postgres_url}?options=-c%20default_transaction_read_only%3Don")
    assert schema.privileges(read_only) == ["to write: this session is read-only, or the server is a standby"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_cannot_be_written_is_named(sqlite: Engine) -> None:
    os.chmod(str(sqlite.url.database), 0o400)  # noqa: PTH101  the URL holds text
    assert schema.privileges(sqlite) == [f"to write {sqlite.url.database}"]


def test_a_person_can_read_the_ledger_by_plain_sql(target: Engine) -> None:
    effect.open_head(target, key(1))
    apply(target, key(1), "a")
    with target.connect() as db:
        name = "saga_ledger.saga_ledger_parts" if db.dialect.name == "postgresql" else "saga_ledger_parts"
        assert db.execute(text(f"SELECT part, status, result FROM {name}")).all() == [("a", "applied", '{"rows":1}')]
