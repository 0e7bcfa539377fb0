"""The details of an error that nobody expected, in a file of the user's, without secrets."""

from __future__ import annotations

import platform
import sys
import traceback
from pathlib import Path

import saga_engine
from saga_engine.cli import folder
from saga_engine.settings import redact


def kept(error: BaseException) -> Path | None:
    """Write the traceback of *error* and what is needed to understand it; None where no file can be written."""
    about = f"saga-engine {saga_engine.__version__}, Python {platform.python_version()}, {platform.platform()}"
    words = " ".join(sys.argv[1:])
    return folder.keep_crash(redact(f"{about}\nsaga {words}\n\n{''.join(traceback.format_exception(error))}"))
