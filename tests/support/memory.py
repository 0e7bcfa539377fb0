"""Folders of tests in memory: what is kept there costs no fsync, and survives kill -9 of a process as files do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")
BYTES_LEAST: Final = 2 << 30
"""So much must be free: all tests of one run may keep their files until its end."""
ROOT_VARIABLE: Final = "PYTEST_DEBUG_TEMPROOT"
"""Where pytest makes the folders of tests."""


def keep_folders_in_memory() -> None:
    """Have pytest make them there, unless somebody has said where, or the machine has no such place."""
    if ROOT_VARIABLE not in os.environ and _is_fit():
        os.environ[ROOT_VARIABLE] = str(MEMORY)


def _is_fit() -> bool:
    if not os.access(MEMORY, os.W_OK | os.X_OK):
        return False
    found = os.statvfs(MEMORY)
    return not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize >= BYTES_LEAST
