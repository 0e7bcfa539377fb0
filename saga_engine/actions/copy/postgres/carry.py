"""What the staging table takes over from the table that it replaces, as statements made from the catalogue."""
# ruff: noqa: S608  identifiers are quoted by PostgreSQL itself

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from saga_engine.actions.copy.names import derived
from saga_engine.actions.copy.plan import Plan
from saga_engine.actions.copy.postgres import sql

# Unique and exclusion constraints bring an index, whose name is unique in the schema; foreign keys do not. Those to
# other tables wait for the swap (references.py).
_CONSTRAINTS: Final = """
SELECT conname AS name, contype AS kind, pg_get_constraintdef(oid) AS definition, conrelid::regclass::text AS spelled
  FROM pg_constraint
 WHERE conrelid = %s::regclass AND (contype IN ('u', 'x') OR contype = 'f' AND confrelid = conrelid)
 ORDER BY contype DESC, conname"""
# The definition is what follows "ON table", in the server's own words.
_INDEXES: Final = """
SELECT c.relname AS name, i.indisunique AS is_unique, substr(pg_get_indexdef(i.indexrelid), 1 + length(
           format('CREATE %%sINDEX %%I ON %%s ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname,
                  i.indrelid::regclass))) AS definition
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
 WHERE i.indrelid = %s::regclass AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = i.indexrelid
                                                    AND o.conrelid = i.indrelid AND o.contype IN ('p', 'u', 'x'))
 ORDER BY c.relname"""
_GRANTEE: Final = "CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END"
_PROPERTIES: Final = (
    """SELECT format('ALTER TABLE %%s OWNER TO %%I', n.staging, pg_get_userbyid(c.relowner))
         FROM n JOIN pg_class c ON c.oid = n.old JOIN pg_class s ON s.oid = n.new WHERE c.relowner <> s.relowner""",
    f"""SELECT DISTINCT format('REVOKE ALL ON %%s FROM %%s', n.staging, {_GRANTEE})
         FROM n JOIN pg_class c ON c.oid = n.new, aclexplode(c.relacl) AS g""",
    f"""SELECT format('GRANT %%s ON %%s TO %%s%%s', g.privilege_type, n.staging, {_GRANTEE},
                     CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' END)
         FROM n JOIN pg_class c ON c.oid = n.old JOIN pg_class s ON s.oid = n.new,
              aclexplode(CASE WHEN s.relacl IS NULL THEN c.relacl
                              ELSE coalesce(c.relacl, acldefault('r', c.relowner)) END) AS g""",
    """SELECT format('COMMENT ON TABLE %%s IS %%L', n.staging, d.text)
         FROM n, LATERAL (SELECT obj_description(n.old, 'pg_class') AS text) AS d WHERE d.text IS NOT NULL""",
    """SELECT format('ALTER TABLE %%s SET (%%s)', n.staging, array_to_string(c.reloptions, ', '))
         FROM n JOIN pg_class c ON c.oid = n.old WHERE c.reloptions IS NOT NULL""",
    """SELECT format('ALTER TABLE %%s ALTER COLUMN %%I SET STATISTICS %%s', n.staging, a.attname, a.attstattarget)
         FROM n JOIN pg_attribute a ON a.attrelid = n.old
        WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget >= 0""",
    """SELECT format('ALTER TABLE %%s ALTER COLUMN %%I SET (%%s)', n.staging, a.attname, option)
         FROM n JOIN pg_attribute a ON a.attrelid = n.old, unnest(a.attoptions) AS option
        WHERE a.attnum > 0 AND NOT a.attisdropped AND option LIKE 'n\\_distinct%%'""",
)
"""Owner, rights, comment, options, what the planner is told of columns; the rights
that default privileges have given the new table go first, its owner's own among them. A table on which nobody has
granted anything has no list of rights, and means those of its owner."""
_NAMES: Final = """
WITH n AS (SELECT %(staging)s::text AS staging, %(staging)s::regclass AS new, %(target)s::regclass AS old) """


def constraints_and_indexes(db: Connection, plan: Plan) -> list[str]:
    """Statements that give the staging table what the target has beside its primary key, under names of this run.

    The search path must be empty, so that the catalogue writes every name with its schema.
    """
    target, staging = sql.written(plan.target), sql.written(plan.staging)
    statements = []
    for row in db.exec_driver_sql(_CONSTRAINTS, (target,)):
        name, definition = beside(row.name, plan), row.definition
        if row.kind == "f":
            name = row.name
            definition = definition.replace(f" REFERENCES {row.spelled}(", f" REFERENCES {staging}(", 1)
        statements.append(f"ALTER TABLE {staging} ADD CONSTRAINT {sql.name(name)} {definition}")
    for row in db.exec_driver_sql(_INDEXES, (target,)):
        assert row.definition.startswith("USING "), row.definition
        unique = "UNIQUE " if row.is_unique else ""
        statements.append(f"CREATE {unique}INDEX {sql.name(beside(row.name, plan))} ON {staging} {row.definition}")
    return statements


def properties(db: Connection, plan: Plan) -> list[str]:
    """Statements that give the staging table the owner, rights, comment, options and planner's hints of the target."""
    values = {"target": sql.written(plan.target), "staging": sql.written(plan.staging)}
    return [row for query in _PROPERTIES for row in db.exec_driver_sql(_NAMES + query, values).scalars()]


def beside(name: str, plan: Plan) -> str:
    """What an index of the staging table is called until the swap."""
    return derived(name, f"_{plan.token}")
