"""Whether a step has ever taken effect in a target, undone since or not."""

from typing import Final

from sqlalchemy import Connection, Engine, select

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
