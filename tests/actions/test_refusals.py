"""Whatever cannot be carried is refused in PREFLIGHT, by name, and nothing has been written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.problems import refuse_store_file
from saga_engine.domain.definition.values import Connection
from saga_engine.errors import BadInput, CannotMove, SettingsError
from tests.actions.support import Database, Mover, move

Fresh = Callable[[str, str], str]


class Refused:
    """Databases of any kinds, and what PREFLIGHT says of a move between them."""

    def __init__(self, fresh_url: Fresh, exports: Path) -> None:
        self._fresh = fresh_url
        self._exports = exports
        self._made: dict[tuple[str, str], Database] = {}

    def by(self, pair: str, create: list[str], existing: list[str] | None = None, **more: object) -> str:
        """Prepare both databases, ask, and return what was refused, once it is sure that nothing was left behind."""
        source, target = (
            self._empty(kind, name) for kind, name in zip(pair.split(" to "), ("source", "target"), strict=True)
        )
        source.run(*create)
        target.run(*(existing or []))
        before = target.tables()
        with pytest.raises(CannotMove) as refused:
            Mover(move("item", self._exports, **more), source, target).preflight()
        assert (target.tables(), self._ledger(target), self._exports.exists()) == (before, [], False)
        return str(refused.value).split("nothing was written: ")[1]

    def _empty(self, kind: str, name: str) -> Database:
        """A database without tables, made once for a test."""
        if (kind, name) not in self._made:
            self._made[kind, name] = Database(self._fresh(kind, name))
            return self._made[kind, name]
        if kind == "sqlite":
            Path(self._made[kind, name].path).unlink()
        else:
            self._made[kind, name].run("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        return self._made[kind, name]

    def _ledger(self, target: Database) -> list[object]:
        if target.kind == "sqlite":
            return [*target.rows("SELECT name FROM sqlite_master WHERE name LIKE 'saga_ledger%'")]
        return [*target.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'saga_ledger'")]


@pytest.fixture
def refused(fresh_url: Fresh, exports: Path) -> Refused:
    return Refused(fresh_url, exports)


PAIRS = [f"{source} to {target}" for source in ("sqlite", "postgresql") for target in ("sqlite", "postgresql")]


@pytest.mark.parametrize("pair", PAIRS)
def test_a_missing_table(refused: Refused, pair: str) -> None:
    assert refused.by(pair, ["CREATE TABLE other (id bigint PRIMARY KEY)"]) == "there is no such table in the source"
    said = refused.by(pair, ['CREATE TABLE "Items" (id bigint PRIMARY KEY)'])
    assert said == "there is no such table in the source; did you mean Items?"
    assert refused.by(pair, []) == "there is no such table in the source, which has no tables at all"


@pytest.mark.parametrize("pair", PAIRS)
def test_a_table_without_a_key(refused: Refused, pair: str) -> None:
    why = refused.by(pair, ["CREATE TABLE item (id bigint, name text)"])
    assert why.removeprefix("public.") == "item has no primary key: rows could not be told apart"


@pytest.mark.parametrize("pair", ["sqlite to sqlite", "postgresql to sqlite"])
def test_a_view(refused: Refused, pair: str) -> None:
    why = refused.by(pair, ["CREATE TABLE t (id bigint PRIMARY KEY)", "CREATE VIEW item AS SELECT * FROM t"])
    assert why.removeprefix("public.") == "item is a view, not an ordinary table"


def test_a_virtual_table(refused: Refused) -> None:
    why = refused.by("sqlite to sqlite", ["CREATE VIRTUAL TABLE item USING fts5(body)"])
    assert why == "item is a virtual table or one of SQLite's own, not an ordinary table"


def test_a_view_that_has_the_target_s_name(refused: Refused) -> None:
    table = "CREATE TABLE item (id bigint PRIMARY KEY)"
    existing = ["CREATE TABLE t (id bigint PRIMARY KEY)", "CREATE VIEW item AS SELECT * FROM t"]
    assert refused.by("sqlite to sqlite", [table], existing) == "item is a view, not an ordinary table"


@pytest.mark.parametrize("pair", PAIRS)
def test_a_target_with_another_key(refused: Refused, pair: str) -> None:
    why = refused.by(
        pair,
        ["CREATE TABLE item (id bigint PRIMARY KEY, code bigint NOT NULL)"],
        ["CREATE TABLE item (id bigint, code bigint PRIMARY KEY)"],
    )
    assert why.removeprefix("public.") == "the primary key of public.item is code, that of the source is id" or (
        why == "the primary key of item is code, that of the source is id"
    )


def test_a_key_that_both_sides_compute(refused: Refused) -> None:
    """What is not copied tells no rows apart; the other columns are no key."""
    create = ["CREATE TABLE item (a int, k int GENERATED ALWAYS AS (a * 2) STORED, l int, PRIMARY KEY (l, k))"]
    assert refused.by("postgresql to postgresql", create, create) == (
        "the key column k is computed in public.item, too, and would not be copied: make it a plain one there"
    )


@pytest.mark.parametrize("pair", ["sqlite to sqlite", "postgresql to postgresql"])
def test_columns_that_do_not_match_by_name(refused: Refused, pair: str) -> None:
    why = refused.by(
        pair,
        ["CREATE TABLE item (id bigint PRIMARY KEY, customer text, lost text)"],
        ["CREATE TABLE item (id bigint PRIMARY KEY, costumer text, needed text NOT NULL, filled text)"],
    ).replace("public.", "")
    assert why == (
        "column customer: item has no such column; it has costumer, and names must be equal; "
        "column lost: item has no such column; "
        "column needed of item needs a value, and the source has no such column"
    )


def test_values_that_their_columns_should_not_have(refused: Refused) -> None:
    """SQLite keeps any value in any column; the declared type is the wish."""
    cases = [
        ("'abc'", "BIGINT", "bigint"),
        ("1.5", "BIGINT", "bigint"),
        ("'x'", "NUMERIC(6,2)", "numeric(6,2)"),
        ("1.125", "NUMERIC(6,2)", "numeric(6,2)"),
        ("12345.5", "NUMERIC(6,2)", "numeric(6,2)"),
        ("x'00'", "TEXT", "text"),
        ("'text'", "BLOB", "bytea"),
        ("2", "BOOLEAN", "boolean"),
        ("'yes'", "BOOLEAN", "boolean"),
        ("'2026-02-30'", "DATE", "date"),
        ("20260101", "DATE", "date"),
        ("'25:00:00'", "TIME", "time without time zone"),
        ("'2026-01-01 00:00:00+02'", "DATETIME", "timestamp without time zone"),
        ("'2026-01-01 00:00:00.1234567'", "DATETIME", "timestamp without time zone"),
        ("'2026-01-01 00:00:00'", "TIMESTAMPTZ", "timestamp with time zone"),
        ("'12-34'", "UUID", "uuid"),
        ("'{'", "JSON", "json"),
    ]
    for value, kind, why in cases:
        create = [f"CREATE TABLE item (id integer PRIMARY KEY, v {kind})", f"INSERT INTO item VALUES (17, {value})"]
        said = refused.by("sqlite to postgresql", create)
        assert said == f"column v: 1 row has a value that {why} cannot hold exactly, such as key (17)"


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_text_that_is_not_utf_8(refused: Refused, target: str) -> None:
    create = ["CREATE TABLE item (id text PRIMARY KEY, v text)", "INSERT INTO item VALUES ('a', CAST(x'ff41' AS TEXT))"]
    assert refused.by(f"sqlite to {target}", create) == "column v: 1 row has text that is not UTF-8, such as key (a)"


def test_a_nul_character_on_its_way_to_postgresql(refused: Refused) -> None:
    create = ["CREATE TABLE item (id integer PRIMARY KEY, v text)", "INSERT INTO item VALUES (5, 'a' || char(0))"]
    said = refused.by("sqlite to postgresql", create)
    assert said == ("column v: 1 row has text with a NUL character, which PostgreSQL does not know, such as key (5)")


def test_several_kinds_of_values_in_a_column_that_says_nothing(refused: Refused) -> None:
    create = ["CREATE TABLE item (id integer PRIMARY KEY, v)", "INSERT INTO item VALUES (1, 'a'), (2, 2)"]
    assert refused.by("sqlite to postgresql", create) == (
        "column v: values of several kinds (integer, text): make the target table first, with the type that you want"
    )


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_a_key_without_a_value(refused: Refused, target: str) -> None:
    create = ["CREATE TABLE item (id text PRIMARY KEY, v text)", "INSERT INTO item VALUES (NULL, 'a')"]
    said = refused.by(f"sqlite to {target}", create)
    assert said == "column id: 1 row has no value, where one is required, such as key (NULL)"


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("double precision", "'NaN'", "NaN, which SQLite stores as NULL"),
        ("double precision", "'-0'", "-0, which SQLite stores as 0"),
        ("real", "'NaN'", "NaN, which SQLite stores as NULL"),
    ],
)
def test_a_float_that_sqlite_does_not_know(refused: Refused, kind: str, value: str, why: str) -> None:
    create = [
        f"CREATE TABLE item (a text, b int, v {kind}, PRIMARY KEY (a, b))",
        f"INSERT INTO item VALUES ('k', 2, {value})",
    ]
    assert refused.by("postgresql to sqlite", create) == f"column v: 1 row has {why}, such as key (k, 2)"


def test_types_that_do_not_go_together(refused: Refused) -> None:
    cases = [
        ("sqlite to postgresql", "text", "jsonb", "TEXT cannot become jsonb without changing values"),
        ("sqlite to postgresql", "REAL", "real", "REAL cannot become real without changing values"),
        ("sqlite to postgresql", "text", "interval", "TEXT cannot become interval without changing values"),
        (
            "postgresql to sqlite",
            "numeric",
            "DECIMAL(10,2)",
            "numeric would be changed by a column declared DECIMAL(10,2): declare it DECIMAL_TEXT",
        ),
        (
            "postgresql to sqlite",
            "text",
            "INTEGER",
            "text would be changed by a column declared INTEGER: declare it TEXT",
        ),
        (
            "postgresql to sqlite",
            "money",
            "TEXT",
            "the text of money depends on the server's locale: make it numeric first",
        ),
        ("sqlite to sqlite", "TEXT", "NUMERIC", "NUMERIC (NUMERIC) would change values of TEXT (TEXT)"),
        ("postgresql to postgresql", "bigint", "integer", "bigint cannot become integer without changing values"),
        (
            "postgresql to postgresql",
            "double precision",
            "numeric",
            "double precision cannot become numeric without changing values",
        ),
    ]
    for pair, here, there, why in cases:
        tables = [[f"CREATE TABLE item (id bigint PRIMARY KEY, v {kind})"] for kind in (here, there)]
        assert refused.by(pair, *tables) == f"column v: {why}"


@pytest.mark.parametrize("there", ["varchar(3)", "numeric(4,1)"])
def test_a_value_that_is_too_large_for_a_narrower_column(refused: Refused, there: str) -> None:
    here, value = ("text", "abcd") if there.startswith("v") else ("numeric", "1.25")
    said = refused.by(
        "postgresql to postgresql",
        [f"CREATE TABLE item (id bigint PRIMARY KEY, v {here})", f"INSERT INTO item VALUES (3, '{value}')"],
        [f"CREATE TABLE item (id bigint PRIMARY KEY, v {there})"],
    )
    assert said in (
        "column v: 1 row has a text longer than character varying(3), such as key (3)",
        "column v: 1 row has a value that numeric(4,1) cannot hold exactly, such as key (3)",
    )


def test_a_column_of_the_target_that_wants_a_value_where_the_source_has_none(refused: Refused) -> None:
    said = refused.by(
        "postgresql to sqlite",
        ["CREATE TABLE item (id bigint PRIMARY KEY, v text)", "INSERT INTO item VALUES (1, 'a'), (2, NULL)"],
        ["CREATE TABLE item (id bigint PRIMARY KEY, v text NOT NULL)"],
    )
    assert said == "column v: 1 row has no value, where one is required, such as key (2)"


def test_a_value_that_a_strict_table_would_not_take(refused: Refused) -> None:
    said = refused.by(
        "sqlite to sqlite",
        ["CREATE TABLE item (id integer PRIMARY KEY, v integer)", "INSERT INTO item VALUES (1, 'a')"],
        ["CREATE TABLE item (id integer PRIMARY KEY, v integer) STRICT"],
    )
    assert said == "column v: 1 row has a value that INTEGER cannot hold exactly, such as key (1)"


def test_a_type_that_the_target_does_not_know(refused: Refused) -> None:
    create = ["CREATE TYPE mood AS ENUM ('good')", "CREATE TABLE item (id bigint PRIMARY KEY, v mood)"]
    assert refused.by("postgresql to postgresql", create) == "the target does not know the type public.mood"


def test_what_would_stay_with_the_old_table(refused: Refused) -> None:
    cases: list[tuple[list[str], str]] = [
        (["CREATE VIEW v AS SELECT name FROM item"], "rule _RETURN on view public.v depends on it"),
        (
            ["CREATE TABLE o (id bigint REFERENCES item)"],
            "constraint o_id_fkey on table public.o depends on it",
        ),
        (["CREATE TABLE o (i item)"], "table public.o depends on it"),
        (["ALTER TABLE item ENABLE ROW LEVEL SECURITY"], "it has row-level security"),
        (["CREATE RULE r AS ON DELETE TO item DO INSTEAD NOTHING"], "it has rules"),
        (["ALTER TABLE item REPLICA IDENTITY FULL"], "it has a replica identity of its own"),
        (["CREATE PUBLICATION p FOR TABLE item"], "the publication p publishes it"),
        (["GRANT SELECT (name) ON item TO PUBLIC"], "rights on single columns"),
        (["ALTER TABLE item SET UNLOGGED"], "it is unlogged or temporary"),
    ]
    for made, why in cases:
        table = "CREATE TABLE item (id bigint PRIMARY KEY, name text)"
        said = refused.by("sqlite to postgresql", [table], [table, *made])
        assert said == f"public.item cannot be replaced: {why}"


def test_a_target_that_is_published_with_all_tables(refused: Refused) -> None:
    table = "CREATE TABLE item (id bigint PRIMARY KEY)"
    said = refused.by("sqlite to postgresql", [table], [table, 'CREATE PUBLICATION "All" FOR ALL TABLES'])
    assert said == "public.item cannot be replaced: the publication All publishes it"


@pytest.mark.parametrize("published", ["ALL TABLES", "TABLES IN SCHEMA public"])
def test_a_new_table_that_would_be_published(refused: Refused, postgres_url: str, published: str) -> None:
    """A subscriber would get the rows of the staging table, which it has not, and stop."""
    [(version,)] = Database(postgres_url).rows("SELECT current_setting('server_version_num')::int")
    if published != "ALL TABLES" and version < 150000:
        pytest.skip("PostgreSQL 14 publishes no schemas")
    table = "CREATE TABLE item (id bigint PRIMARY KEY)"
    said = refused.by("sqlite to postgresql", [table], [f'CREATE PUBLICATION "All" FOR {published}'])
    assert said == "public.item cannot be made: the publication All would publish it"


def test_a_target_whose_schema_is_published(refused: Refused, postgres_url: str) -> None:
    [(version,)] = Database(postgres_url).rows("SELECT current_setting('server_version_num')::int")
    if version < 150000:
        pytest.skip("PostgreSQL 14 publishes no schemas")
    table = "CREATE TABLE item (id bigint PRIMARY KEY)"
    said = refused.by("sqlite to postgresql", [table], [table, "CREATE PUBLICATION p FOR TABLES IN SCHEMA public"])
    assert said == "public.item cannot be replaced: the publication p publishes it"


def test_an_index_of_the_target_in_a_tablespace_of_its_own(fresh_url: Fresh, exports: Path) -> None:
    source, target = Database(fresh_url("sqlite", "source")), Database(fresh_url("postgresql", "target"))
    source.run("CREATE TABLE item (id integer PRIMARY KEY)")
    target.run("CREATE TABLE item (id bigint PRIMARY KEY)")
    with tablespace(target) as name:
        target.run(f"ALTER INDEX item_pkey SET TABLESPACE {name}")
        with pytest.raises(CannotMove, match="cannot be replaced: its index item_pkey has its own tablespace"):
            Mover(move("item", exports), source, target).preflight()


@contextmanager
def tablespace(server: Database) -> Iterator[str]:
    """A tablespace in the server's own folder; it is removed with the tables of *server*."""
    with psycopg.connect(server.libpq, autocommit=True) as admin:
        name = f"saga_test_{admin.info.backend_pid}"
        admin.execute("SET allow_in_place_tablespaces = on")
        admin.execute(f"CREATE TABLESPACE {name} LOCATION ''".encode())
        try:
            yield name
        finally:
            admin.execute("DROP SCHEMA public CASCADE")
            admin.execute(f"DROP TABLESPACE {name}".encode())


