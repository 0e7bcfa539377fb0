"""How long the swap waits for other tables and for sequences while it holds the target.

Somebody may hold such a table and wait for the target: then the two wait for each other, and the server ends whichever
of them has its ``deadlock_timeout`` over first. Nobody else's transaction is to end because of a move. So the swap
gives up before anybody's can be over who waits behind it: that is reckoned from when it asks for the target.
"""

from __future__ import annotations

from time import monotonic
from typing import Final

from sqlalchemy import Connection

from saga_engine.actions.copy.plan import Plan
from saga_engine.actions.copy.postgres import sql

WAIT_SECONDS_MAX: Final = 0.4
"""For all locks behind that of the target together; at most half of deadlock_timeout."""
SAFE: Final = 0.8
"""By when, as a part of deadlock_timeout, the last wait has ended; the rest is for the way to the server and back."""
LEAST_MILLISECONDS: Final = 1
"""PostgreSQL takes 0 as no limit at all."""

_DEADLOCK_SECONDS: Final = "SELECT setting::float / 1000 FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'"
# A foreign key to a partitioned table takes a lock on every partition, and each of them may wait.
_AT_ONCE: Final = """
SELECT 1 + count(*) FROM pg_catalog.pg_constraint
 WHERE conrelid = to_regclass(%s) AND contype = 'f' AND conparentid <> 0"""


class Locks:
    """The locks of one swap. Raises the driver's LockNotAvailable where one is not given in time."""

    def __init__(self, db: Connection, plan: Plan) -> None:
        self._db, self._plan = db, plan
        self._at_once = db.exec_driver_sql(_AT_ONCE, (sql.written(plan.target),)).scalar_one()
        self._deadlock_seconds = db.exec_driver_sql(_DEADLOCK_SECONDS).scalar_one()
        self._until = 0.0

    def take_target(self) -> None:
        """Lock the target, waiting as long as the transaction does by now; whoever comes queues behind."""
        safe = monotonic() + SAFE * self._deadlock_seconds
        sql.run(self._db, f"LOCK TABLE {sql.written(self._plan.target)} IN ACCESS EXCLUSIVE MODE")
        self._until = min(safe, monotonic() + min(WAIT_SECONDS_MAX, self._deadlock_seconds / 2))

    def run(self, statements: list[str]) -> list[str]:
        """Run statements and return them; all together wait no longer than is safe, and then hardly at all."""
        for statement in statements:
            left = round((self._until - monotonic()) * 1000 / self._at_once)
            self._db.exec_driver_sql(f"SELECT set_config('lock_timeout', '{max(left, LEAST_MILLISECONDS)}ms', true)")
            sql.run(self._db, statement)
        return statements
