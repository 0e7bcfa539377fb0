"""One life of a worker, as a row: its lease, renewed for all its tasks at once, and its end, which happens once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from saga_engine.failpoints import hit
from saga_engine.store.schema import Moment, incarnations, tasks


@dataclass(frozen=True, slots=True)
class Birth:
    """What an incarnation says of itself when it begins."""

    id: str
    host: str
    pid: int
    lock_file: str
    lock_device: int
    lock_inode: int
    boot_id: str
    queues: tuple[str, ...]
    loaded: Mapping[str, int]
    """``saga vN`` -> the row of its definition."""
    broken: Mapping[str, str]
    """File -> why it could not be loaded."""
    slots: int


def begin(db: sa.Connection, birth: Birth, now: datetime, lease: timedelta) -> None:
    """Insert the row, once; the lease runs from *now*."""
    row = {
        "id": birth.id,
        "host": birth.host,
        "pid": birth.pid,
        "lock_file": birth.lock_file,
        "lock_device": birth.lock_device,
        "lock_inode": birth.lock_inode,
        "boot_id": birth.boot_id,
        "queues": json.dumps(birth.queues),
        "loaded": json.dumps(dict(birth.loaded)),
        "broken": json.dumps(dict(birth.broken)),
        "slots": birth.slots,
        "busy": 0,
        "started_at": now,
        "renewed_at": now,
        "lease_until": now + lease,
    }
    hit("store.incarnation.begin")
    insert = postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert
    db.execute(insert(incarnations).on_conflict_do_nothing(), row)


def renew(db: sa.Connection, incarnation: str, busy: int, now: datetime, lease: timedelta) -> bool:
    """Extend the lease; False when this incarnation has been ended, and must drop all it holds."""
    values = {"me": incarnation, "busy": busy, "now": now, "until": now + lease}
    hit("store.incarnation.renew")
    return db.execute(_RENEW, values).rowcount == 1


# Primary key of saga_incarnations.
_RENEW = (
    update(incarnations)
    .where(incarnations.c.id == bindparam("me"), incarnations.c.ended_at.is_(None))
    .values(
        busy=bindparam("busy"), renewed_at=bindparam("now", type_=Moment), lease_until=bindparam("until", type_=Moment)
    )
)


def end(db: sa.Connection, incarnation: str, now: datetime, how: str) -> bool:
    """End in order (*how* "released"): the last write of a worker that drains. False where it had ended before."""
    hit("store.incarnation.end")
    return db.execute(_END.where(incarnations.c.id == incarnation), {"now": now, "how": how}).rowcount == 1


def end_dead(db: sa.Connection, incarnation: str, now: datetime) -> None:
    """End one whose death lock has been taken: its process is gone."""
    hit("store.incarnation.end_dead")
    db.execute(_END.where(incarnations.c.id == incarnation), {"now": now, "how": "dead"})


def end_expired(db: sa.Connection, now: datetime) -> int:
    """End all whose lease ran out, known dead or not. ix_saga_incarnations_live."""
    hit("store.incarnation.end_expired")
    return db.execute(_END.where(incarnations.c.lease_until < now), {"now": now, "how": "expired"}).rowcount


_END = (
    update(incarnations)
    .where(incarnations.c.ended_at.is_(None))
    .values(ended_at=bindparam("now", type_=Moment), ended_how=bindparam("how"))
)


def living(db: sa.Connection) -> Sequence[sa.Row[Any]]:
    """The rows that have not ended. ix_saga_incarnations_live."""
    return db.execute(_LIVING).all()


_LIVING = select(incarnations).where(incarnations.c.ended_at.is_(None)).order_by(incarnations.c.started_at)


def lengthen(db: sa.Connection, by: timedelta) -> None:
    """Let every living lease end *by* later: for a test that lets time pass at once."""
    for row in db.execute(_LIVING.with_for_update()).all():
        hit("store.incarnation.lengthen")
        db.execute(_LENGTHEN, {"me": row.id, "until": row.lease_until + by})


_LENGTHEN = (
    update(incarnations)
    .where(incarnations.c.id == bindparam("me"))
    .values(lease_until=bindparam("until", type_=Moment))
)


def by_id(db: sa.Connection, ids: Sequence[str]) -> dict[str, sa.Row[Any]]:
    """Rows, ended or not, by id."""
    return {row.id: row for row in db.execute(_BY_ID, {"ids": ids})} if ids else {}


_BY_ID: Final = select(incarnations).where(incarnations.c.id.in_(bindparam("ids", expanding=True)))


def sweep(db: sa.Connection, before: datetime) -> int:
    """Delete rows that ended before *before* and hold nothing any more."""
    holds = sa.exists().where(tasks.c.leased_by == incarnations.c.id)
    hit("store.incarnation.sweep")
    return db.execute(sa.delete(incarnations).where(incarnations.c.ended_at < before, ~holds)).rowcount
