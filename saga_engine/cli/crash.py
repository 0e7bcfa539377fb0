"""The details of an error that nobody expected, in a file of the user's, without secrets."""

from __future__ import annotations

import platform
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import saga_engine
from saga_engine.cli import folder
from saga_engine.settings import is_url, redact, redact_value


def kept(error: BaseException) -> Path | None:
    """Write the traceback of *error* and what is needed to understand it; None where no file can be written."""
    about = f"saga-engine {saga_engine.__version__}, Python {platform.python_version()}, {platform.platform()}"
    words = " ".join(_words(sys.argv[1:]))
    details = redact("".join(traceback.format_exception(error)))
    return folder.keep_crash(f"{about}\nsaga {words}\n\n{details}")


def _words(arguments: Sequence[str]) -> Iterator[str]:
    """What was typed: names of options are kept, of their values only what is no secret by its form."""
    option = False
    for word in arguments:
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            yield f"{name}={_value(value)}" if equals else name
        elif word.startswith("-") and word != "-":
            yield word[:2]
        else:
            yield _value(word) if option else redact_value(word)
        option = word.startswith("-") and not (word.startswith("--") and equals)


def _value(value: str) -> str:
    """A URL without its password, the name of a pair; nothing of any other text: it may be anything."""
    if is_url(value):
        return redact_value(value)
    name, equals, _ = value.partition("=")
    return f"{name}=***" if equals and name.isidentifier() else "***"
