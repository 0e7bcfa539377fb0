"""What a user's function has raised, as a run may keep it."""

import re
from typing import Final

from saga_engine.ledger import mariadb_errors
from saga_engine.settings import redact

ERROR_TEXT_MAX: Final = 500
"""Characters of an exception's text that the journal keeps."""
LOOKED_AT_MAX: Final = 64 * 1024
"""Of so many secrets are taken out: what was raised may quote a file."""
DATA_EXCEPTION: Final = "22"
"""The class of SQLSTATEs whose messages quote the value: invalid input syntax for type integer: "…"."""
QUOTED: Final = re.compile("[\"„“«»‚‘’'].*", re.DOTALL)  # noqa: RUF001  as languages quote
"""A quoted value, and all that follows: it may hold quotes itself."""


def told(error: BaseException) -> str:
    """An exception as one line for the journal: its type, its SQLSTATE, its primary message. No row values, no secrets.

    A driver's detail lines hold row values; they are left out.
    """
    origin = getattr(error, "orig", None) or error
    state = getattr(origin, "sqlstate", None)
    primary = getattr(getattr(origin, "diag", None), "message_primary", None)
    if primary and str(state).startswith(DATA_EXCEPTION):
        primary = QUOTED.sub("…", primary)
    text = primary or mariadb_errors.without_values(origin) or _first_line(origin)
    said = f"{type(origin).__name__}{f' {state}' if state else ''}: {text}"
    return _storable(redact(said[:LOOKED_AT_MAX]))[:ERROR_TEXT_MAX]


def _first_line(error: object) -> str:
    try:
        return next(iter(str(error).splitlines()), "")
    except Exception:  # noqa: BLE001  a user's exception may not even be able to say what it is
        return "it has no text"


def _storable(text: str) -> str:
    """*text* with what a database cannot hold written as escapes: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
