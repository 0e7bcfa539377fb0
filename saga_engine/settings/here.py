"""What only this machine and this installation can tell: who acts, and where the shipped sagas lie."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import saga_engine
from saga_engine.errors import NotAllowed, SettingsError
from saga_engine.settings.values import Settings


def actor(settings: Settings) -> str:
    """Who acts: the operating-system user, or SAGA_ACTOR where the settings allow it (SEMANTICS, "Actor").

    A SAGA_ACTOR that is not allowed is refused, not ignored: the verdict would carry a name nobody expects.
    """
    named = os.environ.get("SAGA_ACTOR", "").strip()
    if named and not settings.actor_from_env:
        raise NotAllowed(
            f"SAGA_ACTOR is set to {named}, and the settings do not allow it: unset it, "
            "or write actor_from_env = true into saga.toml"
        )
    return named or system_user()


def system_user() -> str:
    """The name of the operating-system user that this process runs as."""
    # Not getpass.getuser(): that believes LOGNAME and USER, which anyone may set.
    user = os.getuid()
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"uid{user}"


def shipped_workflows() -> Path:
    """The folder of the sagas that come with the engine: inside the wheel, or beside the package in a checkout."""
    package = Path(saga_engine.__file__).parent
    for folder in (package / "_workflows", package.parent / "workflows"):
        if folder.is_dir():
            return folder
    raise SettingsError(f"The shipped sagas are missing beside {package}: install saga-engine again")
