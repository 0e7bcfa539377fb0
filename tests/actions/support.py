"""A migration taken step by step, without an engine; databases filled and read by their plain drivers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from saga_engine.actions.copy.export import drop_export, export
from saga_engine.actions.copy.load import load, target_as_before, unload
from saga_engine.actions.copy.plan import CutOver, Exported, Loaded, Move, Plan, Report
from saga_engine.actions.copy.preflight import preflight
from saga_engine.actions.copy.swap import cut_over
from saga_engine.actions.copy.validate import validate
from saga_engine.domain.definition.values import Connection, InDoubt
from saga_engine.testing import UnitStep, step

Row = tuple[Any, ...]


class Database:
    """One database, used as a person would with its own driver."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.kind = make_url(url).get_backend_name()

    def run(self, *statements: str) -> None:
        """Run statements, and commit."""
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.path)) as db, db:
                for statement in statements:
                    db.execute(statement)
            return
        with psycopg.connect(self.libpq) as server:
            for statement in statements:
                server.execute(statement.encode())

    def fill(self, table: str, rows: Iterable[Sequence[object]]) -> None:
        """Insert rows into a quoted table."""
        given = [tuple(row) for row in rows]
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.path)) as db, db:
                db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(given[0]))})", given)
            return
        with psycopg.connect(self.libpq) as server, server.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(given[0]))})".encode(), given)

    def rows(self, query: str) -> list[Row]:
        """Select, in the order that the query gives; times in UTC."""
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.path)) as db:
                found: list[Row] = db.execute(query).fetchall()
            return found
        with psycopg.connect(self.libpq, options="-c TimeZone=UTC") as server:
            return server.execute(query.encode()).fetchall()

    def tables(self) -> set[str]:
        """Every table, index, sequence and view of a user, without the ledger's."""
        query = (
            "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
            if self.kind == "sqlite"
            else "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = 'public'"
        )
        return {name for (name,) in self.rows(query) if not name.startswith("saga_ledger")}

    @property
    def path(self) -> str:
        return str(make_url(self.url).database)

    @property
    def libpq(self) -> str:
        return self.url.replace("+psycopg", "")


class Mover:
    """The steps of one run, in their order; each hands its result to those after it."""

    def __init__(self, move: Move, source: Database, target: Database, run: str = "run") -> None:
        connections = {"source": source.url, "target": target.url}
        self.source, self.target = source, target
        self.preflighting = step(move, connections=connections, key=f"{run}.1")
        self.exporting = self.preflighting.following(f"{run}.2")
        self.loading = self.preflighting.following(f"{run}.3")
        self.validating = self.preflighting.following(f"{run}.4")
        self.cutting_over = self.preflighting.following(f"{run}.5")
        self.validated = False

    def preflight(self) -> Plan:
        plan = preflight(self.preflighting)
        self.preflighting.given(preflight).returns(plan)
        return plan

    def export(self) -> Exported:
        exported = export(self.exporting)
        self.exporting.given(export).returns(exported)
        return exported

    def load(self) -> Loaded:
        loaded = load(self.loading)
        self.loading.given(load).returns(loaded)
        return loaded

    def validate(self) -> Report:
        report = validate(self.validating)
        self.validating.given(validate).returns(report)
        self.validated = True
        return report

    def cut_over(self) -> CutOver:
        """A test that is not about the validation need not ask for it."""
        if not self.validated:
            self.validate()
        return cut_over(self.cutting_over)

    def up_to_load(self) -> Plan:
        plan = self.preflight()
        self.export()
        self.load()
        return plan

    def whole(self) -> Report:
        self.up_to_load()
        report = self.validate()
        self.cut_over()
        return report

    def roll_back(self) -> None:
        """Undo as the engine does: the load with its proof, then the export."""
        self.loading.undo(unload, InDoubt(), verify=target_as_before)
        self.exporting.undo(drop_export, InDoubt())


def move(table: str, exports: Path, **more: Any) -> Move:
    """An input between the connections that ``Mover`` knows."""
    return Move(source=Connection("source"), target=Connection("target"), table=table, exports=str(exports), **more)


__all__ = ["Database", "Mover", "UnitStep", "move"]
