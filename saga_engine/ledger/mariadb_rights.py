"""Which rights a MariaDB user lacks to make the ledger or to write it; nothing is tried, nothing is changed."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from saga_engine.ledger.mariadb_errors import code

DENIED: Final = (1142, 1143)
"""A command on a table, and on a column of it."""
SERVER: Final = text(
    "SELECT version() AS version, @@read_only OR @@tx_read_only AS read_only,"
    " @@log_bin AND @@binlog_format = 'STATEMENT' AS by_statement"
)
THERE: Final = text("SELECT table_name FROM information_schema.tables WHERE table_schema = :schema")
GRANT: Final = re.compile(r"GRANT (?P<rights>.+?) ON (?P<schema>\*|`(?:[^`]|``)+`)\.(?P<table>\*|`(?:[^`]|``)+`) TO ")
# EXPLAIN needs the rights of the statement that it explains.
ASKED: Final = {
    "SELECT": "EXPLAIN SELECT * FROM {}",
    "INSERT": "EXPLAIN INSERT INTO {} (token) VALUES (0)",
    "UPDATE": "EXPLAIN UPDATE {} SET token = 0 WHERE FALSE",
    "DELETE": "EXPLAIN DELETE FROM {} WHERE FALSE",
}
IDENTITY_TABLE: Final = "saga_ledger"
WILDCARDS: Final[dict[str, str]] = {"_": ".", "%": ".*"}


def missing(db: Connection, schema: str, tables: list[str]) -> list[str]:
    """Name what stands in the way, as a person can mend it."""
    server = db.execute(SERVER).one()
    found = unfit(server.version, read_only=server.read_only, by_statement=server.by_statement)
    return found or _not_granted(db, schema, tables)


def unfit(version: str, *, read_only: bool, by_statement: bool) -> list[str]:
    """Name what a server is that cannot keep a ledger."""
    found = []
    if "MariaDB" not in version:
        found.append(f"a MariaDB server: this is {version}, on which the ledger was never tried")
    if read_only:
        found.append("to write: this session is read-only, or the server is a replica")
    if by_statement:
        found.append("binlog_format MIXED or ROW: with STATEMENT the server takes no write at READ COMMITTED")
    return found


def _not_granted(db: Connection, schema: str, tables: list[str]) -> list[str]:
    there = set(db.scalars(THERE, {"schema": schema}))
    absent = [table for table in tables if table not in there]
    grants = [match for line in db.scalars(text("SHOW GRANTS")) if (match := GRANT.match(line))] if absent else []
    found = [
        f"{right} on {schema}.*"
        for right in ("CREATE", *ASKED)
        if not all(any(_covers(grant, right, schema, table) for grant in grants) for table in absent)
    ]
    for table in (table for table in tables if table in there):
        rights = ["SELECT"] if table == IDENTITY_TABLE else list(ASKED)
        found += [f"{right} on {schema}.{table}" for right in rights if _denied(db, ASKED[right], schema, table)]
    return found


def _denied(db: Connection, statement: str, schema: str, table: str) -> bool:
    quoted = db.dialect.identifier_preparer.quote_identifier
    try:
        with db.execute(text(statement.format(f"{quoted(schema)}.{quoted(table)}"))):
            return False
    except DBAPIError as error:
        if code(error) in DENIED:
            return True
        raise


def _covers(grant: re.Match[str], right: str, schema: str, table: str) -> bool:
    """Say whether a line of SHOW GRANTS gives *right*; a name of a database may hold the wildcards of LIKE there."""
    rights = grant["rights"].split(", ")
    if right not in rights and "ALL PRIVILEGES" not in rights:
        return False
    return bool(re.fullmatch(_pattern(grant["schema"]), schema) and re.fullmatch(_pattern(grant["table"]), table))


def _pattern(name: str) -> str:
    if name == "*":
        return ".*"
    tokens: list[str] = re.findall(r"\\[_%]|.", name[1:-1].replace("``", "`"))
    return "".join(WILDCARDS.get(token) or re.escape(token.removeprefix("\\")) for token in tokens)
