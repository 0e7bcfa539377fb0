"""The program ``saga``: its commands by what a person wants, each loaded when it is used, and its exit code."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final, NoReturn

import click

from saga_engine import __version__
from saga_engine.cli import trouble
from saga_engine.cli.options import Group, Options, global_options


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: the module and name of its code, and its line in the help, where the code is not loaded."""

    place: str
    help: str


COMMANDS: Final[Mapping[str, Mapping[str, Entry]]] = {
    "Start": {
        "demo": Entry(
            "demo:demo", "Move a table while a worker is killed, then damage one value and see the rollback."
        ),
        "init": Entry("init:init", "Write a settings file and a first saga into a folder."),
        "run": Entry("start:run", "Start a run of a saga."),
        "worker": Entry("worker:worker", "Run what is due, until told to stop."),
    },
    "Look": {
        "status": Entry("look:status", "Count live runs, and say what needs a person now."),
        "list": Entry("look:list_runs", "List runs, the newest first."),
        "show": Entry("show:show", "Show one run: where it is, how it got there, what can be undone."),
        "why": Entry("why:why", "Say why a run is where it is, and which command helps."),
        "history": Entry("history:history", "Tell what happened to a run, line by line."),
        "graph": Entry("graph:graph", "Draw a saga, or where a run is in it."),
    },
    "Decide": {
        "approvals": Entry("decide:approvals", "List what waits for people."),
        "approve": Entry("decide:approve", "Approve what a run waits for, having seen it."),
        "reject": Entry("decide:reject", "Reject what a run waits for."),
        "send": Entry("decide:send", "Send an event to a run."),
    },
    "Repair": {
        "retry": Entry("repair:retry", "Try again now what is parked or backs off."),
        "skip": Entry("repair:skip", "Go on without what is parked."),
        "resolve": Entry("repair:resolve", "Say what a step in doubt really did."),
        "reconcile": Entry(
            "reconcile:reconcile", "Compare runs with the ledgers of their targets, and mend what is provably right."
        ),
        "cancel": Entry("repair:cancel", "Stop a run and undo what it did."),
        "rollback": Entry("rollback:rollback", "Undo a run, or back to a state and forward again."),
        "pause": Entry("repair:pause", "Hold a run: nothing new starts."),
        "resume": Entry("repair:resume", "Let a paused run go on."),
    },
    "Author": {
        "check": Entry("check:check", "Find what is wrong with sagas before they run."),
        "test": Entry("test:test", "Kill a saga everywhere and see which step breaks its promise."),
        "explain": Entry("check:explain_rule", "Explain a rule of check."),
    },
    "Operate": {
        "doctor": Entry("doctor:doctor", "Examine store, durability, workers, sagas and connections."),
        "workers": Entry("look:workers", "List the workers that have not ended."),
        "verify": Entry("verify:verify", "Find journal lines that were changed, removed, put in or moved."),
        "prune": Entry("prune:prune", "Remove runs that ended long ago, with their history."),
        "db": Entry("db:db", "Make, upgrade and print the schema; make ledgers."),
        "config": Entry("config:config", "Show the settings and who said what."),
        "help": Entry("topics:topic", "Explain exit codes, names of runs, outputs, settings."),
    },
}


class Program(Group):
    """The commands by section. Nothing of a command is imported before it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Every name, in the order of the help."""
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  as above
        """The command, its code imported now."""
        entry = next((section[cmd_name] for section in COMMANDS.values() if cmd_name in section), None)
        if entry is None:
            return None
        module, _, attribute = entry.place.partition(":")
        # What imports make stays: to look for garbage in it again and again is a tenth of the start.
        gc.disable()
        command = getattr(import_module(f"saga_engine.cli.{module}"), attribute)
        gc.freeze()
        gc.enable()
        assert isinstance(command, click.Command), f"{entry.place} is a command"
        return command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands first: they are what a newcomer looks for."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        """The commands by what a person wants."""
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in section.items()], col_max=12)


@click.command(
    cls=Program,
    name="saga",
    params=global_options(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="saga COMMAND --help tells more; saga help exit-codes what an exit code means.",
)
@click.version_option(__version__, message="saga %(version)s")
def saga() -> None:
    """Durable sagas for database migrations: they recover by themselves, undo what they did, and say why they wait."""


def run(arguments: Sequence[str]) -> int:
    """Do what *arguments* say and return the exit code. Nothing is raised: every trouble is a line on stderr."""
    _open_streams()
    try:
        code = saga.main(list(arguments), prog_name="saga", standalone_mode=False, obj=Options())
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001  no user ever sees a traceback
        code = trouble.told(error)
    trouble.forget_unsaid()
    return code if isinstance(code, int) else 0


def end(code: int) -> NoReturn:
    """End the process. Everything is flushed and closed by now.

    The thread of a step that hangs ends with its process alone, and Python would wait for it.
    """
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        os._exit(code)
    sys.exit(code)


def _open_streams() -> None:
    """Have all three, also where the caller has closed some; a character that one cannot carry becomes its escape.

    The numbers of closed ones are taken, too: a database would get them, and what a library says to standard error.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are text files
