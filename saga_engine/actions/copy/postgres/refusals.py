"""What stands in the way of a move from or to PostgreSQL: named, so that a person decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from saga_engine.actions.copy.catalog import Table
from saga_engine.actions.copy.names import NAME_BYTES_MAX, TableName
from saga_engine.actions.copy.postgres import catalog, references, sequences, sql

SYSTEM: Final = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
_RIGHTS: Final = """
SELECT CASE WHEN n.oid IS NULL THEN 'there is no schema ' || w.name
            WHEN NOT has_schema_privilege(n.oid, 'CREATE') OR NOT has_schema_privilege(n.oid, 'USAGE')
            THEN 'CREATE and USAGE on the schema ' || w.name END
  FROM (VALUES (%s::text)) AS w(name) LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = w.name"""
_OWNED: Final = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_catalog.pg_class WHERE oid = %s::regclass"

# Views, functions and foreign keys of other tables hold on to the table itself or to its row type, not to its name;
# so do its own constraints, generated columns and rules, which are not meant.
_DEPENDENTS: Final = """
SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0) || ' depends on it'
  FROM pg_class c JOIN pg_depend d ON d.deptype = 'n' AND (
       (d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid) OR
       (d.refclassid = 'pg_type'::regclass AND d.refobjid IN (
            c.reltype, (SELECT t.typarray FROM pg_type t WHERE t.oid = c.reltype AND t.typarray <> 0))))
 WHERE c.oid = %(table)s::regclass
   AND NOT (d.classid = 'pg_constraint'::regclass
            AND EXISTS (SELECT FROM pg_constraint o WHERE o.oid = d.objid AND o.conrelid = c.oid))
   AND NOT (d.classid = 'pg_attrdef'::regclass
            AND EXISTS (SELECT FROM pg_attrdef a WHERE a.oid = d.objid AND a.adrelid = c.oid))
   AND NOT (d.classid = 'pg_rewrite'::regclass
            AND EXISTS (SELECT FROM pg_rewrite r WHERE r.oid = d.objid AND r.ev_class = c.oid))"""
_PROPERTIES: Final = """
SELECT w.why FROM pg_class c CROSS JOIN LATERAL (VALUES
    (c.relkind = 'p', 'it is partitioned'), (c.relispartition, 'it is a partition'),
    (EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid) AND NOT c.relispartition, 'it inherits from a table'),
    (c.relpersistence <> 'p', 'it is unlogged or temporary'), (c.reloftype <> 0, 'it is a typed table'),
    (c.relrowsecurity OR c.relforcerowsecurity, 'it has row-level security'),
    (c.relreplident <> 'd', 'it has a replica identity of its own'),
    (c.reltablespace <> 0, 'it has its own tablespace'),
    (EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid), 'it has policies'),
    (EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid), 'it has rules'),
    (EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL), 'rights on single columns')
  ) AS w(is_so, why) WHERE c.oid = %(table)s::regclass AND w.is_so"""
_INDEXES: Final = """
SELECT 'its index ' || c.relname || ' has its own tablespace' FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
 WHERE i.indrelid = %(table)s::regclass AND c.reltablespace <> 0"""

# Named, or with all tables of the database or its schema: a subscriber would get the rows of the staging table, and
# stop if it has no such table; and go on with the rows of the table that is replaced.
_PUBLICATIONS: Final = """
SELECT p.pubname FROM pg_publication p WHERE p.puballtables OR EXISTS (
       SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = to_regclass(%(table)s))"""
_SCHEMAS_PUBLISHED: Final = """
UNION SELECT p.pubname FROM pg_publication p JOIN pg_publication_namespace s ON s.pnpubid = p.oid
        JOIN pg_namespace n ON n.oid = s.pnnspid WHERE n.nspname = %(schema)s"""
"""PostgreSQL 14 has none, nor the table."""


def unfit(db: Connection) -> list[str]:
    """See ``dialect.Dialect``."""
    found = []
    if db.dialect.driver != "psycopg":
        found.append(f"the driver {db.dialect.driver} has no COPY here: write postgresql+psycopg://")
    encoding = db.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        found.append(f"the database stores text as {encoding}, not as UTF8")
    return found


def unusable(names: Sequence[str]) -> list[str]:
    """See ``dialect.Dialect``. A name that is too long would be cut without a word."""
    return [
        *(
            f"column {name}: longer than {NAME_BYTES_MAX} bytes"
            for name in names
            if len(name.encode()) > NAME_BYTES_MAX
        ),
        *(
            f"column {name}: every table of PostgreSQL has its own column of this name"
            for name in names
            if name in SYSTEM
        ),
    ]


def rights_to_read(db: Connection, table: TableName) -> list[str]:
    """See ``dialect.Dialect``."""
    readable = db.exec_driver_sql("SELECT has_table_privilege(%s::regclass, 'SELECT')", (sql.written(table),)).scalar()
    return [] if readable else [f"SELECT on {table}"]


def rights_to_replace(db: Connection, target: TableName, existing: Table | None) -> list[str]:
    """See ``dialect.Dialect``."""
    missing = db.exec_driver_sql(_RIGHTS, (target.schema_name,)).scalar()
    found = [missing] if missing else []
    if existing is not None and not db.exec_driver_sql(_OWNED, (sql.written(target),)).scalar():
        found.append(f"ownership of {target}, which only its owner may rename")
    if existing is None:
        return found
    return [*found, *references.missing_rights(db, target), *sequences.missing_rights(db, target)]


def refusals(db: Connection, target: TableName) -> list[str]:
    """See ``dialect.Dialect``."""
    db.exec_driver_sql(sql.QUALIFY)
    publications = _publications(db, target)
    if catalog.is_free(db, target):
        return [f"{target} cannot be made: the publication {name} would publish it" for name in publications]
    found = [
        why
        for query in (_DEPENDENTS, _PROPERTIES, _INDEXES)
        for why in sorted(db.exec_driver_sql(query, {"table": sql.written(target)}).scalars())
    ]
    found += [f"the publication {name} publishes it" for name in publications]
    return [f"{target} cannot be replaced: {why}" for why in found]


def _publications(db: Connection, target: TableName) -> list[str]:
    version = db.dialect.server_version_info or ()
    query = _PUBLICATIONS + _SCHEMAS_PUBLISHED if version >= (15,) else _PUBLICATIONS
    return sorted(db.exec_driver_sql(query, {"table": sql.written(target), "schema": target.schema_name}).scalars())
