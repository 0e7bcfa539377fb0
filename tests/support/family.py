"""The processes that descend from one: known by a variable of their environment, whoever adopted them since."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

MARK: Final = "TEST_FAMILY"
LOOK_SECONDS: Final = 0.01


def family(mark: str) -> dict[int, str]:
    """Pid and name of every process that was started, by whomever, with ``TEST_FAMILY=mark``; the dead left out."""
    wanted = f"{MARK}={mark}\0".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "comm").read_text().strip()
    return found


def wait_until_alone(mark: str, but: frozenset[int], seconds: float) -> tuple[float, dict[int, str]]:
    """Wait until the family has no member *but* these: the seconds that took, and who is left after *seconds*."""
    began = time.monotonic()
    while (left := {pid: name for pid, name in family(mark).items() if pid not in but}) and (
        time.monotonic() - began < seconds
    ):
        time.sleep(LOOK_SECONDS)
    return time.monotonic() - began, left
