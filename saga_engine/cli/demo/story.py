"""The story of the demo: a worker dies in the middle and nothing is lost; a value is damaged and nothing is kept."""

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from saga_engine import errors
from saga_engine.cli.demo import place, shop
from saga_engine.cli.demo.screen import Screen, reached
from saga_engine.cli.demo.workers import WorkerProcess
from saga_engine.runtime import registry
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.views import ApprovalView, RunView
from saga_engine.settings import load

SAGA: Final = "migrate_table"
LINES_CHUNK_ROWS: Final = 4_000
ORDERS_CHUNK_ROWS: Final = 1_000
KILL_AT: Final = 0.4
"""The part of the chunks after which the worker is killed."""
LOOK_SECONDS: Final = 0.08
CHAPTER_SECONDS_MAX: Final = 120.0
STILL_WAITING: Final = 8
SPOIL: Final = "UPDATE \"{table}\" SET note = 'a value that nobody wrote' WHERE id = 12345"
"""What the demo does behind the run's back; the table is the plan's staging table."""


class Story:
    """One demo, in one folder."""

    def __init__(self, folder: Path, screen: Screen, *, yes: bool) -> None:
        self._folder, self._screen, self._yes = folder, screen, yes
        self._workers: list[WorkerProcess] = []

    def tell(self, actor: str) -> int:
        """Tell it all; the exit code."""
        self._screen.title("A shop and a warehouse, in two SQLite files")
        place.make(self._folder, actor)
        self._screen.say(
            f"{shop.CUSTOMERS + shop.ORDERS + shop.LINES:,} rows in three related tables, many of them awkward"
        )
        settings = load(self._folder)
        try:
            with Engine(settings=settings, registry=registry.load(settings.workflows)) as engine:
                return self._chapters(engine)
        finally:
            for worker in self._workers:
                worker.stop()

    def _chapters(self, engine: Engine) -> int:
        moved = self._start(engine, "order_lines", LINES_CHUNK_ROWS)
        self._kill_in_the_middle(engine, moved)
        if not self._approved(engine, moved):
            return STILL_WAITING
        damaged = self._damage(engine)
        self._look_back(engine, moved, damaged)
        return 0

    def _start(self, engine: Engine, table: str, chunk_rows: int) -> str:
        self._screen.title(f"Move {table} to the warehouse")
        given = {"source": "shop", "target": "warehouse", "table": table, "chunk_rows": chunk_rows}
        run = engine.start(SAGA, given)
        self._screen.command(f"saga run {SAGA} " + " ".join(f"--input {name}={value}" for name, value in given.items()))
        self._screen.say(f"{run.name} is {run.status}")
        return run.id

    def _work(self) -> WorkerProcess:
        worker = WorkerProcess(self._folder, len(self._workers) + 1)
        self._workers.append(worker)
        self._screen.command(f"saga worker        process {worker.pid}")
        return worker

    def _kill_in_the_middle(self, engine: Engine, run_id: str) -> None:
        worker = self._work()
        self._follow(engine, run_id, _is_loading_at(KILL_AT))
        died_of = worker.kill()
        run = engine.get(run_id)
        self._screen.say(f"kill -9 {worker.pid}: the worker died of signal {died_of} in {run.state}", "bold red")
        self._screen.say(self._in_target(), "red")
        self._screen.title("Another worker takes over")
        self._work()
        run = self._follow(engine, run_id, lambda run: run.status == "waiting" or run.ended)
        self._screen.say(self._in_target(), "green")
        report = run.results["VALIDATING"]
        self._screen.say(
            f"validated: {report['source_rows']:,} rows in the shop, {report['target_rows']:,} in the warehouse, "
            f"{report['chunks_equal']} of {report['chunks']} chunk checksums equal"
        )

    def _approved(self, engine: Engine, run_id: str) -> bool:
        """Ask the person, or answer for them, or say how to answer."""
        approval = engine.approvals(run_id)[0]
        self._screen.title(f"{approval.run} waits in {approval.state} for {approval.need} of group {approval.role}")
        if not self._answer(approval):
            return False
        reply = engine.approve(run_id, shown=approval.digest, reason="demo")
        self._screen.say(f"approved: {reply.source} -> {reply.state}", "green")
        run = self._follow(engine, run_id, lambda run: run.ended)
        self._screen.say(f"{run.name} is {run.status} in {run.state}", "bold green")
        same = shop.imprint(self._folder / "shop.db", "order_lines") == shop.imprint(
            self._folder / "warehouse.db", "order_lines"
        )
        if run.status != "completed" or not same:
            raise errors.SagaError(
                f"the demo expected a completed run and equal tables, and got {run.status}, equal: {same}"
            )
        self._screen.say(
            f"both sides, read by another connection: {shop.imprint(self._folder / 'warehouse.db', 'order_lines')}"
        )
        return True

    def _answer(self, approval: ApprovalView) -> bool:
        command = f"saga approve {approval.run} --shown {approval.digest} --reason demo"
        if self._yes:
            self._screen.command(command)
            return True
        if not self._screen.interactive:
            self._screen.say("nobody is at a terminal to ask, and --yes was not given. Answer with:")
            self._screen.command(f"cd {self._folder} && {command}")
            self._screen.command(f"cd {self._folder} && saga worker --until-idle")
            return False
        return click.confirm(f"  Switch the warehouse over to the new {approval.saga}?", default=True)

    def _damage(self, engine: Engine) -> str:
        """Run a second migration, and change one value behind its back, while it is paused before the validation."""
        before = shop.imprint(self._folder / "warehouse.db", "orders")
        run_id = self._start(engine, "orders", ORDERS_CHUNK_ROWS)
        self._follow(engine, run_id, _is_loading_at(0.0))
        engine.pause(run_id, reason="demo: one value is damaged now")
        run = self._follow(engine, run_id, lambda run: run.state == "VALIDATING")
        self._screen.say(self._spoil(run.results["PREFLIGHT"]["staging"]["name"]), "red")
        engine.resume(run_id, reason="demo")
        run = self._follow(engine, run_id, lambda run: run.ended)
        self._screen.say(f"{run.name} is {run.status} in {run.state}", "bold yellow")
        self._screen.say(f"the validation named it: {_differences(engine, run_id)}")
        after = shop.imprint(self._folder / "warehouse.db", "orders")
        self._screen.say(f"warehouse.orders before: {before}")
        self._screen.say(f"warehouse.orders after:  {after}")
        if before != after or run.status != "rolled_back" or self._tables() != self._expected_tables():
            raise errors.SagaError(
                f"the demo expected an untouched warehouse, and found {self._tables()}, {run.status}"
            )
        self._screen.say("the warehouse is as it was: same rows, no staging table", "green")
        return run_id

    def _spoil(self, staging: str) -> str:
        with sqlite3.connect(self._folder / "warehouse.db", timeout=10) as db:
            db.execute(SPOIL.format(table=staging))
        db.close()
        return SPOIL.format(table=staging)

    def _look_back(self, engine: Engine, *run_ids: str) -> None:
        self._screen.title("What was recorded")
        for run_id in run_ids:
            run = engine.get(run_id)
            self._screen.command(f"saga history {run.name}")
            for line in engine.history(run_id):
                moves = [f"{c['source'] or 'start'} -> {c['target']}" for c in line.commands if c["kind"] == "Move"]
                self._screen.say(f"{line.at:%H:%M:%S}  {line.kind:<18} {', '.join(moves)}".rstrip())
        self._screen.title("Look around")
        for command in (
            f"cd {self._folder}",
            "saga status",
            "saga list",
            "saga show @last",
            "saga history @last",
            "saga graph migrate_table",
        ):
            self._screen.command(command)

    def _follow(self, engine: Engine, run_id: str, reached_it: Callable[[RunView], bool]) -> RunView:
        """Show the run until it is there; a run that is parked or takes too long ends the demo with its reason."""
        end = time.monotonic() + CHAPTER_SECONDS_MAX
        with self._screen.bar() as bar:
            while True:
                run = engine.get(run_id)
                bar.show(run)
                if reached_it(run):
                    return run
                if self._stands_still(run) or time.monotonic() > end:
                    break
                time.sleep(LOOK_SECONDS)
        log = self._workers[-1].log if self._workers else self._folder
        raise errors.SagaError(
            f"the demo stopped in {run.state} ({run.status}); ask `saga why {run.name}`, and see {log}"
        )

    def _stands_still(self, run: RunView) -> bool:
        return run.status == "parked" or run.ended or not any(worker.alive for worker in self._workers)

    def _in_target(self) -> str:
        """How many chunks the target's ledger has, and which attempt wrote them."""
        db = sqlite3.connect(f"file:{self._folder / 'warehouse.db'}?mode=ro", uri=True)
        rows = db.execute(
            "SELECT token, count(*) FROM saga_ledger_parts WHERE part LIKE 'chunk%' GROUP BY token ORDER BY token"
        ).fetchall()
        db.close()
        told = ", ".join(f"{count} by attempt {token}" for token, count in rows) or "none"
        return f"chunks committed in the warehouse: {told}"

    def _tables(self) -> set[str]:
        db = sqlite3.connect(f"file:{self._folder / 'warehouse.db'}?mode=ro", uri=True)
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        db.close()
        return {name for name in names if not name.startswith("saga_ledger")}

    def _expected_tables(self) -> set[str]:
        return {"orders", "order_lines"}


def _is_loading_at(part: float) -> Callable[[RunView], bool]:
    def there(run: RunView) -> bool:
        done, total, _ = reached(run)
        return run.state == "LOADING" and total > 0 and done >= total * part

    return there


def _differences(engine: Engine, run_id: str) -> str:
    """What the validation found, from the journal: its result was undone with the rollback."""
    results = [c for line in engine.history(run_id) for c in line.commands if c["kind"] == "AddResult"]
    report = json.loads(next(c["value"] for c in results if c["state"] == "VALIDATING"))
    named = ", ".join(f"{found['kind']} at key {' '.join(found['key'])}" for found in report["differences"])
    return f"{named} ({report['chunks_equal']} of {report['chunks']} chunk checksums equal)"
