"""Steps of a run that the ledger knows and the store does not: the store was restored from an older backup.

Going on as if nothing had happened would do their work again, under the names of new tasks. So an attempt that finds
one is refused. A person then reconciles: the stray row is renamed after its state and visit (``set_aside``), and the
attempt that enters this very state and visit takes it over as its own, with everything that it has recorded.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, Integer, Select, and_, bindparam, func, insert, literal_column, select

from saga_engine import failpoints
from saga_engine.errors import Superseded
from saga_engine.ledger import heads as head_rows
from saga_engine.ledger import parts as part_rows
from saga_engine.ledger import transaction
from saga_engine.ledger.heads import Key
from saga_engine.ledger.schema import heads, parts
from saga_engine.ledger.transaction import execute

NAMED_MAX: Final = 3

# A range of the primary key in every collation: an id is hexadecimal, and whatever follows it sorts before "g". The
# pattern then keeps what is the run's own.
OF_RUN: Final = and_(
    heads.c.store == bindparam("of_store"),
    heads.c.task > bindparam("run"),
    heads.c.task < bindparam("behind"),
    heads.c.task.like(bindparam("pattern")),
)
IN_EFFECT: Final = (
    select(func.count())
    .select_from(parts)
    .where(parts.c.store == heads.c.store, parts.c.task == heads.c.task, part_rows.IN_EFFECT)
    .scalar_subquery()
)
LIVE: Final = select(heads.c.task, heads.c.step).where(OF_RUN, heads.c.status != "undone").order_by(heads.c.task)
ALL: Final = (
    select(heads.c.task, heads.c.step, heads.c.status, heads.c.token, heads.c.undo_token, IN_EFFECT.label("parts"))
    .where(OF_RUN)
    .order_by(heads.c.task)
)
NEWEST: Final = (
    select(heads.c.task, heads.c.step, heads.c.status, heads.c.token, heads.c.undo_token, IN_EFFECT.label("parts"))
    .where(heads.c.store == bindparam("of_store"))
    .order_by(heads.c.task.desc())
    .limit(bindparam("most", type_=Integer))
)
COPY: Final = insert(heads).from_select(
    ["store", "task", "token", "undo_token", "status", "step", "opened_at", "undoing_at", "undone_at"],
    select(
        heads.c.store,
        bindparam("new", type_=heads.c.task.type),
        func.coalesce(bindparam("by", type_=heads.c.token.type), heads.c.token),
        heads.c.undo_token,
        heads.c.status,
        heads.c.step,
        heads.c.opened_at,
        heads.c.undoing_at,
        heads.c.undone_at,
    ).where(head_rows.OURS),
)
MOVE: Final = parts.update().where(part_rows.OF_STEP).values(task=bindparam("new"))
DROP: Final = heads.delete().where(head_rows.OURS)
EXISTS: Final[Select[Any]] = select(literal_column("1")).select_from(heads).where(head_rows.OURS)


@dataclass(frozen=True, slots=True)
class Row:
    """A head row. *parts*: how many of its parts are in effect. *step*: state and visit, None in an old row."""

    task: str
    step: str | None
    status: str
    token: int
    undo_token: int
    parts: int

    @property
    def run(self) -> str:
        """The run that it is of."""
        return self.task.partition(".")[0]

    @property
    def is_aside(self) -> bool:
        """It waits for the state that will take it over."""
        return _is_aside(self.task)


def of_run(engine: Engine, store: str, run: str) -> list[Row]:
    """Every step of a run that the ledger knows."""

    def once(db: Connection) -> list[Row]:
        return [_row(row) for row in execute(db, ALL, **_range(store, run))]

    return transaction.run(engine, f"{run} survey", "ledger.survey", once)


def newest(engine: Engine, store: str, most: int) -> list[Row]:
    """The steps of the youngest runs that the ledger knows of a store; an id begins with the time of the start."""

    def once(db: Connection) -> list[Row]:
        return [_row(row) for row in execute(db, NEWEST, of_store=store, most=most)]

    return transaction.run(engine, f"{store} survey", "ledger.survey", once)


def take_over(db: Connection, key: Key, known: Collection[str]) -> None:
    """Make a row that was set aside for this state and visit the attempt's own; refuse what nobody has set aside."""
    for row in execute(db, LIVE, **_range(key.store, _run(key.task))).all():
        if _is_for(db, row.task, key):
            _rename(db, key.store, row.task, key.task, key.token)
        elif _is_anothers(row, key) or (row.task not in known and not _is_aside(row.task)):
            raise _ahead(row)


