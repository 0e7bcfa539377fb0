"""Reading the settings: flag > SAGA_* > .env > saga.toml or pyproject [tool.saga] > default, and who said what."""

from __future__ import annotations

import os
from collections import ChainMap
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from saga_engine.errors import SettingsError
from saga_engine.settings import layers
from saga_engine.settings.layers import Key, Layer
from saga_engine.settings.secret import anchored, has_password, reference_problem
from saga_engine.settings.values import Settings

PLAINER: Final = {
    "tuple_type": 'Input should be a list, such as ["ann", "bob"]',
    "dict_type": "Input should be a table of names and values",
    "model_type": layers.A_TABLE,
}
"""What pydantic says in Python's words, in those of a settings file, by its kind."""


def load(start: Path | None = None, **flags: object) -> Settings:
    """Read the settings that hold in *start* (default: the working directory); a flag that is None was not given.

    The settings file is the nearest ``saga.toml``, or ``pyproject.toml`` with ``[tool.saga]``, upwards. Paths in it
    start at its folder, so every folder below finds the same store; paths in flags and variables start at *start*.
    Raises ``SettingsError`` naming source, key and remedy of all that is wrong.
    """
    start = _found(start)
    file = layers.settings_file(start)
    root = file.parent if file else start
    dotenv = layers.dotenv_file(start, root)
    said = [layers.from_flags(flags, start), layers.from_environment(start)]
    said += [layers.from_dotenv(dotenv)] if dotenv else []
    profile = _profile(said)
    if profile and not file:
        raise SettingsError(f"There is no saga.toml that could have a [profiles.{profile}]; saga init writes one")
    said += layers.from_file(file, profile) if file else []
    _refuse_misplaced(said)
    settings = _validated([*said, _default_paths(root)])
    origins = {".".join(key): layer.origin(key) for layer in reversed(said) for key in layer.leaves}
    settings.remember(root, origins, ChainMap(os.environ, layers.read_dotenv(dotenv)) if dotenv else os.environ)
    return settings


def _found(start: Path | None) -> Path:
    try:
        return (start or Path.cwd()).resolve()
    except OSError:
        raise SettingsError("The working directory is gone; go into one that is there, and try again") from None


def _profile(said: list[Layer]) -> str | None:
    return next((str(layer.leaves["profile",]) for layer in said if ("profile",) in layer.leaves), None)


def _default_paths(root: Path) -> Layer:
    """The defaults that are paths: they start at the settings file too."""
    return Layer("default", root, layers.leaves_of(Settings().model_dump(include={"store", "workflows", "exports"})))


def _refuse_misplaced(said: list[Layer]) -> None:
    """Refuse what is wrong because of where it stands."""
    problems = [
        f"{layer.origin(key)}: {'.'.join(key)}: {problem}"
        for layer in said
        for key, value in layer.leaves.items()
        if (problem := _misplaced(layer, key, value))
    ]
    if problems:
        raise SettingsError("\n".join(problems))


def _misplaced(layer: Layer, key: Key, value: object) -> str:
    if key == ("actor_from_env",) and layer.variables is not None:
        return "whoever sets SAGA_ACTOR must not be the one who allows it; set it in saga.toml"
    if key[0] not in {"store", "connections"} or not isinstance(value, str):
        return ""
    if layer.is_file and has_password(value):
        return "a password does not belong into this file; write env:NAME or file:PATH"
    return reference_problem(value)


def _validated(said: list[Layer]) -> Settings:
    """Lay the layers over one another, the first on top, and let the model judge."""
    tree: dict[str, Any] = {}
    for layer in reversed(said):
        for key, value in layer.leaves.items():
            _put(tree, key, _from_base(key, value, layer.base))
    try:
        return Settings(**tree)
    except ValidationError as error:
        mistakes = [_told(tuple(map(str, found["loc"])), found["type"], found["msg"], said) for found in error.errors()]
        raise SettingsError("\n".join(mistakes)) from None


def _put(tree: dict[str, Any], key: Key, value: object) -> None:
    for name in key[:-1]:
        if not isinstance(tree.get(name), dict):
            tree[name] = {}
        tree = tree[name]
    tree[key[-1]] = value


def _from_base(key: Key, value: object, base: Path) -> object:
    if key[0] in {"store", "connections"} and isinstance(value, str):
        return anchored(value, base)
    if key in {("workflows",), ("exports", "dir")} and isinstance(value, str | Path):
        return base / Path(value).expanduser()
    return value


def _told(key: Key, kind: str, message: str, said: list[Layer]) -> str:
    """One line on one mistake: where it stands, which key, what is wrong, what would be right."""
    where = next((layer.origin(known) for layer in said for known in layer.leaves if _touch(known, key)), "")
    name = ".".join(key)
    if kind != "extra_forbidden":
        return f"{where}: {name}: {PLAINER.get(kind, message)}"
    close = get_close_matches(name, _names(Settings), n=1)
    return f"{where}: {name} is no setting." + (f" Did you mean {close[0]}?" if close else "")


def _touch(one: Key, other: Key) -> bool:
    """True when one key is the other or lies above it."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _names(model: type[BaseModel], above: str = "") -> list[str]:
    names: list[str] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        inner = _names(kind, f"{above}{name}.") if isinstance(kind, type) and issubclass(kind, BaseModel) else []
        names += inner or [above + name]
    return names
