"""What every command takes: the global options, before and after its name, and the pieces that several share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeVar

import click

from saga_engine.cli.params import Length, length
from saga_engine.cli.trouble import Refused, leave_ctrl_c

F = TypeVar("F", bound=Callable[..., Any])

FORMATS: Final = ("table", "wide", "json", "jsonl", "csv")
FOREVER: Final = "forever"


@dataclass(slots=True)
class Options:
    """The global options as given: on the program or on its command, the latter wins."""

    store: str | None = None
    workflows: str | None = None
    profile: str | None = None
    output: str | None = None
    color: str = "auto"
    quiet: bool = False
    verbose: int = 0
    command: str = ""
    """The words that name the command, for hints."""

    @property
    def format(self) -> str:
        """How data is printed."""
        return self.output or FORMATS[0]


class Command(click.Command):
    """A command that also takes the global options, and ``--wait`` with or without a value."""

    def __init__(self, *args: Any, formats: Sequence[str] = FORMATS, **kwargs: Any) -> None:  # noqa: ANN401  click's
        super().__init__(*args, **kwargs)
        self.formats = tuple(formats)
        self.own = len(self.params)
        self.params += global_options(self.formats)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """A bare ``--wait`` takes no word: click would take the name of the run behind it for the time.

        A time behind it is refused: it would be taken for one more run, and a run with that run key be acted on.
        """
        end = args.index("--") if "--" in args else len(args)
        waits = any(param.name == "wait" for param in self.params)
        for arg, behind in pairwise(args[:end]):
            if waits and arg == "--wait" and length(behind) is not None:
                raise Refused("--wait takes its time behind an equals sign", f"write --wait={behind}")
        spelled = [f"--wait={FOREVER}" if arg == "--wait" else arg for arg in args[:end]]
        return super().parse_args(ctx, spelled + args[end:])

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  click's
        """Refuse an output that this command does not have, then act."""
        options = ctx.ensure_object(Options)
        options.command = ctx.command_path
        if options.output is not None and options.output not in self.formats:
            raise click.BadParameter(
                f"{options.output} is no output of {ctx.command_path}; it has {', '.join(self.formats)}",
                ctx=ctx,
                param_hint="-o",
            )
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click would write an empty line, to a pipe too
            leave_ctrl_c()
            raise click.Abort from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options first, the global ones below."""
        params = self.get_params(ctx)
        shared = set(map(id, self.params[self.own :]))
        for title, chosen in (
            ("Options", [param for param in params if id(param) not in shared]),
            ("Global options", [param for param in params if id(param) in shared]),
        ):
            rows = [record for param in chosen if (record := param.get_help_record(ctx)) is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class Group(click.Group):
    """A command with commands of its own, such as ``saga db``."""

    command_class = Command
    group_class = type

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; for a name that is nearly right, say which may be meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from None


def global_options(formats: Sequence[str] = FORMATS) -> list[click.Parameter]:
    """The options that may stand before and after the command's name."""
    return [
        _option("--store", metavar="URL", help="The store; else SAGA_STORE, saga.toml, sqlite:///.saga/saga.db."),
        _option("--workflows", metavar="PATH", help="The folder or file of sagas; else SAGA_WORKFLOWS, ./workflows."),
        _option("--profile", metavar="NAME", help="A [profiles.NAME] of saga.toml."),
        _option("-o", "--output", metavar="|".join(formats), help="How data is printed."),
        _option("--json", "output", flag_value="json", help="The same as -o json."),
        _option("--color", type=click.Choice(["auto", "always", "never"]), help="Colours; NO_COLOR is obeyed."),
        _option("-q", "--quiet", is_flag=True, default=None, help="Errors only, beside the data."),
        _option("-v", "--verbose", count=True, default=None, help="Say more; twice: everything."),
    ]


def _option(*names: str, **attributes: Any) -> click.Option:  # noqa: ANN401  click's
    return click.Option(list(names), expose_value=False, callback=_keep, **attributes)


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """What was given is kept; what was not leaves alone what an outer command was given."""
    if value is not None and param.name is not None:
        setattr(ctx.ensure_object(Options), param.name, value)


# --- pieces that several commands share


def run_argument(function: F) -> F:
    """One run, by any of its names."""
    return click.argument("run", metavar="RUN")(function)


def runs_argument(function: F) -> F:
    """One run or more; ``-`` reads their names from standard input."""
    return click.argument("runs", metavar="RUN...", nargs=-1, required=True)(function)


def reason_option(function: F) -> F:
    """Why a person acts."""
    return click.option("--reason", default="", metavar="TEXT", help="Why; it goes into the history.")(function)


def yes_option(function: F) -> F:
    """No question."""
    return click.option("--yes", is_flag=True, help="Do not ask; without a terminal it is needed.")(function)


def dry_run_option(function: F) -> F:
    """No change."""
    return click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")(function)


def wait_option(function: F) -> F:
    """Wait for the end of the run."""
    return click.option(
        "--wait",
        type=Length(),
        metavar="[=SECONDS]",
        help="Wait until the run has ended (exit 0, or 5 where it did not complete), or waits for a person (exit 8); "
        "with a time, such as --wait=90 or --wait=5m, no longer than that in all (exit 124).",
    )(function)


def watch_option(function: F) -> F:
    """Look again and again."""
    return click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C or the end of the run.")(
        function
    )