def refuse(db: Connection, key: Key, known: Collection[str]) -> None:
    """Refuse every step of the run that the store does not know, also what was set aside for another state."""
    for row in execute(db, LIVE, **_range(key.store, _run(key.task))).all():
        if _is_for(db, row.task, key):
            _rename(db, key.store, row.task, key.task, None)
        elif _is_anothers(row, key) or row.task not in known:
            raise _ahead(row)


def set_aside(engine: Engine, store: str, row: Row) -> None:
    """Keep a stray row for the state and visit that it is of; who acts under its old name is refused from now on."""
    aside = _aside(row.task, row.step)
    assert aside is not None, "only a row that names its step is set aside"

    def once(db: Connection) -> None:
        if execute(db, EXISTS, of_store=store, of_task=row.task).first():
            _rename(db, store, row.task, aside, None)

    transaction.run(engine, f"{row.task} aside", "ledger.aside", once)


def settle(engine: Engine, key: Key) -> None:
    """Record that nothing of the step is in effect any more, as somebody has said who looked."""

    def once(db: Connection) -> None:
        head_rows.raise_undo_token(db, key)
        if not head_rows.require_undoing(db, key):
            part_rows.undo(db, key, None)
            head_rows.end_undo(db, key)

    transaction.run(engine, f"{key.task} settled {key.token}", "ledger.settle", once)


def _rename(db: Connection, store: str, old: str, new: str, token: int | None) -> None:
    """The parts' foreign key wants a head at every moment: copy, move, drop."""
    execute(db, COPY, of_store=store, of_task=old, new=new, by=token)
    execute(db, MOVE, of_store=store, of_task=old, new=new)
    execute(db, DROP, of_store=store, of_task=old)
    failpoints.hit("ledger.strays.renamed")


def _is_for(db: Connection, task: str, key: Key) -> bool:
    """Whether a row was set aside for what *key* is of, which has none of its own yet."""
    if task != _aside(key.task, key.step):
        return False
    return execute(db, EXISTS, of_store=key.store, of_task=key.task).first() is None


def _is_anothers(row: Any, key: Key) -> bool:  # noqa: ANN401  a row of LIVE
    """Whether it has the name of *key* and is of another step: a restored store gave the name a second time."""
    return row.task == key.task and key.step is not None and row.step not in (None, key.step)


def _is_aside(task: str) -> bool:
    return not task.partition(".")[2][:1].isdigit()


def _row(row: Any) -> Row:  # noqa: ANN401  a row of ALL or NEWEST
    return Row(row.task, row.step, row.status, row.token, row.undo_token, row.parts)


def _run(task: str) -> str:
    return task.partition(".")[0]


def _aside(task: str, step: str | None) -> str | None:
    """What a row is called that waits for its state: no task has such a name, for a task's begins with a number."""
    return None if step is None else f"{_run(task)}.{step.replace(' ', '.')}"


def _range(store: str, run: str) -> dict[str, Any]:
    return {"of_store": store, "run": run, "behind": f"{run}g", "pattern": f"{run}.%"}


def _ahead(row: Any) -> Superseded:  # noqa: ANN401  a row of LIVE
    of = f", {row.step}," if row.step else ""
    return Superseded(f"it knows the step {row.task}{of} of this run, and this store does not")
