"""``saga config``: the settings as they hold here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from saga_engine.cli import output
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Group, Options
from saga_engine.cli.people import Column
from saga_engine.domain.definition.values import Frozen
from saga_engine.settings import Settings, redact_value


class Setting(Frozen):
    """One setting: its name, its value without secrets, and who set it."""

    name: str
    value: Any
    origin: str


NAME: Final = Column[Setting]("SETTING", lambda setting: setting.name, whole=True)
VALUE: Final = Column[Setting]("VALUE", lambda setting: _text(setting.value))
ORIGIN: Final = Column[Setting]("ORIGIN", lambda setting: setting.origin)


@click.group(cls=Group)
def config() -> None:
    """Show the settings and who said what."""


@config.command(cls=Command)
@click.option("--origin", is_flag=True, help="Who set it: a flag, a variable, a file, or nobody.")
@click.pass_obj
def show(given: Options, *, origin: bool) -> None:
    """Show the settings that hold here, without secrets.

    JSON has the origin always.
    """
    with Here(given) as here:
        found = [
            Setting(name=name, value=value, origin=here.settings.origin(name)) for name, value in _leaves(here.settings)
        ]
    columns = (NAME, VALUE, ORIGIN) if origin or given.format == "wide" else (NAME, VALUE)
    output.items(given, "SettingList", Setting, found, columns)


def _leaves(settings: Settings) -> Iterator[tuple[str, Any]]:
    yield from _flat("", settings.model_dump(mode="json"))


def _flat(above: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(f"{above}{name}.", value)
        else:
            yield above + name, redact_value(value) if isinstance(value, str) else value


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)
