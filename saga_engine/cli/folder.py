"""The user's state folder: the last run touched, and the details of a crash. Nothing depends on it being there."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path


def state_folder() -> Path:
    """``$XDG_STATE_HOME/saga``, else ``~/.local/state/saga``; it may not exist."""
    named = Path(os.environ.get("XDG_STATE_HOME") or "")
    return (named if named.is_absolute() else _home() / ".local" / "state") / "saga"


def remember_last(store: str, run_id: str) -> None:
    """Let ``@last`` mean *run_id* in *store* (its URL) from now on. Best effort."""
    with suppress(OSError), _new_file(_last_file(store)) as path:
        path.write_text(run_id)


def last(store: str) -> str | None:
    """The id of the run that this user touched last in *store*; None where there is none."""
    try:
        found = _last_file(store).read_text()
    except (OSError, UnicodeDecodeError):
        return None
    return found if re.fullmatch("[0-9a-f]{32}", found) else None


def keep_crash(text: str) -> Path | None:
    """Write the details of an error that nobody expected; None where that cannot be done."""
    moment = datetime.now(UTC)
    path = state_folder() / f"crash-{moment:%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    try:
        with _new_file(path) as file:
            file.write_text(text)
    except OSError:
        return None
    return path


def _last_file(store: str) -> Path:
    """The name holds a digest: a URL may hold a password."""
    return state_folder() / "last" / sha256(store.encode()).hexdigest()[:20]


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A file beside *path* that replaces it at the end of the block, for its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        beside.touch(mode=0o600, exist_ok=False)
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _home() -> Path:
    """The user's home; HOME may be empty, and a user may have no entry in the password file."""
    named = Path(os.environ.get("HOME") or "")
    if named.is_absolute():
        return named
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path(tempfile.gettempdir()) / f"saga-{os.getuid()}"
