"""Which column goes where: by name, never by position."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches

from saga_engine.actions.copy import pairs
from saga_engine.actions.copy.catalog import Column, Table
from saga_engine.actions.copy.pairs import Ends, Lossy, Rule
from saga_engine.actions.copy.plan import Lane


@dataclass(slots=True)
class Drawn:
    """The lanes, what stands in the way of others, and what should be known."""

    lanes: list[Lane] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def draw(
    table: Table, existing: Table | None, rule: Rule, classes: dict[str, set[str]], *, like: bool, binary: bool
) -> Drawn:
    """Find the lane of each column of *table* into *existing*, or into a new table.

    *like*: the new table will be made by the source's own statement. *binary*: text sorts by its bytes there.
    """
    drawn = Drawn()
    for column in table.columns:
        there = existing.column(column.name) if existing else None
        why = _why_not(column, there, existing)
        if column.computed and (like or (there is not None and there.computed)):
            drawn.notes.append(f"{column.name} is computed by the target too, and not copied")
        elif why:
            drawn.problems.append(why)
        else:
            ends = Ends(column, there, classes.get(column.name, set()), strict=existing is not None and existing.strict)
            try:
                drawn.lanes.append(pairs.lane(rule, ends, binary=column.binary if like else binary))
            except Lossy as lossy:
                drawn.problems.append(f"column {column.name}: {lossy}")
    if existing:
        _look_at_rest(drawn, table, existing)
    return drawn


def _why_not(column: Column, there: Column | None, existing: Table | None) -> str:
    if existing is None:
        return ""
    if there is None:
        near = get_close_matches(column.name, [other.name for other in existing.columns], n=1)
        hint = f"; it has {near[0]}, and names must be equal" if near else ""
        return f"column {column.name}: {existing.name} has no such column{hint}"
    return f"column {column.name} is computed in {existing.name} and cannot be written" if there.computed else ""


def _look_at_rest(drawn: Drawn, table: Table, existing: Table) -> None:
    """Columns that only the target has must fill themselves."""
    for column in existing.columns:
        if table.column(column.name) or column.computed:
            continue
        if column.filled:
            drawn.notes.append(f"{column.name} is not in the source: it gets its default, or no value")
        else:
            drawn.problems.append(
                f"column {column.name} of {existing.name} needs a value, and the source has no such column"
            )
