"""What a database looks like, whole, read by its plain driver: for "as before", and for "nothing else has changed"."""

from __future__ import annotations

from typing import Any, Final

from tests.actions.support import Database, Row

# Storage, owner, rights and options of every relation, then everything that hangs on one, in the server's own words.
_POSTGRES: Final = {
    "relations": """
        SELECT relname, relkind, oid, relfilenode, relowner, relacl::text, reloptions::text FROM pg_class
         WHERE relnamespace = 'public'::regnamespace ORDER BY relname""",
    "columns": """
        SELECT a.attrelid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
               pg_get_expr(d.adbin, d.adrelid)
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 ORDER BY 1, a.attnum""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
         WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "triggers": "SELECT tgname, pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2",
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1",
}
_SQLITE: Final = {
    "schema": """
        SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master WHERE tbl_name NOT LIKE 'saga_ledger%'
         ORDER BY type, name""",
}


def whole(database: Database) -> dict[str, list[Row]]:
    """Schema, storage and all rows, the ledger left out. Equal before and after: nothing has been touched."""
    queries = _SQLITE if database.kind == "sqlite" else _POSTGRES
    seen: dict[str, list[Row]] = {name: database.rows(query) for name, query in queries.items()}
    for table in _tables(database):
        rows: list[Any] = database.rows(f'SELECT * FROM "{table}"')
        seen[f"rows of {table}"] = sorted(rows, key=repr)
    return seen


def _tables(database: Database) -> list[str]:
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'saga_ledger%'"
        if database.kind == "sqlite"
        else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    return sorted(name for (name,) in database.rows(query))
