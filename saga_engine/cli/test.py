"""``saga test --kill-everywhere``: does each step of a saga keep its promise when its process dies?"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Group as Lines

from saga_engine.cli import output, trouble
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.people import cell
from saga_engine.cli.typed import input_of, one_json
from saga_engine.domain.chart import Chart
from saga_engine.errors import BadInput, DefinitionError, EventNotFound, WorkflowsMissing
from saga_engine.runtime import registry
from saga_engine.runtime.payload import validated
from saga_engine.runtime.registry import Registry
from saga_engine.settings import redact, redact_value
from saga_engine.testing.everywhere import killing
from saga_engine.testing.everywhere.killing import Tested
from saga_engine.testing.everywhere.scene import Scene, scene
from saga_engine.testing.kills.hits import Hit
from saga_engine.testing.kills.warm import shared_statements

BROKEN: Final = 6
KILLS: Final = 300
PROGRESS_EVERY: Final = 25
KEPT: Final = {True: "every promise was kept", False: "no promise was tried"}
AS_FAR: Final = ", as far as the state and the results of a run tell"
NOTHING_COMPARED: Final = "no database was compared: name each that steps write to with --connection NAME=URL"
NOT_COMPARED: Final = "not compared, for two undisturbed runs differ in it, or it cannot be put back"


class At(click.ParamType[Hit]):
    """A failpoint and a hit of it."""

    name = "hit"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Hit:
        """The hit, or a refusal that shows how one is written."""
        if isinstance(value, Hit):
            return value
        try:
            return Hit.read(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("test", cls=Command, formats=("text", "json"))
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--kill-everywhere", is_flag=True, help="Kill it at every place where it may die, one run for each.")
@click.option("--saga", "name", metavar="SAGA", help="Which saga of the file, where it has several.")
@click.option("--input", "inputs", multiple=True, metavar="K=V|@FILE|-", help="The input, as for saga run.")
@click.option(
    "--connection", "connections", multiple=True, metavar="NAME=URL",
    help="The database for a connection; SQLite files are copied, a server is used as it is.",
)  # fmt: skip
@click.option("--event", "events", multiple=True, metavar="NAME=JSON", help="The payload of an event it waits for.")
@click.option("--seed", default="1", show_default=True, metavar="TEXT", help="Chooses what is killed beyond --kills.")
@click.option(
    "--kills", type=click.IntRange(1), default=KILLS, show_default=True, metavar="N",
    help="At most so many: both ends of each step first, then the commits of effects, then a sample.",
)  # fmt: skip
@click.option("--at", type=At(), metavar="NAME:N", help="Kill at this hit of this failpoint only.")
@click.pass_obj
def test(  # noqa: PLR0917  click hands over each option
    given: Options,
    file: Path,
    name: str | None,
    inputs: tuple[str, ...],
    connections: tuple[str, ...],
    events: tuple[str, ...],
    seed: str,
    kills: int,
    at: Hit | None,
    *,
    kill_everywhere: bool,
) -> int:
    """Kill a saga everywhere and see which step breaks its promise.

    Runs the saga of FILE undisturbed, then again and again, each time killing the process at another place and letting
    another one go on, and compares how the runs end: state, results, ledger, tables. The store is a scratch one, SQLite
    databases are copies; servers of the settings are left out. Approvals are given. Exits with 6 where a promise is
    broken.
    """
    if not kill_everywhere:
        raise trouble.Refused("say what to test the saga with", f"saga test --kill-everywhere {shlex.quote(str(file))}")
    with Here(given) as here, tempfile.TemporaryDirectory(prefix="saga-test-") as folder, shared_statements():
        found = _loaded(file)
        chart = _chosen(found, file, name)
        set_up = scene(
            Path(folder), chart, found, _input(chart, inputs, file), _events(chart, events), here.settings,
            dict(_pair(text, "--connection") for text in connections),
        )  # fmt: skip
        _warn(here, set_up)

        def progress(done: int, of: int) -> None:
            if done % PROGRESS_EVERY == 0:
                here.note(f"note:  {done} of {of} places")

        tested = killing.test(set_up, Path(folder), seed=seed, kills=kills, at=at, progress=progress)
    typed = {"--saga": [name] if name else [], "--input": inputs, "--connection": connections, "--event": events}
    output.item(given, "KillTest", tested, lambda: _told(tested, _again(file, typed)))
    return BROKEN if tested.broken else 0


def _loaded(file: Path) -> Registry:
    if not file.is_file():
        raise WorkflowsMissing(path=file)
    found = registry.load(file)
    for place, reason in found.broken.items():
        raise DefinitionError(f"{place} cannot be loaded: {reason}")
    return found


def _chosen(found: Registry, file: Path, name: str | None) -> Chart:
    if name is not None:
        return found.newest(name)
    names = sorted({chart.name for chart in found})
    if not names:
        hint = "name the file that has one; saga init writes a first one"
        raise trouble.Refused(f"there is no saga at module level of {file}", hint)
    if len(names) > 1:
        raise trouble.Refused(f"{file} has several sagas: {', '.join(names)}", f"say --saga {names[0]}")
    return found.newest(names[0])


def _input(chart: Chart, inputs: Sequence[str], file: Path) -> dict[str, Any]:
    model = chart.saga.input
    typed = input_of(inputs, model)
    try:
        validated(model, typed, f"{chart.name} cannot start with this input")
    except BadInput as error:
        takes = " ".join(f"--input {name}=…" for name, field in model.model_fields.items() if field.is_required())
        again = f"saga test --kill-everywhere {shlex.quote(str(file))} {takes}"
        raise trouble.Refused(str(error), again.rstrip()) from None
    return typed


def _events(chart: Chart, given: Sequence[str]) -> dict[str, dict[str, Any]]:
    found = {}
    for text in given:
        name, payload = _pair(text, "--event")
        if name not in chart.events:
            raise EventNotFound(saga=chart.name, event=name, events=", ".join(chart.events) or "none")
        found[name] = one_json(payload, "--event")
        validated(chart.events[name].payload, found[name], f"{name} cannot be sent with this payload")
    return found


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise BadInput(f"{flag} {text}: write name=value")
    return name, value


def _warn(here: Here, found: Scene) -> None:
    for name in found.left_out:
        here.note(
            f"note:  {name} of your settings is left out, for it is no SQLite file that could be copied: "
            f"name a database for tests with --connection {name}=URL"
        )


def _again(file: Path, typed: Mapping[str, Sequence[str]]) -> str:
    """The command that tries one place again, but for the place; the passwords of what was *typed* are not shown."""
    words = [word for option, values in typed.items() for value in values for word in (option, _shown(value))]
    return shlex.join(["saga", "test", "--kill-everywhere", str(file), *words, "--at"])


def _shown(typed: str) -> str:
    name, equals, value = typed.partition("=")
    return redact(f"{name}{equals}{redact_value(value)}")


def _told(tested: Tested, again: str) -> Lines:
    lines = [line for broken in tested.broken for line in (broken.text, f"    again: {again} {broken.at}")]
    if tested.not_compared:
        lines.append(f"{NOT_COMPARED}: {', '.join(tested.not_compared)}")
    if tested.parked:
        lines.append(f"{_count(tested.parked, 'time')} the run asked a person what a step had done, as it has promised")
    lines += _told_of_size(tested)
    size = f"killed {_count(tested.kills, 'time')} at {_count(tested.failpoints, 'failpoint')}"
    size += f", {tested.tried:,} of {tested.hits:,} hits tried"
    verdict = _count(len(tested.broken), "broken promise") if tested.broken else _kept(tested)
    return Lines(*map(cell, [*lines, f"{tested.saga} v{tested.version}: {size}: {verdict}"]))


def _kept(tested: Tested) -> str:
    return KEPT[tested.kills > 0] + (AS_FAR if tested.kills and not tested.compared else "")


def _told_of_size(tested: Tested) -> list[str]:
    """What was not put to the test."""
    lines = [] if tested.compared else [NOTHING_COMPARED]
    if tested.on_threads:
        lines.append(f"on threads here, though they ask for a process of their own: {', '.join(tested.on_threads)}")
    if tested.missed:
        lines.append(f"{_count(tested.missed, 'time')} a run ended as the others before it came to where it was to die")
    left = tested.hits - tested.tried
    if left > 0 and tested.tried > 1:
        lines.append(f"not tried were {left:,} hits: --kills {tested.hits} tries them all")
    return lines


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
