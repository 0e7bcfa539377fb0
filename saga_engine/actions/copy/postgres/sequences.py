"""Sequences at the cut-over: what was given is not given again, by the old table or by the new.

Meant are those that a column owns, and those that its default calls, whoever owns them. Their values must be the
column's: a number without more, so that the largest of them says how far the sequence must have gone.
"""
# ruff: noqa: S608  identifiers are quoted by PostgreSQL itself

from __future__ import annotations

from typing import Any, Final, TypeAlias

from sqlalchemy import Connection

from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.plan import Plan
from saga_engine.actions.copy.postgres import sql

Reached: TypeAlias = dict[tuple[str, bool], int | None]
"""How far the rows of a column have gone, up or, if True, down: None without rows, no entry where that is no bigint."""

# A domain is what is under it, however many lie between. An identity column has a sequence of its own; a serial one,
# and a default, share that of the old table. A default is the bare call, in brackets or cast, or its values are not
# the sequence's. The search path may be any.
_SEQUENCES: Final = """
WITH RECURSIVE typed AS (
    SELECT a.attnum, t.oid, t.typbasetype FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = %(table)s::regclass AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT d.attnum, t.oid, t.typbasetype FROM typed d JOIN pg_type t ON t.oid = d.typbasetype),
 defaults AS (
    SELECT oid, adnum AS attnum, pg_get_expr(adbin, adrelid) AS expression FROM pg_attrdef
     WHERE adrelid = %(table)s::regclass),
 uses AS (
    SELECT refobjsubid AS attnum, objid AS sequence, deptype = 'i' AS is_identity, true AS is_owned FROM pg_depend
     WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
       AND refobjid = %(table)s::regclass AND refobjsubid > 0 AND deptype IN ('a', 'i')
    UNION ALL SELECT d.attnum, e.refobjid, false, false FROM defaults d JOIN pg_depend e
        ON e.classid = 'pg_attrdef'::regclass AND e.objid = d.oid AND e.refclassid = 'pg_class'::regclass),
 used AS (
    SELECT attnum, sequence, bool_or(is_identity) AS is_identity, bool_or(is_owned) AS is_owned FROM uses
     WHERE EXISTS (SELECT FROM pg_class c WHERE c.oid = uses.sequence AND c.relkind = 'S') GROUP BY attnum, sequence)
SELECT quote_ident(a.attname) AS column, a.attname, u.is_identity, u.is_owned, q.seqincrement < 0 AS goes_down,
       format('%%I.%%I', n.nspname, c.relname) AS name, c.relname AS bare, c.oid,
       CASE WHEN t.oid NOT IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype)
            THEN 'is ' || format_type(a.atttypid, a.atttypmod)
            WHEN d.expression !~ '^\\(*nextval\\(''([^'']|'''')*''::regclass\\)(\\)|::[[:alnum:]_." ,()]*)*$'
            THEN 'has the default ' || d.expression END AS left_alone
  FROM used u JOIN pg_attribute a ON a.attrelid = %(table)s::regclass AND a.attnum = u.attnum
  JOIN typed t ON t.attnum = u.attnum AND t.typbasetype = 0
  JOIN pg_class c ON c.oid = u.sequence JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_sequence q ON q.seqrelid = c.oid LEFT JOIN defaults d ON d.attnum = u.attnum
 ORDER BY a.attnum, n.nspname, c.relname"""
# A name in a text is looked up when a row is inserted, by whatever search path there is: nobody knows which it will be.
_CALLED_BY_TEXT: Final = """
SELECT a.attname FROM pg_attrdef f JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
 WHERE f.adrelid = %s::regclass AND pg_get_expr(f.adbin, f.adrelid) ~ '\\mnextval\\(' AND NOT EXISTS (
       SELECT FROM pg_depend e JOIN pg_class c ON c.oid = e.refobjid AND c.relkind = 'S'
        WHERE e.classid = 'pg_attrdef'::regclass AND e.objid = f.oid AND e.refclassid = 'pg_class'::regclass)
 ORDER BY a.attnum"""
_MISSING: Final = """
SELECT %(name)s::text
 WHERE NOT (has_sequence_privilege(%(oid)s::oid, 'SELECT') AND has_sequence_privilege(%(oid)s::oid, 'UPDATE'))"""
_REACHED: Final = """
SELECT v IS NULL OR v = trunc(v) AND v BETWEEN -9223372036854775808 AND 9223372036854775807 AS fits,
       CASE WHEN v = trunc(v) AND v BETWEEN -9223372036854775808 AND 9223372036854775807 THEN v::bigint END AS value
  FROM (SELECT {most}({column})::numeric AS v FROM {table}) AS farthest"""
