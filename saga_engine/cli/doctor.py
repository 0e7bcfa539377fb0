"""``saga doctor``: what is well and what is not."""

from __future__ import annotations

from typing import Final

import click

from saga_engine.cli import output
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.people import Column
from saga_engine.errors import SettingsError
from saga_engine.runtime import registry
from saga_engine.runtime.doctor import examine
from saga_engine.runtime.views import Symptom

PROBLEMS: Final = 6
COLUMNS: Final = (
    Column[Symptom]("", lambda symptom: symptom.state, whole=True),
    Column[Symptom]("AREA", lambda symptom: symptom.area, whole=True),
    Column[Symptom]("FOUND", lambda symptom: symptom.text),
    Column[Symptom]("NEXT", lambda symptom: symptom.next or "-"),
)


@click.command(cls=Command)
@click.pass_obj
def doctor(given: Options) -> int:
    """Examine store, durability, workers, sagas and connections.

    Changes nothing. Exits with 6 where something is wrong; warnings alone are no failure.
    """
    with Here(given) as here:
        try:
            found = examine(here.settings, registry.load(here.settings.workflows))
        except SettingsError as error:
            found = [Symptom(area="settings", state="problem", text=str(error), next="mend the settings")]
    output.items(given, "SymptomList", Symptom, found, COLUMNS)
    return PROBLEMS if any(symptom.state == "problem" for symptom in found) else 0
