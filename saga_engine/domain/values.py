"""Small words that events, commands and snapshots share."""

from typing import Final, Literal, TypeAlias, get_args

ParkCode: TypeAlias = Literal["W14", "W16", "W17", "W21", "W22", "W23", "W24"]
"""Why a task is set aside for a person; the texts are in ``why``."""

TaskKind: TypeAlias = Literal["leaving", "entering", "step", "undo", "wait", "gate", "timer", "event"]
"""leaving, entering, step, undo: code to run · wait, gate: a row that waits · timer: beside the line, due later ·
event: an arrived event whose guard raised, always parked."""

Ending: TypeAlias = Literal["retry", "leave", "park"]
"""What follows when an attempt that nobody wants any more has ended."""

ENDINGS: Final[tuple[Ending, ...]] = get_args(Ending)

UndoStatus: TypeAlias = Literal["started", "done", "undone", "skipped", "dropped", "sealed"]
"""started: outcome in doubt · done: the step succeeded · undone · skipped: by a person · dropped: never leased ·
sealed: before a passed pivot."""

Status: TypeAlias = Literal["running", "waiting", "parked", "completed", "rolled_back", "cancelled", "failed"]

FINAL: frozenset[str] = frozenset({"completed", "rolled_back", "cancelled", "failed"})
