"""Foreign keys to other tables: proved by reading, and made at the swap, so that nobody is held up meanwhile.

A staging table with foreign keys of its own would stand in the way of whoever deletes a row that it refers to, or lose
rows by ON DELETE CASCADE, for as long as an approval waits; and so would the kept table ever after. So LOADING and the
swap look for rows without the one that they refer to. The swap takes the foreign keys from the old table and gives
them to the new one, unproved, which takes no time; then a transaction of its own has PostgreSQL prove them. Those to
the table itself concern nobody else and are made with the indexes.
"""
# ruff: noqa: S608  identifiers are quoted by PostgreSQL itself

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.plan import Plan
from saga_engine.actions.copy.postgres import sql
from saga_engine.errors import MoveError

# A reference to a partitioned table has a row for each partition, too: its own has no parent.
_REFERENCES: Final = """
SELECT o.conname AS name, pg_get_constraintdef(o.oid) AS definition, o.convalidated AS is_proved
  FROM pg_constraint o WHERE o.conrelid = to_regclass(%s) AND o.contype = 'f' AND o.confrelid <> o.conrelid
   AND o.conparentid = 0 ORDER BY o.conname"""
# The operators and the collation are those with which PostgreSQL itself would compare (ri_triggers.c,
# RI_Initial_Check). MATCH FULL wants all values or none; else a row that lacks one refers to nothing.
_ORPHANS: Final = """
SELECT o.conname AS name, o.confrelid::regclass::text AS parent,
       string_agg(format('s.%%I IS NOT NULL', a.attname), CASE o.confmatchtype WHEN 'f' THEN ' OR ' ELSE ' AND ' END)
         AS refers,
       format('%%s%%s AS p WHERE ', CASE WHEN r.relkind <> 'p' THEN 'ONLY ' END, o.confrelid::regclass) || string_agg(
         format('p.%%I%%s OPERATOR(%%I.%%s) s.%%I', b.attname, ' COLLATE ' || quote_ident(m.nspname) || '.'
           || quote_ident(l.collname), n.nspname, q.oprname, a.attname), ' AND ') AS its_parent
  FROM pg_constraint o JOIN pg_class r ON r.oid = o.confrelid
 CROSS JOIN unnest(o.conkey, o.confkey, o.conpfeqop) AS k(own, theirs, operator)
  JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.own
  JOIN pg_attribute b ON b.attrelid = o.confrelid AND b.attnum = k.theirs
  JOIN pg_operator q ON q.oid = k.operator JOIN pg_namespace n ON n.oid = q.oprnamespace
  LEFT JOIN (pg_collation l JOIN pg_namespace m ON m.oid = l.collnamespace) ON l.oid = b.attcollation
 WHERE o.conrelid = %s::regclass AND o.conname = ANY (%s)
 GROUP BY o.oid, o.conname, o.confrelid, o.confmatchtype, r.relkind ORDER BY o.conname"""
_RIGHTS: Final = """
SELECT DISTINCT w.missing
  FROM pg_constraint o JOIN pg_class r ON r.oid = o.confrelid CROSS JOIN unnest(o.confkey) AS k(attnum)
 CROSS JOIN LATERAL (VALUES
    (NOT has_schema_privilege(r.relnamespace, 'USAGE'), 'USAGE on the schema ' || r.relnamespace::regnamespace::text),
    (NOT has_column_privilege(r.oid, k.attnum, 'SELECT') OR NOT has_column_privilege(r.oid, k.attnum, 'REFERENCES'),
     'SELECT and REFERENCES on ' || r.oid::regclass::text),
    (o.convalidated AND row_security_active(r.oid),
     'BYPASSRLS, for row-level security holds on ' || r.oid::regclass::text)
  ) AS w(is_so, missing)
 WHERE o.conrelid = %s::regclass AND o.contype = 'f' AND o.confrelid <> o.conrelid AND o.conparentid = 0 AND w.is_so
 ORDER BY 1"""


def of(db: Connection, table: TableName) -> list[Any]:
    """The foreign keys of *table* to others: ``name``, ``definition``, and ``is_proved``. The search path is empty."""
    return list(db.exec_driver_sql(_REFERENCES, (sql.written(table),)))


def proved(db: Connection, table: TableName) -> list[str]:
    """Those of them that hold for every row, by name; one that is NOT VALID says nothing of the rows that are there."""
    return [one.name for one in of(db, table) if one.is_proved]


def missing_rights(db: Connection, table: TableName) -> list[str]:
    """Name what this user would need on the tables to which *table* refers."""
    db.exec_driver_sql(sql.QUALIFY)
    return list(db.exec_driver_sql(_RIGHTS, (sql.written(table),)).scalars())


def refuse_orphans(db: Connection, plan: Plan, table: TableName, catalogued: TableName, names: Sequence[str]) -> None:
    """Raise ``MoveError`` if a row of *table* breaks one of the foreign keys *names* that *catalogued* has."""
    if not names:
        return
    for found in db.exec_driver_sql(_ORPHANS, (sql.written(catalogued), list(names))).all():
        key = ", ".join(f"s.{sql.name(name)}::text" for name in plan.key)
        query = (
            f"SELECT {key} FROM {sql.written(table)} AS s WHERE ({found.refers})"
            f" AND NOT EXISTS (SELECT FROM {found.its_parent}) LIMIT 1"
        )
        row = db.exec_driver_sql(query.replace("%", "%%")).one_or_none()
        if row is not None:
            raise MoveError(
                f"the foreign key {found.name} does not hold: {table} has rows, such as key ({', '.join(row)}),"
                f" that refer to what is not in {found.parent}"
            )


def handed_over(db: Connection, plan: Plan) -> list[str]:
    """Statements for the swapped tables that take the foreign keys from the old one and give them to the new one.

    To be asked before the swap. The lock on the tables that are referred to is held until the transaction ends. A
    staging table that an older release has loaded has its foreign keys already.
    """
    target, kept, found = sql.written(plan.target), sql.written(plan.kept), of(db, plan.target)
    there = {one.name for one in of(db, plan.staging)}
    return [
        *(f"ALTER TABLE {kept} DROP CONSTRAINT {sql.name(one.name)}" for one in found),
        *(
            f"ALTER TABLE {target} ADD CONSTRAINT {sql.name(one.name)} {one.definition}"
            f"{' NOT VALID' if one.is_proved else ''}"  # else it is in the definition already
            for one in found
            if one.name not in there
        ),
    ]


def to_prove(db: Connection, plan: Plan) -> list[str]:
    """See ``dialect.Dialect``. What an older release has loaded has them, proved when they were made."""
    db.exec_driver_sql(sql.QUALIFY)
    there = {one.name for one in of(db, plan.staging)}
    return [name for name in proved(db, plan.target) if name not in there] if plan.before.exists else []


def prove(db: Connection, plan: Plan, names: Sequence[str]) -> list[str]:
    """See ``dialect.Dialect``. Others can read and write the tables meanwhile; a row that cannot be is named first.

    The swap is done and the table is its users': they may have dropped, renamed or proved some themselves.
    """
    db.exec_driver_sql(sql.QUALIFY)
    there = {one.name: one.is_proved for one in of(db, plan.target)}
    left = [name for name in names if there.get(name) is False]
    refuse_orphans(db, plan, plan.target, plan.target, left)
    statements = [f"ALTER TABLE {sql.written(plan.target)} VALIDATE CONSTRAINT {sql.name(name)}" for name in left]
    for statement in statements:
        sql.run(db, statement)
    gone = (name for name in names if name not in there)
    return [*statements, *(sql.comment(f"the foreign key {name} is not there any more: not proved") for name in gone)]
