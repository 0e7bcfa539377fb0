"""What ``sweep`` and ``pauses`` are before they fork: quiet, with whatever bugs are asked for, and warm."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from saga_engine import log
from saga_engine.testing.kills.warm import shared_statements
from tests.kill import planted


@contextmanager
def prepared(bugs: Sequence[str]) -> Iterator[Path]:
    """The folder in which the orders of one process are carried out."""
    log.configure(-1)
    planted.suspects_on_threads()
    for bug in bugs:
        planted.BUGS[bug]()
    with tempfile.TemporaryDirectory(prefix="saga-kill-") as folder, shared_statements():
        yield Path(folder)
