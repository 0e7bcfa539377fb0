"""What must be the same again in PostgreSQL after a rollback (SEMANTICS, "The target is as before")."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.plan import Fingerprint
from saga_engine.actions.copy.postgres import sql

# Everything that a person could have changed about the table, in a fixed order; its rows and statistics left out, and
# the rows that a foreign key has for each partition of the table that it refers to: those come and go.
_TABLE: Final = """
SELECT c.oid::text AS oid, c.oid::text || ':' || c.relfilenode::text AS identity, jsonb_build_array(
    c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.reloptions::text,
    c.reltablespace::text, c.relacl::text, pg_get_userbyid(c.relowner), obj_description(c.oid, 'pg_class'),
    (SELECT jsonb_agg(jsonb_build_array(a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
                a.attgenerated, a.attcollation::text, a.attacl::text, pg_get_expr(d.adbin, d.adrelid),
                col_description(c.oid, a.attnum)) ORDER BY a.attnum)
       FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    (SELECT jsonb_agg(jsonb_build_array(o.conname, pg_get_constraintdef(o.oid), o.convalidated) ORDER BY o.conname)
       FROM pg_constraint o WHERE o.conrelid = c.oid AND (o.contype <> 'f' OR o.conparentid = 0)),
    (SELECT jsonb_agg(jsonb_build_array(pg_get_indexdef(i.indexrelid), i.indisvalid) ORDER BY i.indexrelid)
       FROM pg_index i WHERE i.indrelid = c.oid),
    (SELECT jsonb_agg(jsonb_build_array(pg_get_triggerdef(t.oid), t.tgenabled) ORDER BY t.tgname)
       FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal))::text AS shape
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s"""


def fingerprint(db: Connection, table: TableName) -> Fingerprint:
    """See ``dialect.Dialect``."""
    db.exec_driver_sql(sql.QUALIFY)
    found = db.exec_driver_sql(_TABLE, (table.schema_name, table.name)).one_or_none()
    if found is None:
        return Fingerprint(exists=False)
    shape = sha256(found.shape.encode()).hexdigest()
    return Fingerprint(exists=True, table=found.oid, identity=found.identity, shape=shape)
