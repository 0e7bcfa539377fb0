"""What hangs on a PostgreSQL table and would stay with the old one at a swap: named, so that a person decides."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from saga_engine.actions.copy.catalog import Table
from saga_engine.actions.copy.postgres import sql

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
    (EXISTS (SELECT FROM pg_publication_rel p WHERE p.prrelid = c.oid), 'a publication names it'),
    (EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL), 'rights on single columns')
  ) AS w(is_so, why) WHERE c.oid = %(table)s::regclass AND w.is_so"""


def refusals(db: Connection, table: Table) -> list[str]:
    """See ``dialect.Dialect``."""
    db.exec_driver_sql(sql.QUALIFY)
    values = {"table": sql.written(table.name)}
    return [
        f"{table.name} cannot be replaced: {why}"
        for query in (_DEPENDENTS, _PROPERTIES)
        for why in sorted(db.exec_driver_sql(query, values).scalars())
    ]
