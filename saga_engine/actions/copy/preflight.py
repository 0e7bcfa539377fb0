"""PREFLIGHT: find out everything that could stand in the way, before anything is written."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Final

from saga_engine.actions.copy import folders, indexes, names, notes, pairs, problems
from saga_engine.actions.copy.catalog import Table
from saga_engine.actions.copy.columns import Drawn, draw
from saga_engine.actions.copy.dialect import Looked
from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.plan import Fingerprint, Move, NewIndex, Plan
from saga_engine.actions.copy.reading import Asked, source_rows, staging_rows
from saga_engine.domain.definition.facts import Step
from saga_engine.errors import CannotMove
from saga_engine.ledger import schema as ledger

ROOM_FACTOR: Final = 1.2
"""Chunk files may be larger than the rows in the database by so much: escapes, and numbers in full."""


def preflight(step: Step[Move]) -> Plan:
    """Return the plan, or refuse by name whatever cannot be carried: ``CannotMove`` lists all of it.

    Only when nothing stands in the way, it makes the ledger in the target and the folder for exports.
    """
    exports = Path(step.input.exports).absolute() if step.input.exports else step.folder()
    with step.connect(step.input.source) as source, step.connect(step.input.target) as target:
        plan = _plan(step, exports, Asked(source), Asked(target))
        ledger.create(target.engine)
    folders.make_exports(exports)
    return plan


def _plan(step: Step[Move], exports: Path, here: Asked, there: Asked) -> Plan:
    table = _table(here, names.parse(step.input.table))
    target, existing, before = _target(there, _target_name(step.input, table.name, here, there))
    like = table.sql if existing is None and here.name == there.name else ""
    drawn = _draw(here, there, table, existing, like=like)
    problems.refuse(table.name, [*drawn.problems, *problems.found(here, there, table, target, existing)])
    looked = _look(exports, here, table, drawn)
    made, left_behind = _new(table, existing, like=like)
    token = names.token(step.key)
    plan = Plan(
        source_dialect=here.name,
        target_dialect=there.name,
        table=table.name,
        target=target,
        staging=names.staging(target, token),
        kept=names.kept(target, token),
        token=token,
        lanes=tuple(drawn.lanes),
        key=table.key,
        before=before,
        like=like,
        indexes=indexes.freely_named(made, target, there, token),
        rows=looked.rows,
        bytes=looked.bytes,
        chunk_rows=step.input.chunk_rows,
        exports=str(exports),
        notes=(*drawn.notes, *left_behind, *_of_like(table, existing, target, there, like=like)),
    )
    return _with_slow_keys(plan)


def _table(here: Asked, written: TableName) -> Table:
    with here.transaction() as db:
        name = here.dialect.resolve(db, written)
        table = here.dialect.describe(db, name)
        others = here.dialect.tables(db, name.schema_name)
    if table is None:
        near = get_close_matches(name.name.lower(), [other.lower() for other in others], n=1)
        found = [other for other in others if other.lower() in near]
        hint = f"; did you mean {found[0]}?" if found else "" if others else ", which has no tables at all"
        raise CannotMove(table=name, problems=f"there is no such table in the source{hint}")
    return table


def _target_name(move: Move, table: TableName, here: Asked, there: Asked) -> TableName:
    """The same name where none is given; a schema only means something to the same kind of database."""
    if move.target_table:
        return names.parse(move.target_table)
    written = names.parse(move.table)
    return TableName(schema_name=written.schema_name if here.name == there.name else "", name=table.name)


def _target(there: Asked, written: TableName) -> tuple[TableName, Table | None, Fingerprint]:
    with there.transaction() as db:
        name = there.dialect.resolve(db, written)
        existing = there.dialect.describe(db, name)
        return name, existing, there.dialect.fingerprint(db, name)


def _draw(here: Asked, there: Asked, table: Table, existing: Table | None, *, like: str) -> Drawn:
    with here.transaction() as db:
        classes = here.dialect.classes(db, table)
    with there.transaction() as db:
        binary = there.dialect.new_text_is_binary(db)
    drawn = draw(table, existing, pairs.RULES[here.name, there.name], classes, like=bool(like), binary=binary)
    with there.transaction() as db:
        missing = there.dialect.missing_types(db, [lane.target.type for lane in drawn.lanes])
    drawn.problems += [f"the target does not know the type {name}" for name in missing]
    return drawn


def _look(exports: Path, here: Asked, table: Table, drawn: Drawn) -> Looked:
    """Go through the rows once, for values that would not arrive, and for the room that their text needs."""
    with here.transaction() as db:
        looked = here.dialect.look(db, table, drawn.lanes)
    found = [
        f"column {one.column}: {one.rows} {'rows have' if one.rows > 1 else 'row has'} {one.why}, such as key {one.key}"
        for one in looked.findings
    ]
    problems.refuse(table.name, [*found, *problems.room(exports, round(looked.bytes * ROOM_FACTOR))])
    return looked


def _new(table: Table, existing: Table | None, *, like: str) -> tuple[list[NewIndex], list[str]]:
    """What a new table gets beside its columns and its key, and what it will lack; or what replacing one costs."""
    if existing is not None:
        return [], [*(f"the kept table gives up {what}" for what in existing.given_up), *existing.left_alone]
    made, others = indexes.repeated(table) if like else indexes.carried(table)
    missing = table.triggers if like else (*table.left_behind, *table.triggers)
    return made, [*others, *(f"{what} is not carried over: make the target table first to keep it" for what in missing)]


def _of_like(table: Table, existing: Table | None, target: TableName, there: Asked, *, like: str) -> list[str]:
    """What is to be known of the table that the new one takes after: the existing one, or the source by its words."""
    model = existing or (table if like else None)
    if model is None:
        return []
    referring = notes.referring(model, target, there, replaced=existing is not None)
    return [*referring, *notes.given_again(table, model)]


def _with_slow_keys(plan: Plan) -> Plan:
    """Say loudly where no index serves the order that both databases share."""
    sides = (("source", source_rows(plan)), ("target", staging_rows(plan)))
    slow = [
        f"no index of the {side} serves the order of the key that both databases share: each chunk reads all rows there"
        for side, rows in sides
        if not rows.indexed
    ]
    return plan.model_copy(update={"notes": (*plan.notes, *slow)})
