"""What steps have left in a target: whether one ever took effect, and how all of a run's stand now."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, Engine, Table, and_, bindparam, select

from saga_engine.ledger import parts, schema, transaction
from saga_engine.ledger.heads import Key

ANY: Final = select(schema.parts.c.position).where(parts.OF_STEP).limit(1)


def left_traces(engine: Engine, key: Key) -> bool:
    """Return True if a part of the step was ever applied: then its undo may have begun, and has to be ended.

    To be asked when the head is closed (``undo.begin_undo``): no part can come any more.
    """

    def once(db: Connection) -> bool:
        return transaction.execute(db, ANY, of_store=key.store, of_task=key.task).first() is not None

    return transaction.run(engine, f"{key.task} traces {key.token}", "ledger.traces", once)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a step stands in a target: the status of its head, and the parts that are in effect or in doubt."""

    status: str
    in_effect: tuple[str, ...]


def standing_of(engine: Engine, store: str, run_id: str) -> dict[str, Standing]:
    """Every step of a run that has a head in this target, by task. Locks nothing: what is under way is not seen."""

    def once(db: Connection) -> dict[str, Standing]:
        kept = transaction.execute(db, PARTS, of_store=store, of_run=f"{run_id}.%").all()
        return {
            row.task: Standing(row.status, tuple(part.part for part in kept if part.task == row.task))
            for row in transaction.execute(db, HEADS, of_store=store, of_run=f"{run_id}.%")
        }

    return transaction.run(engine, f"{run_id} standing", "ledger.standing", once)


def _of_run(table: Table) -> ColumnElement[bool]:
    return and_(table.c.store == bindparam("of_store"), table.c.task.like(bindparam("of_run")))


HEADS: Final = select(schema.heads.c.task, schema.heads.c.status).where(_of_run(schema.heads))
PARTS: Final = (
    select(schema.parts.c.task, schema.parts.c.part)
    .where(_of_run(schema.parts), schema.parts.c.status != "undone")
    .order_by(schema.parts.c.position)
)