# What has gone farthest in the sequence's direction counts: the largest value of the new table, or where a sequence
# stands. One that nobody has called yet gives first what it stands at. No row where that is its own state already.
_FARTHEST: Final = """
SELECT value, is_called FROM (
    SELECT least(greatest(w.value, q.seqmin), q.seqmax) AS value, w.is_called, w.is_own
      FROM pg_sequence q CROSS JOIN (
           SELECT %(reached)s::bigint AS value, true AS is_called, false AS is_own
           UNION ALL SELECT last_value, is_called, true FROM {sequence}
           UNION ALL SELECT last_value, is_called, false FROM {old}) AS w
     WHERE q.seqrelid = %(name)s::regclass AND w.value IS NOT NULL
     ORDER BY w.value {order}, w.is_called DESC, w.is_own DESC LIMIT 1) AS farthest
 WHERE NOT is_own"""


def of(db: Connection, table: TableName) -> list[Any]:
    """The sequences of *table*'s columns: the ``column``, the ``name`` with its schema, both quoted; see above.

    ``left_alone`` says what the column is, where its values do not tell how far the sequence must go.
    """
    return list(db.exec_driver_sql(_SEQUENCES, {"table": sql.written(table)}))


def left_alone(db: Connection, table: TableName) -> list[str]:
    """Say which of them a swap leaves where they stand, although rows arrive that they did not number."""
    return [
        *(
            f"the sequence {row.name} is left where it stands: {row.attname} {row.left_alone}"
            for row in of(db, table)
            if row.left_alone
        ),
        *(
            f"the sequence that the default of {name} names by a text is left where it stands"
            for name in db.exec_driver_sql(_CALLED_BY_TEXT, (sql.written(table),)).scalars()
        ),
    ]


def counting(db: Connection, table: TableName) -> list[str]:
    """The columns whose numbers a sequence gives, each once."""
    return list(dict.fromkeys(row.attname for row in of(db, table) if not row.left_alone))


def missing_rights(db: Connection, table: TableName) -> list[str]:
    """Name the rights that this user would need on sequences that *table* uses; the owner of a table has its own."""
    rows = {row.oid: row for row in of(db, table) if not row.left_alone and not row.is_owned}
    missing = [db.exec_driver_sql(_MISSING, {"oid": row.oid, "name": row.name}).scalar() for row in rows.values()]
    return [f"SELECT and UPDATE on the sequence {name}" for name in missing if name]


def reached(db: Connection, plan: Plan) -> Reached:
    """How far the loaded rows have gone. It may read the whole staging table, so it is asked before anybody waits."""
    found: Reached = {}
    for row in of(db, plan.target):
        if not row.left_alone:
            query = _REACHED.format(
                most="min" if row.goes_down else "max",
                column=row.column.replace("%", "%%"),
                table=sql.qualified(plan.staging),
            )
            fits, value = db.exec_driver_sql(query).one()
            found |= {(row.column, row.goes_down): value} if fits else {}
    return found


def let_go_on(db: Connection, plan: Plan, reached: Reached) -> list[str]:
    """Statements that set the sequences of the swapped table behind all that was given: at once, and for good.

    Behind the values of the new table, and behind what the old table has given while the approval waited; never back,
    also if others have called the sequence since. Those whose values say nothing of it are left where they stand.
    """
    old = {row.column: row.name for row in of(db, plan.kept) if row.is_identity}
    statements = []
    for row in of(db, plan.target):
        if row.left_alone:
            continue
        if (row.column, row.goes_down) not in reached:
            why = f"the largest {row.attname} is no whole number that it could give"
            statements.append(sql.comment(f"the sequence {row.name} is left where it stands: {why}"))
            continue
        farthest = _farthest(db, row, old[row.column] if row.is_identity else row.name, reached)
        if farthest is not None:
            statements.append(_set(row, farthest.value, is_called=farthest.is_called))
    return statements


def _farthest(db: Connection, row: Any, old: str, reached: Reached) -> Any:  # noqa: ANN401  rows of _SEQUENCES, _FARTHEST
    query = _FARTHEST.format(
        order="ASC" if row.goes_down else "DESC",
        sequence=row.name.replace("%", "%%"),
        old=old.replace("%", "%%"),
    )
    return db.exec_driver_sql(query, {"reached": reached[row.column, row.goes_down], "name": row.name}).one_or_none()


def _set(row: Any, value: int, *, is_called: bool) -> str:  # noqa: ANN401  a row of _SEQUENCES
    shown = row.name.replace("'", "''")
    state, behind = "(last_value, is_called)", f"({value}, {str(is_called).lower()})"
    if row.goes_down:
        behind, state = "(last_value, NOT is_called)", f"({value}, {str(not is_called).lower()})"
    return f"SELECT setval('{shown}', {value}, {str(is_called).lower()}) FROM {row.name} WHERE {state} < {behind}"
