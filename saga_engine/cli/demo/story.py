"""The story of the demo: a worker dies in the middle and nothing is lost; a value is damaged and nothing is kept."""

import json
import shlex
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from saga_engine import errors
from saga_engine.cli import folder as state
from saga_engine.cli.demo import place, shop
from saga_engine.cli.demo.screen import Screen
from saga_engine.cli.demo.workers import WorkerProcess
from saga_engine.cli.here import at_terminal
from saga_engine.cli.story import Teller, as_line
from saga_engine.runtime import registry
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.views import ApprovalView, RunView
from saga_engine.settings import load

SAGA: Final = "migrate_table"
LINES_CHUNK_ROWS: Final = 4_000
ORDERS_CHUNK_ROWS: Final = 1_000
KILL_AT: Final = 0.3
"""The part of the chunks after which the worker is killed."""
LOOK_SECONDS: Final = 0.04
CHAPTER_SECONDS_MAX: Final = 120.0
STILL_WAITING: Final = 8
SPOIL: Final = "UPDATE \"{table}\" SET note = 'a value that nobody wrote' WHERE id = 12345"
"""What the demo does behind the run's back; the table is the plan's staging table."""


class Story:
    """One demo, in one folder. *elsewhere*: variables of the reader's shell that name another store."""

    def __init__(self, folder: Path, screen: Screen, *, yes: bool, elsewhere: tuple[str, ...] = ()) -> None:
        self._folder, self._screen, self._yes, self._elsewhere = folder, screen, yes, elsewhere
        self._workers: list[WorkerProcess] = []
        self._store = ""
        self._there = {"orders"}
        """The tables that the warehouse must have at the end, beside the ledger's."""

    def tell(self, actor: str) -> int:
        """Tell it all; the exit code."""
        self._screen.title("A shop and a warehouse, in two SQLite files")
        place.make(self._folder, actor)
        self._screen.say(
            f"{shop.CUSTOMERS + shop.ORDERS + shop.LINES:,} rows in three related tables, many of them awkward"
        )
        settings = load(self._folder)
        self._store = settings.store_url().get_secret_value()
        try:
            with Engine(settings=settings, registry=registry.load(settings.workflows)) as engine:
                return self._chapters(engine)
        finally:
            for worker in self._workers:
                worker.stop()

    def _chapters(self, engine: Engine) -> int:
        moved = self._start(engine, "order_lines", LINES_CHUNK_ROWS)
        self._kill_in_the_middle(engine, moved)
        if not self._decided(engine, moved):
            return STILL_WAITING
        damaged = self._damage(engine)
        self._look_back(engine, moved, damaged)
        return 0

    def _start(self, engine: Engine, table: str, chunk_rows: int) -> str:
        self._screen.title(f"Move {table} to the warehouse")
        given = {"source": "shop", "target": "warehouse", "table": table, "chunk_rows": chunk_rows}
        run = engine.start(SAGA, given)
        state.remember_last(self._store, run.id)
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
        self._follow(engine, run_id, lambda run: run.state == "LOADING" and self._has_loaded(KILL_AT))
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

    def _decided(self, engine: Engine, run_id: str) -> bool:
        """Ask the person, or answer for them, and see what follows; False where there is nobody to ask."""
        approval = engine.approvals(run_id)[0]
        asked = f"{approval.need} of {' or '.join(approval.roles)}"
        self._screen.title(f"{approval.run} waits in {approval.state} for {asked}")
        approved = self._answer(approval)
        if approved is None:
            return False
        give = engine.approve if approved else engine.reject
        reply = give(run_id, shown=approval.digest, reason="demo")
        self._screen.say(f"{'approved' if approved else 'rejected'}: {reply.source} → {reply.state}", "green")
        run = self._follow(engine, run_id, lambda run: run.ended)
        if approved:
            self._completed(run)
        else:
            self._taken_back(run)
        return True

    def _answer(self, approval: ApprovalView) -> bool | None:
        command = f"saga approve {approval.run} --shown {approval.digest} --reason demo"
        if self._yes:
            self._screen.command(command)
            return True
        if not (self._screen.interactive and at_terminal()):
            self._screen.say("nobody is at a terminal to ask, and --yes was not given. Answer with:")
            self._go_there()
            self._screen.command(command)
            self._screen.command("saga worker --until-idle")
            return None
        return click.confirm("  Let the warehouse have this order_lines? [n: take it all back]", default=True)

    def _completed(self, run: RunView) -> None:
        """The warehouse has the table, and it is the shop's."""
        self._screen.say(f"{run.name} is {run.status} in {run.state}", "bold green")
        shops, warehouses = (shop.imprint(self._folder / name, "order_lines") for name in ("shop.db", "warehouse.db"))
        if run.status != "completed" or shops != warehouses:
            raise errors.SagaError(
                f"the demo expected a completed run and equal tables, and got {run.status}, {shops}, {warehouses}"
            )
        self._screen.say(f"both sides, read by another connection: {warehouses}")
        self._there.add("order_lines")

    def _taken_back(self, run: RunView) -> None:
        """The warehouse is as it was."""
        self._screen.say(f"{run.name} is {run.status} in {run.state}", "bold yellow")
        if run.status != "rolled_back" or self._tables() != self._there:
            raise errors.SagaError(
                f"the demo expected an untouched warehouse, and found {self._tables()}, {run.status}"
            )
        self._screen.say("the warehouse is as it was: same tables, no staging table", "green")

    def _damage(self, engine: Engine) -> str:
        """Run a second migration, and change one value behind its back, while it is paused before the validation."""
        before = shop.imprint(self._folder / "warehouse.db", "orders")
        # Nothing is loaded until the pause is recorded: a quick worker would be past the validation by then.
        with self._nobody_writes():
            run_id = self._start(engine, "orders", ORDERS_CHUNK_ROWS)
            self._follow(engine, run_id, lambda run: run.state == "LOADING")
            paused = engine.pause(run_id, reason="demo: one value is damaged now")
        self._screen.command(f"saga pause {paused.run}")
        run = self._follow(engine, run_id, lambda run: run.state == "VALIDATING")
        self._screen.say(self._spoil(run.results["PREFLIGHT"]["staging"]["name"]), "red")
        engine.resume(run_id, reason="demo")
        self._screen.command(f"saga resume {run.name}")
        run = self._follow(engine, run_id, lambda run: run.ended)
        self._screen.say(f"the validation named it: {_differences(engine, run_id)}")
        after = shop.imprint(self._folder / "warehouse.db", "orders")
        self._screen.say(f"warehouse.orders before: {before}")
        self._screen.say(f"warehouse.orders after:  {after}")
        if before != after:
            raise errors.SagaError("the demo expected the rows of warehouse.orders to be as before")
        self._taken_back(run)
        return run_id

    @contextmanager
    def _nobody_writes(self) -> Iterator[None]:
        """Hold the warehouse's write lock for the length of the block."""
        with closing(sqlite3.connect(self._folder / "warehouse.db", timeout=10, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            yield
            db.execute("ROLLBACK")

    def _spoil(self, staging: str) -> str:
        with sqlite3.connect(self._folder / "warehouse.db", timeout=10) as db:
            db.execute(SPOIL.format(table=staging))
        db.close()
        return SPOIL.format(table=staging)

    def _look_back(self, engine: Engine, *run_ids: str) -> None:
        self._screen.title("What was recorded")
        for run_id in run_ids:
            self._screen.command(f"saga history {engine.get(run_id).name}")
            tells = Teller.of(engine, run_id)
            for line in engine.history(run_id):
                self._screen.say(as_line(tells.tell(line), line.at, datetime.now(UTC)))
        self._screen.title("Look around")
        self._go_there()
        for command in ("status", "list", "show @last", "history @last", "graph migrate_table"):
            self._screen.command(f"saga {command}")

    def _go_there(self) -> None:
        """What to type so that the commands below it work in the reader's shell."""
        self._screen.command(f"cd {shlex.quote(str(self._folder))}")
        if self._elsewhere:
            self._screen.command(f"unset {' '.join(self._elsewhere)}")
        programs = Path(sys.executable).parent
        if shutil.which("saga") is None and (programs / "saga").exists():
            self._screen.command(f"PATH={shlex.quote(str(programs))}:$PATH")

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
        stopped = run.ended or run.status in ("parked", "waiting")
        return stopped or not any(worker.alive for worker in self._workers)

    def _in_target(self) -> str:
        """How many chunks the target's ledger has, and which attempt wrote them."""
        told = ", ".join(f"{count} by attempt {token}" for token, count in self._chunks()) or "none"
        return f"chunks committed in the warehouse: {told}"

    def _has_loaded(self, part: float) -> bool:
        """So much of the first table is in the warehouse: its ledger knows, and what the step says comes later."""
        return sum(count for _, count in self._chunks()) >= part * shop.LINES / LINES_CHUNK_ROWS

    def _chunks(self) -> list[tuple[int, int]]:
        with closing(sqlite3.connect(f"file:{self._folder / 'warehouse.db'}?mode=ro", uri=True)) as db:
            return db.execute(
                "SELECT token, count(*) FROM saga_ledger_parts WHERE part LIKE 'chunk%' GROUP BY token ORDER BY token"
            ).fetchall()

    def _tables(self) -> set[str]:
        db = sqlite3.connect(f"file:{self._folder / 'warehouse.db'}?mode=ro", uri=True)
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        db.close()
        return {name for name in names if not name.startswith("saga_ledger")}


def _differences(engine: Engine, run_id: str) -> str:
    """What the validation found, from the journal: its result was undone with the rollback."""
    results = [c for line in engine.history(run_id) for c in line.commands if c["kind"] == "AddResult"]
    report = json.loads(next(c["value"] for c in results if c["state"] == "VALIDATING"))
    named = ", ".join(f"{found['kind']} at key {' '.join(found['key'])}" for found in report["differences"])
    return f"{named} ({report['chunks_equal']} of {report['chunks']} chunk checksums equal)"
