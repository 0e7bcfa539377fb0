"""Statements compiled once for all children of a process: to compile them anew is half of what a short life costs.

SQLAlchemy keeps compiled statements by dialect *object*, of which each engine has its own, and an engine does not
survive a fork. Here they are kept by the name of the dialect, in a mapping that every connection of the process is
told to use; a child has what was compiled before it was forked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event


class _ByName(dict[Any, Any]):
    """Keys of SQLAlchemy begin with the dialect; the keys here do not."""

    def __getitem__(self, key: tuple[Any, ...]) -> Any:  # noqa: ANN401  SQLAlchemy's own
        return super().__getitem__(key[1:])

    def __setitem__(self, key: tuple[Any, ...], value: Any) -> None:  # noqa: ANN401  as above
        super().__setitem__(key[1:], value)

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:  # noqa: ANN401  as above
        return super().get(key[1:], default)


@contextmanager
def shared_statements() -> Iterator[None]:
    """Let all engines of this process, and of the children that it forks in the block, share what they compile."""
    kept: dict[tuple[str, str], _ByName] = {}

    def use(db: Connection) -> None:
        which = (db.dialect.name, db.dialect.driver)
        db.execution_options(compiled_cache=kept.setdefault(which, _ByName()))

    event.listen(Engine, "engine_connect", use)
    try:
        yield
    finally:
        event.remove(Engine, "engine_connect", use)
