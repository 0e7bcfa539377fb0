"""What each source of settings says: flags, the environment, .env, and the nearest settings file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import pydantic_settings
from pydantic import BaseModel
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from saga_engine.errors import SettingsError
from saga_engine.settings.values import Settings

Key: TypeAlias = tuple[str, ...]

FILE: Final = "saga.toml"
PROJECT_FILE: Final = "pyproject.toml"
DOTENV: Final = ".env"
A_TABLE: Final = "Input should be a table of settings"
IN_STORE: Final = {"url": "store", "group": "store_group"}
"""``[store] url`` and ``group`` are another way to write ``store`` and ``store_group``."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says: leaves by key. Relative paths in it start at *base*."""

    name: str
    base: Path
    leaves: Mapping[Key, Any]
    is_file: bool = False
    variables: Mapping[str, str] | None = None
    """The variables, names in capitals, where the source has such."""

    def origin(self, key: Key) -> str:
        """The source of *key* in the words a person searches for: the flag, the variable, the file."""
        if self.variables is None:
            return f"flag --{key[-1].replace('_', '-')}" if self.name == "flag" else self.name
        names = ["_".join(("SAGA", "__".join(key[:length]))).upper() for length in range(len(key), 0, -1)]
        variable = next((name for name in names if name in self.variables), names[-1])
        return f"{variable} in {self.name}"


def settings_file(start: Path) -> Path | None:
    """The nearest ``saga.toml``, or ``pyproject.toml`` with ``[tool.saga]``, from *start* upwards."""

    def in_folder(folder: Path) -> Path | None:
        project = folder / PROJECT_FILE
        if (folder / FILE).is_file():
            return folder / FILE
        return project if project.is_file() and "saga" in _tools(project) else None

    return _nearest(start, Path(start.anchor), in_folder)


def dotenv_file(start: Path, root: Path) -> Path | None:
    """The nearest ``.env`` from *start* up to *root*."""
    return _nearest(start, root, lambda folder: folder / DOTENV if (folder / DOTENV).is_file() else None)


def from_flags(flags: Mapping[str, object], base: Path) -> Layer:
    """What was given on the command line; None was not given."""
    return Layer("flag", base, leaves_of({name: value for name, value in flags.items() if value is not None}))


def from_environment(base: Path) -> Layer:
    """What SAGA_* variables say."""
    return _from_variables(EnvSettingsSource(Settings), "the environment", base, os.environ)


def from_dotenv(path: Path) -> Layer:
    """What SAGA_* lines of a ``.env`` say."""
    return _from_variables(DotEnvSettingsSource(Settings, env_file=path), str(path), path.parent, read_dotenv(path))


def from_file(path: Path, profile: str | None) -> list[Layer]:
    """What the settings file says: first its part for *profile* (or the profile it names itself), then the rest."""
    values = _tools(path)["saga"] if path.name == PROJECT_FILE else _toml(path)
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: tool.saga: {A_TABLE}")
    profiles = values.pop("profiles", {})
    if not isinstance(profiles, dict):
        raise SettingsError(f"{path}: profiles: {A_TABLE} for each name")
    rest = Layer(str(path), path.parent, _file_leaves(values), is_file=True)
    name = profile or values.get("profile")
    if not name or not isinstance(name, str):  # what is no text, the model refuses with all the rest
        return [rest]
    if name not in profiles:
        raise SettingsError(f"{path}: there is no [profiles.{name}]. Profiles: {', '.join(profiles) or 'none'}.")
    if not isinstance(profiles[name], dict):
        raise SettingsError(f"{path}: profiles.{name}: {A_TABLE}")
    return [Layer(f"{path} [profiles.{name}]", path.parent, _file_leaves(profiles[name]), is_file=True), rest]


def read_dotenv(path: Path) -> dict[str, str]:
    """Every variable of a ``.env``, those that references name among them."""
    try:
        return {
            name: value
            for name, value in DotEnvSettingsSource(Settings, path, case_sensitive=True).env_vars.items()
            if value is not None
        }
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None


def leaves_of(values: Mapping[str, Any]) -> dict[Key, Any]:
    """Nested values as one flat table; lists are leaves."""
    return dict(_leaves(values, ()))


def _leaves(values: Mapping[str, Any], above: Key) -> Iterator[tuple[Key, Any]]:
    for name, value in values.items():
        inner = value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value
        if isinstance(inner, Mapping):
            yield from _leaves(inner, (*above, name))
        else:
            yield (*above, name), inner


def _file_leaves(values: Mapping[str, Any]) -> dict[Key, Any]:
    return {_plain(key): value for key, value in leaves_of(values).items()}


def _plain(key: Key) -> Key:
    match key:
        case ("store", inner, *_):
            return (IN_STORE.get(inner, ".".join(key)),)
    return key


def _from_variables(source: EnvSettingsSource, name: str, base: Path, variables: Mapping[str, str]) -> Layer:
    """Other variables that begin with SAGA_ are nobody's mistake: SAGA_ACTOR is one."""
    try:
        values = source()
    except pydantic_settings.SettingsError as error:
        raise SettingsError(f"{name}: {error}; write JSON, or one variable for each key: SAGA_ROLES__DBA") from None
    known = {key: value for key, value in values.items() if key in Settings.model_fields}
    return Layer(name, base, leaves_of(known), variables={key.upper(): value for key, value in variables.items()})


def _nearest(start: Path, top: Path, in_folder: Callable[[Path], Path | None]) -> Path | None:
    """What *in_folder* finds first, from *start* up to *top*.

    A file above *start* that belongs to another user is refused: settings name code to run, and anybody may
    write into a folder like /tmp. So is another user's link to a file that may be trusted, for the folder of the
    link is where its code is looked for; and a folder that may not be searched: nobody knows what would hold here.
    """
    for folder in (start, *start.parents):
        try:
            path = in_folder(folder)
            owners = _owners(path) - {0, os.geteuid(), start.stat().st_uid} if path else set()
        except OSError as error:
            raise SettingsError(
                f"{folder} cannot be searched for settings: {error.strerror}; make your own {FILE} in {start}"
            ) from None
        if owners and folder != start:
            raise SettingsError(f"{path} belongs to another user and is not used: make your own {FILE} in {start}")
        if path or folder == top:
            return path
    return None


def _owners(path: Path) -> set[int]:
    """Who can say what *path* holds: the owner of the file, and of the link where it is one."""
    return {path.stat().st_uid, path.lstat().st_uid}


def _tools(project: Path) -> dict[str, Any]:
    """The tables of ``[tool]``; what is written there otherwise is not ours to judge."""
    found = _toml(project).get("tool", {})
    return found if isinstance(found, dict) else {}


def _toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is no TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
