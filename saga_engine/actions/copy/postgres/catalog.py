"""What PostgreSQL says of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from saga_engine.actions.copy.catalog import Column, Index, Table
from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.postgres import sequences, sql
from saga_engine.errors import CannotMove

KINDS: Final = {
    "v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "i": "an index",
    "c": "a composite type", "I": "an index", "t": "a TOAST table",
}  # fmt: skip


_RELATION: Final = """
SELECT c.oid, c.relkind, c.relhassubclass AND c.relkind = 'r' AS has_children
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %s AND c.relname = %s"""
# A database's own collation is binary only if the C library provides it and it is called C or POSIX.
_OWN_COLLATION: Final = """
SELECT coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') = 'c' AND d.datcollate IN ('C', 'POSIX')
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"""
_COLUMNS: Final = """
SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable,
       a.attgenerated <> '' AS computed, a.attidentity <> '' AS is_identity, a.atthasdef AS has_default,
       a.attcollation <> 0 AS collates,
       CASE WHEN a.attcollation <> t.typcollation THEN format('%%I.%%I', m.nspname, l.collname) END AS collation,
       CASE WHEN a.attcollation = 0 THEN true
            WHEN l.collname <> 'default' THEN l.collname IN ('C', 'POSIX')
            ELSE ({own}) END AS is_binary
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
  LEFT JOIN pg_catalog.pg_namespace m ON m.oid = l.collnamespace
 WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum""".replace("{own}", _OWN_COLLATION)
_KEY: Final = """
SELECT a.attname
  FROM pg_catalog.pg_index i, unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k(attnum, position)
  JOIN pg_catalog.pg_attribute a ON a.attnum = k.attnum
 WHERE i.indrelid = %s AND i.indisprimary AND a.attrelid = i.indrelid ORDER BY k.position"""
# Plain: a b-tree over columns as they are, nothing included, no condition, the default order and operators, and the
# collation that a column of the type has by itself.
_INDEXES: Final = """
SELECT c.relname AS name, i.indisunique AS is_unique,
       m.amname = 'btree' AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnatts = i.indnkeyatts
         AND NOT coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false)
         AND NOT EXISTS (SELECT FROM unnest(i.indoption) AS o WHERE o <> 0)
         AND NOT EXISTS (SELECT FROM unnest(i.indclass) AS u JOIN pg_catalog.pg_opclass p ON p.oid = u
                          WHERE NOT p.opcdefault)
         AND NOT EXISTS (SELECT FROM unnest(i.indkey, i.indcollation) AS k(attnum, used)
                           JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                           JOIN pg_catalog.pg_type t ON t.oid = a.atttypid WHERE k.used <> t.typcollation) AS plain,
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, position)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
              ORDER BY k.position) AS columns
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
  JOIN pg_catalog.pg_am m ON m.oid = c.relam
 WHERE i.indrelid = %s AND NOT i.indisprimary ORDER BY c.relname"""
_CONSTRAINTS: Final = """
SELECT CASE contype WHEN 'f' THEN 'the foreign key ' WHEN 'c' THEN 'the check ' ELSE 'the exclusion constraint ' END
       || conname FROM pg_catalog.pg_constraint WHERE conrelid = %s AND contype IN ('f', 'c', 'x') ORDER BY conname"""
_ROW_SECURITY: Final = """
SELECT what FROM (SELECT 1, 'its row-level security' FROM pg_catalog.pg_class WHERE oid = %(table)s AND relrowsecurity
 UNION ALL SELECT 2, 'the policy ' || polname FROM pg_catalog.pg_policy WHERE polrelid = %(table)s) AS w(place, what)
 ORDER BY place, what"""
_GIVEN_UP: Final = """
SELECT 'the foreign key ' || conname || ': it would hold up deletes in the table that it refers to'
  FROM pg_catalog.pg_constraint
 WHERE conrelid = %s AND contype = 'f' AND confrelid <> conrelid AND conparentid = 0 ORDER BY conname"""
_TRIGGERS: Final = """
SELECT 'the trigger ' || tgname FROM pg_catalog.pg_trigger WHERE tgrelid = %s AND NOT tgisinternal ORDER BY tgname"""
_IDENTITY: Final = """
SELECT pg_catalog.pg_postmaster_start_time() AT TIME ZONE 'UTC' || ':' || d.oid || ':' || coalesce(c.oid, 0)
  FROM pg_catalog.pg_database d LEFT JOIN (pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n
       ON n.oid = c.relnamespace AND n.nspname = %s AND c.relname = %s) ON true
 WHERE d.datname = pg_catalog.current_database()"""
_TABLES: Final = """
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %s AND c.relkind IN ('r', 'p')"""
_MISSING_TYPES: Final = "SELECT t FROM unnest(%s::text[]) AS t WHERE to_regtype(t) IS NULL ORDER BY t"


def resolve(db: Connection, written: TableName) -> TableName:
    """See ``dialect.Dialect``: the first schema of the search path that has such a table, else the one it would get."""
    if written.schema_name:
        return written
    found = db.exec_driver_sql(
        "SELECT coalesce((SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
        " ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)), current_schema())",
        (sql.name(written.name),),
    ).scalar()
    if found is None:
        raise CannotMove(table=written, problems="the search path names no schema: write schema.table")
    return TableName(schema_name=found, name=written.name)


def describe(db: Connection, table: TableName) -> Table | None:
    """See ``dialect.Dialect``. From here on the transaction's search path is empty: types are named in full."""
    db.exec_driver_sql(sql.QUALIFY)
    found = db.exec_driver_sql(_RELATION, (table.schema_name, table.name)).one_or_none()
    if found is None:
        return None
    if found.relkind in KINDS or found.has_children:
        kind = KINDS.get(found.relkind, "a table with tables that inherit from it")
        raise CannotMove(table=table, problems=f"{table} is {kind}, not an ordinary table")
    columns = db.exec_driver_sql(_COLUMNS, (found.oid,)).all()
    indexes = db.exec_driver_sql(_INDEXES, (found.oid,)).all()
    return Table(
        name=table,
        columns=tuple(
            Column(
                name=c.name,
                type=c.type,
                nullable=c.nullable,
                computed=c.computed,
                binary=c.is_binary,
                filled=c.nullable or c.is_identity or c.has_default,
                collates=c.collates,
            )
            for c in columns
        ),
        key=tuple(db.exec_driver_sql(_KEY, (found.oid,)).scalars()),
        indexes=tuple(Index(i.name, tuple(i.columns) if i.plain else (), i.is_unique) for i in indexes),
        left_behind=(
            *(f"the default of {c.name}" for c in columns if c.has_default and not c.computed),
            *(f"the expression that computes {c.name}: it becomes a plain column" for c in columns if c.computed),
            *(f"the identity of {c.name}" for c in columns if c.is_identity),
            *(f"the collation {c.collation} of {c.name}" for c in columns if c.collation),
            *db.exec_driver_sql(_CONSTRAINTS, (found.oid,)).scalars(),
            *db.exec_driver_sql(_ROW_SECURITY, {"table": found.oid}).scalars(),
        ),
        triggers=tuple(db.exec_driver_sql(_TRIGGERS, (found.oid,)).scalars()),
        given_up=tuple(db.exec_driver_sql(_GIVEN_UP, (found.oid,)).scalars()),
        left_alone=tuple(sequences.left_alone(db, table)),
        counting=tuple(sequences.counting(db, table)),
    )


def tables(db: Connection, schema_name: str) -> list[str]:
    """See ``dialect.Dialect``."""
    return list(db.exec_driver_sql(_TABLES, (schema_name,)).scalars())


def is_free(db: Connection, name: TableName) -> bool:
    """See ``dialect.Dialect``."""
    return bool(db.exec_driver_sql("SELECT to_regclass(%s) IS NULL", (sql.written(name),)).scalar())


def new_text_is_binary(db: Connection) -> bool:
    """See ``dialect.Dialect``."""
    return bool(db.exec_driver_sql(_OWN_COLLATION).scalar())


def missing_types(db: Connection, types: Sequence[str]) -> list[str]:
    """See ``dialect.Dialect``."""
    return list(db.exec_driver_sql(_MISSING_TYPES, (list(types),)).scalars())


def identity(db: Connection, table: TableName) -> str:
    """See ``dialect.Dialect``: the server's start, the database and the table."""
    return f"postgresql:{db.exec_driver_sql(_IDENTITY, (table.schema_name, table.name)).scalar()}"
