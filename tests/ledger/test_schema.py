"""The ledger is made once, on purpose, and says what it is; its tables refuse rows that cannot be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.schema import CreateTable

from saga_engine import failpoints
from saga_engine.errors import LedgerChanged
from saga_engine.ledger import effect, schema, strays
from saga_engine.ledger.mariadb_rights import unfit
from saga_engine.ledger.prune import prune
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
    with pytest.raises(LedgerChanged, match="its format is 9, this program knows 1"):
        schema.identity(target)


def test_a_ledger_that_has_lost_its_uuid_is_refused(target: Engine) -> None:
    effect.open_head(target, key(1, task="r.1"))
    change(target, "DELETE FROM {ledger}.saga_ledger")
    with pytest.raises(LedgerChanged, match="it has no uuid"):
        schema.identity(target)
    with pytest.raises(LedgerChanged, match="its uuid is None"):
        effect.open_head(target, key(1))


@pytest.mark.parametrize("count", range(1, 4))
def test_on_mariadb_a_ledger_whose_making_was_broken_off_is_none_and_is_made_to_its_end(
    mariadb_url: str, opened: Opened, count: int
) -> None:
    """There each table is committed by itself; the row with the uuid is written last."""
    target = opened(mariadb_url)
    with target.begin() as db:
        for table in schema.metadata.sorted_tables[:count]:
            db.execute(CreateTable(table))
    assert schema.identity(target) is None
    made = schema.create(target)
    assert (schema.create(target), schema.identity(target)) == (made, made)
    effect.open_head(target, key(1))


@pytest.mark.parametrize("point", ["ledger.create.after_begin", "ledger.create.before_commit"])
def test_whoever_makes_a_ledger_and_dies_leaves_none(bare: Engine, point: str) -> None:
    with failpoints.switched_on(f"{point}:1=raise"), pytest.raises(failpoints.Injected):
        schema.create(bare)
    assert schema.identity(bare) is None
    assert schema.create(bare) == schema.identity(bare)


def test_on_mariadb_the_ledger_keeps_its_bytes_whatever_the_defaults_are(mariadb: Engine) -> None:
    name = mariadb.url.database
    found = rows(
        mariadb,
        "SELECT DISTINCT engine, row_format, table_collation FROM information_schema.tables"
        f" WHERE table_schema = '{name}' AND table_name LIKE 'saga\\_ledger%%'",
    )
    assert found == [("InnoDB", "Dynamic", "utf8mb4_nopad_bin")]


def test_times_in_the_ledger_of_mariadb_are_utc_to_the_microsecond(mariadb: Engine) -> None:
    effect.open_head(mariadb, key(1))
    apply(mariadb, key(1), "a")
    ((intended, applied, now),) = rows(
        mariadb, "SELECT intended_at, applied_at, utc_timestamp(6) FROM {ledger}.saga_ledger_parts"
    )
    assert now - timedelta(minutes=1) < intended <= applied <= now
    assert abs(now.replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(minutes=1)


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
NOW = "'2026-11-23 10:00:00'"


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
    # MariaDB has no word of its own for a CHECK that fails, nor for a value that is too long.
    refusal = DBAPIError if target.dialect.name == "mysql" else IntegrityError
    with pytest.raises(refusal, match=r"(?i)constraint|duplicate|too long"):
        change(target, statement.replace("{{", "{").replace("}}", "}"))


def test_a_part_without_a_head_is_refused_where_foreign_keys_hold(server: Engine) -> None:
    effect.open_head(server, key(1))
    apply(server, key(1), "a")
    with pytest.raises(IntegrityError):
        change(server, "DELETE FROM {ledger}.saga_ledger_heads")


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


def use(target: Engine) -> None:
    """Write a step, set it aside as after a restore, and prune it: whatever is done to a ledger's rows."""
    by = replace(key(1), step="LOADING 1")
    effect.open_head(target, by)
    apply(target, by, "a")
    [row] = strays.of_run(target, by.store, by.task.partition(".")[0])
    strays.set_aside(target, by.store, row)
    [aside] = strays.of_run(target, by.store, row.run)
    assert (aside.is_aside, prune(target, by.store, [aside.task])) == (True, 1)


def test_missing_rights_on_a_ledger_are_named_one_by_one(user: Engine, grant: Callable[[str], None]) -> None:
    assert schema.privileges(user) == ["USAGE on schema saga_ledger"]
    grant("USAGE ON SCHEMA saga_ledger")
    grant("SELECT ON ALL TABLES IN SCHEMA saga_ledger")
    grant("INSERT ON saga_ledger.saga_ledger_parts")
    assert schema.privileges(user) == [
        "INSERT on saga_ledger.saga_ledger_heads",
        "UPDATE on saga_ledger.saga_ledger_heads",
        "DELETE on saga_ledger.saga_ledger_heads",
        "UPDATE on saga_ledger.saga_ledger_parts",
        "DELETE on saga_ledger.saga_ledger_parts",
    ]
    grant("INSERT, UPDATE, DELETE ON saga_ledger.saga_ledger_heads, saga_ledger.saga_ledger_parts")
    grant("INSERT ON loaded")
    assert schema.privileges(user) == []
    use(user)  # what was named is enough


