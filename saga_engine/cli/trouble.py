"""What went wrong, as one line, a hint and an exit code. No traceback ever reaches a user."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from shlex import quote
from typing import Final, TextIO

import click
from click.exceptions import Exit, NoArgsIsHelpError

from saga_engine.errors import (
    BadInput,
    Conflict,
    DefinitionError,
    LedgerError,
    NotAllowed,
    NotFound,
    SagaError,
    SettingsError,
    StoreError,
)

FAILED: Final = 1
USAGE: Final = 2
CTRL_C: Final = 130

CLOSE: Final = 0.7
"""How alike two names are when one may be meant for the other (difflib)."""
MEANT: Final = {"saga": "loaded", "state": "states", "event": "events", "run": "runs"}
"""The fact of an error that may be mistyped, and the fact that holds what there is."""


class Refused(click.UsageError):
    """Something is missing on the command line; *hint* is the command or flag that helps."""

    def __init__(self, text: str, hint: str) -> None:
        super().__init__(text)
        self.hint = hint


def told(error: BaseException) -> int:
    """Say on standard error what went wrong; return the exit code."""
    match error:
        case Exit():
            return error.exit_code
        case SystemExit():  # click has printed a script for completion
            return error.code if isinstance(error.code, int) else FAILED if error.code else 0
        case SagaError():
            _say(str(error) + _meant(error), error.next_command or _next(error))
            return error.exit_code
        case Refused():
            _say(error.format_message(), error.hint)
        case NoArgsIsHelpError():
            _print(error.format_message())
        case click.UsageError():
            _say(_usage(error), f"{error.ctx.command_path if error.ctx else 'saga'} --help")
        case click.ClickException():
            _say(error.format_message(), "")
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            return CTRL_C
        case BrokenPipeError():
            _forget(sys.stdout)  # who read us has gone
            return FAILED
        case OSError(errno=errno.ENOSPC, filename=None):
            _forget(sys.stdout)
            _say("no room is left where standard output goes", "free some, or send it elsewhere")
            return FAILED
        case _:
            return _unexpected(error)
    return USAGE


def forget_unsaid() -> None:
    """Let what standard error did not take go nowhere: Python would end with 120 for it."""
    try:
        sys.stderr.flush()
    except OSError:
        _forget(sys.stderr)


def _forget(stream: TextIO) -> None:
    """Let what is left in *stream* go nowhere: Python would complain of it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def note(text: str) -> None:
    """Say something beside the data."""
    _print(one_line(text))


def leave_ctrl_c() -> None:
    """Begin a new line where a terminal has written ``^C``."""
    if sys.stderr.isatty():
        _print("")


def _print(text: str) -> None:
    """Onto standard error. Where it takes nothing, the exit code alone tells how it went, and it stays the true one."""
    with suppress(OSError):
        click.echo(text, err=True)


def one_line(text: str) -> str:
    """*text* without line breaks and without characters that would move a terminal's cursor."""
    return "; ".join(clean(line).strip() for line in text.splitlines() if line.strip())


def clean(text: str) -> str:
    """*text* with control characters made visible: what a database holds must not speak to a terminal."""
    return "".join(char if char.isprintable() or char in "\t\n" else f"\\x{ord(char):02x}" for char in text)


def _say(text: str, hint: str) -> None:
    note(f"error: {text}")
    if hint:
        note(f"hint:  {hint}")


def _next(error: SagaError) -> str:
    """The command that helps where the error itself names none: it looks at what the error is about."""
    match error:
        case StoreError() | LedgerError():
            return "saga doctor"
        case Conflict() if "run" in error.facts:
            return f"saga why {quote(str(error.facts['run']))}"
        case NotAllowed() | SettingsError():
            return "saga config show --origin"
        case NotFound():
            return "saga list"
        case DefinitionError():
            return "saga check"
        case BadInput() if "command" in error.facts:
            return f"{error.facts['command']} --help"
        case _:
            return "saga doctor"


def _usage(error: click.UsageError) -> str:
    """Click's sentence, begun in small letters and ended, its suggestion said as everywhere else."""
    text = error.message if isinstance(error, click.NoSuchCommand | click.NoSuchOption) else error.format_message()
    close = getattr(error, "possibilities", None) or []
    return f"{text[:1].lower()}{text[1:]}" + (f" Did you mean {' or '.join(close)}?" if close else "")


def _meant(error: SagaError) -> str:
    """What may have been meant by a name that is nearly right."""
    for typed, known in MEANT.items():
        if typed in error.facts and known in error.facts:
            close = get_close_matches(str(error.facts[typed]), listed(error.facts[known]), n=2, cutoff=CLOSE)
            return f" Did you mean {' or '.join(close)}?" if close else ""
    return ""


def listed(fact: object) -> list[str]:
    """The names that a fact of an error holds: in a list, or with commas between them."""
    if isinstance(fact, str):
        return fact.split(", ")
    return [str(name) for name in fact] if isinstance(fact, list | tuple) else []


def _unexpected(error: BaseException) -> int:
    """A bug of ours, or of a library: the details go into a file, where nobody's screen shows them."""
    # The engine's rooms are heavy, and here they are needed once in a blue moon.
    path = import_module("saga_engine.cli.crash").kept(error)
    where = f"the details are in {path}" if path else "and the details could not be written to the state folder"
    _say(f"unexpected {type(error).__name__}; {where}", "report it with that file; saga doctor")
    return FAILED
