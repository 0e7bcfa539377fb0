"""How long a session of PostgreSQL waits for an answer: a server that fell silent must not hold a worker for ever.

The server's own limits end its statements, and TCP's a peer that is gone. Where something between the two still takes
what is sent and never answers (a pooler that hangs, a firewall that forgot the connection), only the client can end it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from time import monotonic
from typing import Any


class Patience:
    """A limit of seconds for each answer, for all sessions of one store; None: no limit."""

    def __init__(self, seconds: float) -> None:
        self._seconds: float | None = seconds

    @contextmanager
    def unlimited(self) -> Iterator[None]:
        """No limit inside the block, in all threads."""
        limit, self._seconds = self._seconds, None
        try:
            yield
        finally:
            self._seconds = limit

    def bound(self, connection: Any, _record: object = None) -> None:  # noqa: ANN401  psycopg's own, an extra
        """Close *connection* once an answer has not come within the limit: for the caller it is lost, as it is."""
        wait = connection.wait
        if "timeout" not in inspect.signature(wait).parameters:
            return  # an older psycopg cannot be told; TCP's limits remain

        @wraps(wait)
        def bounded(*args: Any, **more: Any) -> Any:  # noqa: ANN401  whatever the driver waits for
            began, limit = monotonic(), self._seconds
            try:
                return wait(*args, **{"timeout": limit, **more})
            except Exception as error:
                if limit is not None and monotonic() - began >= limit:
                    connection.close()
                    error.args = (f"the server has not answered within {limit:g} s",)
                raise

        connection.wait = bounded