def test_missing_rights_to_make_a_ledger_are_named(postgres: Engine, user: Engine) -> None:
    change(postgres, "DROP SCHEMA {ledger} CASCADE")
    assert schema.privileges(user) == ["CREATE on the database"]
    change(postgres, "CREATE SCHEMA {ledger}")
    assert schema.privileges(user) == ["USAGE on schema saga_ledger", "CREATE on schema saga_ledger"]
    change(postgres, f"GRANT ALL ON SCHEMA {{ledger}} TO {user.url.username}")
    assert schema.privileges(user) == []
    schema.create(user)  # what was named is enough


@pytest.fixture
def mariadb_user(mariadb: Engine, opened: Opened) -> Iterator[Engine]:
    """The database of `mariadb`, as somebody who has no rights in it but through a role."""
    name = f"saga_test_{os.getpid()}"
    for statement in (f"CREATE USER {name} IDENTIFIED BY 'none'", f"CREATE ROLE {name}_role",
                      f"GRANT {name}_role TO {name}", f"SET DEFAULT ROLE {name}_role FOR {name}"):  # fmt: skip
        change(mariadb, statement)
    yield opened(mariadb.url.set(username=name, password="none").render_as_string(hide_password=False))
    change(mariadb, f"DROP USER {name}")
    change(mariadb, f"DROP ROLE {name}_role")


def test_missing_rights_on_a_ledger_in_mariadb_are_named_one_by_one(mariadb: Engine, mariadb_user: Engine) -> None:
    user, shop = str(mariadb_user.url.username), str(mariadb.url.database)
    change(mariadb, f"GRANT SELECT ON {shop}.* TO {user}")
    change(mariadb, f"GRANT INSERT ON {shop}.saga_ledger_parts TO {user}_role")
    assert schema.privileges(mariadb_user) == [
        f"INSERT on {shop}.saga_ledger_heads",
        f"UPDATE on {shop}.saga_ledger_heads",
        f"DELETE on {shop}.saga_ledger_heads",
        f"UPDATE on {shop}.saga_ledger_parts",
        f"DELETE on {shop}.saga_ledger_parts",
    ]
    change(mariadb, f"GRANT INSERT, UPDATE, DELETE ON {shop}.saga_ledger_heads TO {user}")
    change(mariadb, f"GRANT UPDATE, DELETE ON {shop}.saga_ledger_parts TO {user}_role")
    change(mariadb, f"GRANT INSERT ON {shop}.loaded TO {user}")
    assert schema.privileges(mariadb_user) == []
    use(mariadb_user)  # what was named is enough


def test_missing_rights_to_make_a_ledger_in_mariadb_are_named(mariadb: Engine, mariadb_user: Engine) -> None:
    user, shop = str(mariadb_user.url.username), str(mariadb.url.database)
    for table in ("parts", "heads"):
        change(mariadb, f"DROP TABLE saga_ledger_{table}")
    change(mariadb, "DROP TABLE saga_ledger")
    change(mariadb, f"GRANT UPDATE ON {shop}.loaded TO {user}")
    change(mariadb, f"GRANT SELECT ON `{shop[:-1]}_`.* TO {user}")
    rights = ("CREATE", "INSERT", "UPDATE", "DELETE")
    assert schema.privileges(mariadb_user) == [f"{right} on {shop}.*" for right in rights]
    change(mariadb, f"GRANT CREATE, INSERT, UPDATE, DELETE ON `{shop.replace('_', chr(92) + '_')}`.* TO {user}_role")
    assert schema.privileges(mariadb_user) == []
    schema.create(mariadb_user)  # what was named is enough


def test_an_error_that_is_not_about_rights_comes_out_of_asking_for_them(mariadb: Engine) -> None:
    change(mariadb, "ALTER TABLE saga_ledger_heads DROP CONSTRAINT saga_ledger_heads_opened")
    change(mariadb, "ALTER TABLE saga_ledger_heads DROP token")
    with pytest.raises(DBAPIError, match="Unknown column 'token'"):
        schema.privileges(mariadb)
    change(mariadb, "DROP TABLE loaded")  # so that the next test makes them all anew


def test_a_replica_and_other_servers_that_cannot_keep_a_ledger_are_named(mariadb: Engine, opened: Opened) -> None:
    read_only = opened(
        mariadb.url.update_query_dict({"init_command": "SET SESSION tx_read_only = 1"}).render_as_string(
            hide_password=False
        )
    )
    assert schema.privileges(read_only) == ["to write: this session is read-only, or the server is a replica"]
    assert unfit("8.0.36", read_only=False, by_statement=True) == [
        "a MariaDB server: this is 8.0.36, on which the ledger was never tried",
        "binlog_format MIXED or ROW: with STATEMENT the server takes no write at READ COMMITTED",
    ]


@pytest.mark.parametrize(("name", "owner"), [("user", "postgres"), ("mariadb_user", "mariadb")])
def test_whoever_may_not_make_a_ledger_gets_the_servers_own_error_and_makes_none(
    request: pytest.FixtureRequest, name: str, owner: str
) -> None:
    stranger: Engine = request.getfixturevalue(name)
    target: Engine = request.getfixturevalue(owner)
    change(
        target, f"GRANT {'SELECT ON loaded' if owner == 'postgres' else 'UPDATE ON loaded'} TO {stranger.url.username}"
    )
    for table in ("parts", "heads"):
        change(target, f"DROP TABLE {{ledger}}.saga_ledger_{table}")
    change(target, "DROP TABLE {ledger}.saga_ledger")
    with pytest.raises(DBAPIError, match="denied"):
        schema.create(stranger)
    assert schema.identity(target) is None


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
