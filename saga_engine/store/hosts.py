"""Where a run's files are: once a step has put files somewhere, only workers of that host may take the run's tasks."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy import bindparam, select, update

from saga_engine.failpoints import hit
from saga_engine.store.schema import runs, tasks
from saga_engine.store.tasks import Lease, still_held


def bind(db: sa.Connection, run_id: str, host: str, incarnation: str, lease: Lease) -> str | None:
    """Bind the run to *host*, unless it is bound already; return the host it is bound to.

    None: the attempt no longer counts, and nothing was written. The run is locked before its tasks, as in T2. A
    running attempt does not notice: no revision changes.
    """
    bound: str | None = db.execute(_LOCK, {"run_id": run_id}).scalar_one()
    hit("store.bind.locked")
    if not still_held(db, incarnation, lease):
        return None
    if bound is None:
        hit("store.bind.before_write")
        db.execute(_BIND_RUN, {"of_run": run_id, "here": host})
        hit("store.bind.run")
        db.execute(_BIND_TASKS, {"of_run": run_id, "here": host})
    return bound or host


# Primary key of saga_runs, and ix_saga_tasks_run_id.
_LOCK: Final = select(runs.c.host).where(runs.c.id == bindparam("run_id")).with_for_update(key_share=True)
_BIND_RUN: Final = update(runs).where(runs.c.id == bindparam("of_run")).values(host=bindparam("here"))
_BIND_TASKS: Final = update(tasks).where(tasks.c.run_id == bindparam("of_run")).values(host=bindparam("here"))