def test_a_partitioned_target(refused: Refused) -> None:
    partitioned = "CREATE TABLE item (id bigint PRIMARY KEY) PARTITION BY RANGE (id)"
    said = refused.by("sqlite to postgresql", ["CREATE TABLE item (id bigint PRIMARY KEY)"], [partitioned])
    assert said == "public.item cannot be replaced: it is partitioned"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_table_into_itself(fresh_url: Fresh, exports: Path, kind: str) -> None:
    database = Database(fresh_url(kind, "both"))
    database.run("CREATE TABLE item (id bigint PRIMARY KEY)")
    with pytest.raises(CannotMove, match="source and target are the same table: name another target_table"):
        Mover(move("item", exports), database, database).preflight()


def test_a_name_that_only_upper_and_lower_case_tell_from_the_source(fresh_url: Fresh, exports: Path) -> None:
    database = Database(fresh_url("sqlite", "both"))
    database.run("CREATE TABLE item (id bigint PRIMARY KEY)")
    with pytest.raises(CannotMove, match="source and target are the same table"):
        Mover(move("item", exports, target_table="ITEM"), database, database).preflight()


def test_a_schema_that_is_not_there(refused: Refused) -> None:
    said = refused.by(
        "sqlite to postgresql", ["CREATE TABLE item (id bigint PRIMARY KEY)"], target_table="nowhere.item"
    )
    assert said == "missing in the target: there is no schema nowhere"


