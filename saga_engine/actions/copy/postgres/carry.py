"""What the staging table takes over from the table that it replaces, as statements made from the catalogue."""
# ruff: noqa: S608  identifiers are quoted by PostgreSQL itself

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from saga_engine.actions.copy.names import derived
from saga_engine.actions.copy.plan import Plan
from saga_engine.actions.copy.postgres import sequences, sql

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
_OWNER: Final = (
    """SELECT format('ALTER TABLE %%s OWNER TO %%I', n.staging, pg_get_userbyid(c.relowner))
         FROM n JOIN pg_class c ON c.oid = n.old JOIN pg_class s ON s.oid = n.new WHERE c.relowner <> s.relowner""",
)
_RIGHTS: Final = (
    f"""SELECT DISTINCT format('REVOKE ALL ON %%s FROM %%s', n.staging, {_GRANTEE})
         FROM n JOIN pg_class c ON c.oid = n.new, aclexplode(c.relacl) AS g""",
    f"""SELECT format('GRANT %%s ON %%s TO %%s%%s', g.privilege_type, n.staging, {_GRANTEE},
                     CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' END)
         FROM n JOIN pg_class c ON c.oid = n.old JOIN pg_class s ON s.oid = n.new,
              aclexplode(CASE WHEN s.relacl IS NULL THEN c.relacl
                              ELSE coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END,
                                                            c.relowner)) END) AS g""",
    """SELECT format('COMMENT ON %%s %%s IS %%L', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.staging,
                     d.description)
         FROM n JOIN pg_class c ON c.oid = n.old JOIN pg_description d ON d.objoid = n.old AND d.objsubid = 0
        WHERE d.classoid = 'pg_class'::regclass""",
)
"""Rights and comment, of a table as of a sequence; the rights that default privileges have given the new one go
first, its owner's own among them. One on which nobody has granted anything has no list of rights, and means those of
its owner."""
_OPTIONS: Final = (
    """SELECT format('ALTER TABLE %%s SET (%%s)', n.staging, array_to_string(c.reloptions, ', '))
         FROM n JOIN pg_class c ON c.oid = n.old WHERE c.reloptions IS NOT NULL""",
    """SELECT format('ALTER TABLE %%s SET (toast.%%s)', n.staging, array_to_string(t.reloptions, ', toast.'))
         FROM n JOIN pg_class c ON c.oid = n.old JOIN pg_class t ON t.oid = c.reltoastrelid
        WHERE t.reloptions IS NOT NULL""",
    """SELECT format('ALTER TABLE %%s ALTER COLUMN %%I SET STATISTICS %%s', n.staging, a.attname, a.attstattarget)
         FROM n JOIN pg_attribute a ON a.attrelid = n.old
        WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget >= 0""",
    """SELECT format('ALTER TABLE %%s ALTER COLUMN %%I SET (%%s)', n.staging, a.attname, option)
         FROM n JOIN pg_attribute a ON a.attrelid = n.old, unnest(a.attoptions) AS option
        WHERE a.attnum > 0 AND NOT a.attisdropped AND option LIKE 'n\\_distinct%%'""",
)
"""Options, and what the planner is told of columns."""
_NAMES: Final = """
WITH n AS (SELECT %(staging)s::text AS staging, %(staging)s::regclass AS new, %(target)s::regclass AS old) """

# What LIKE leaves out, and what ADD CONSTRAINT has no word for: names are the old table's, which the new one will have.
_SAID: Final = """
WITH target AS (SELECT %(target)s::regclass AS oid)
SELECT format('ALTER INDEX %%s SET (%%s)', c.oid::regclass, array_to_string(c.reloptions, ', '))
  FROM target t JOIN pg_constraint o ON o.conrelid = t.oid JOIN pg_class c ON c.oid = o.conindid
 WHERE o.contype IN ('p', 'u', 'x') AND c.reloptions IS NOT NULL
UNION ALL SELECT format('COMMENT ON INDEX %%s IS %%L', d.objoid::regclass, d.description)
  FROM target t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_description d ON d.objoid = i.indexrelid
 WHERE d.classoid = 'pg_class'::regclass
UNION ALL SELECT format('COMMENT ON CONSTRAINT %%I ON %%s IS %%L', o.conname, t.oid, d.description)
  FROM target t JOIN pg_constraint o ON o.conrelid = t.oid JOIN pg_description d ON d.objoid = o.oid
 WHERE d.classoid = 'pg_constraint'::regclass AND o.contype IN ('p', 'u', 'x', 'f')
UNION ALL SELECT format('COMMENT ON TRIGGER %%I ON %%s IS %%L', g.tgname, t.oid, d.description)
  FROM target t JOIN pg_trigger g ON g.tgrelid = t.oid JOIN pg_description d ON d.objoid = g.oid
 WHERE d.classoid = 'pg_trigger'::regclass"""


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
    """Statements that give the staging table the owner, rights, comment, options and planner's hints of the target.

    The sequences of its identity columns get rights and comments, too; their owner is that of the table.
    """
    table = {"target": sql.written(plan.target), "staging": sql.written(plan.staging)}
    old = {row.column: row.name for row in sequences.of(db, plan.target) if row.is_identity}
    identities = [
        {"target": old[row.column], "staging": row.name} for row in sequences.of(db, plan.staging) if row.is_identity
    ]
    wanted = [(_OWNER + _RIGHTS + _OPTIONS, table), *((_RIGHTS, names) for names in identities)]
    return [
        row
        for queries, names in wanted
        for query in queries
        for row in db.exec_driver_sql(_NAMES + query, names).scalars()
    ]


def said(db: Connection, plan: Plan) -> list[str]:
    """Statements for the swapped table: comments on its indexes, keys and triggers, and the options of keys' indexes.

    To be asked before the swap. An option that is about how pages are filled holds from the next REINDEX on.
    """
    return list(db.exec_driver_sql(_SAID, {"target": sql.written(plan.target)}).scalars())


def beside(name: str, plan: Plan) -> str:
    """What an index of the staging table is called until the swap."""
    return derived(name, f"_{plan.token}")