def test_everything_is_said_at_once(refused: Refused) -> None:
    said = refused.by(
        "sqlite to postgresql",
        ["CREATE TABLE item (id bigint, v)", "INSERT INTO item VALUES (1, 'a'), (2, 2)"],
        target_table="nowhere.item",
    )
    assert said == (
        "column v: values of several kinds (integer, text): make the target table first, with the type that you want; "
        "missing in the target: there is no schema nowhere; item has no primary key: rows could not be told apart"
    )


def test_rows_for_which_the_disk_has_no_room(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    create = [
        "CREATE TABLE item (id integer PRIMARY KEY, v text)",
        "INSERT INTO item VALUES (1, 'more than ten bytes')",
    ]
    said = refused.by("sqlite to postgresql", create)
    assert said.startswith("the files need about 26 bytes, and ")


def test_a_folder_for_exports_that_is_a_file(fresh_url: Fresh, exports: Path) -> None:
    exports.touch()
    source, target = Database(fresh_url("sqlite", "source")), Database(fresh_url("sqlite", "target"))
    source.run("CREATE TABLE item (id integer PRIMARY KEY)")
    with pytest.raises(CannotMove, match="exports is no folder in which you may read and write"):
        Mover(move("item", exports / "deeper"), source, target).preflight()
    assert target.rows("SELECT name FROM sqlite_master") == []


def test_a_connection_that_nobody_has_named(fresh_url: Fresh, exports: Path) -> None:
    database = Database(fresh_url("sqlite", "source"))
    mover = Mover(move("item", exports).model_copy(update={"source": Connection("shop")}), database, database)
    with pytest.raises(SettingsError, match="there is no connection called shop; known: source, target"):
        mover.preflight()


@pytest.mark.parametrize("written", ["", "a.b.c", '"', "a..b", '"open'])
def test_a_name_that_is_none(fresh_url: Fresh, exports: Path, written: str) -> None:
    database = Database(fresh_url("sqlite", "source"))
    with pytest.raises(BadInput, match="is not the name of a table"):
        Mover(move(written, exports), database, database).preflight()


def test_the_store_s_own_file(tmp_path: Path) -> None:
    store, link = tmp_path / "saga.db", tmp_path / "other.db"
    store.touch()
    link.hardlink_to(store)
    with pytest.raises(CannotMove, match="the database is the engine's own store"):
        refuse_store_file(str(link), str(store), TableName(schema_name="", name="item"))
    refuse_store_file(str(tmp_path / "elsewhere.db"), str(store), TableName(schema_name="", name="item"))


@pytest.mark.parametrize(
    ("pair", "columns", "why"),
    [
        ("sqlite to postgresql", "xmin int", "column xmin: every table of PostgreSQL has its own column of this name"),
        ("sqlite to postgresql", f"{'x' * 64} int", f"column {'x' * 64}: longer than 63 bytes"),
        ("postgresql to sqlite", 'a int, "A" int', "columns A, a: SQLite does not tell upper from lower case"),
    ],
)
def test_names_that_a_new_table_could_not_have(refused: Refused, pair: str, columns: str, why: str) -> None:
    assert refused.by(pair, [f"CREATE TABLE item (id integer PRIMARY KEY, {columns})"]) == why


def test_rights_that_the_user_has_not(postgres_url: str, exports: Path) -> None:
    """A user who may read the catalogue and nothing else."""
    admin = Database(postgres_url)
    user = f"saga_test_{admin.rows('SELECT pg_backend_pid()')[0][0]}"
    admin.run(f"CREATE ROLE {user} LOGIN PASSWORD 'x'", "CREATE TABLE item (id bigint PRIMARY KEY)")
    try:
        own = Database(make_url(postgres_url).set(username=user, password="x").render_as_string(hide_password=False))
        with pytest.raises(CannotMove) as caught:
            Mover(move("item", exports, target_table="new"), own, own).preflight()
        assert str(caught.value).split("nothing was written: ")[1] == (
            "missing in the source: SELECT on public.item; "
            "missing in the target: CREATE and USAGE on the schema public; "
            "missing in the target: CREATE on the database"
        )
        with pytest.raises(CannotMove, match=r"ownership of public\.item, which only its owner may rename"):
            Mover(move("item", exports), own, own).preflight()
    finally:
        admin.run(f"DROP ROLE {user}")
