"""The settings as values: what may be set, in which unit, and what holds when nobody sets it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, PrivateAttr, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from saga_engine.errors import SettingsError
from saga_engine.settings.secret import redact, redact_value, resolve

KIBIBYTE = 1024
RENEWALS_PER_LEASE = 2
"""One renewal may be lost, and the lease still holds."""


class Limits(BaseModel):
    """The bounds of every loop, wait and payload (SEMANTICS, "Constants")."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    lease_seconds: PositiveFloat = 15.0
    """How long a worker's incarnation holds its tasks without a renewal."""
    renew_seconds: PositiveFloat = 5.0
    """How often it renews; at least twice in a lease."""
    poll_seconds: PositiveFloat = 0.5
    """How often an idle worker looks for due tasks."""
    poll_jitter: float = Field(default=0.2, ge=0.0, lt=1.0)
    """By which part of itself the poll varies, up and down, so that workers do not look in step."""
    batch_rows: PositiveInt = 200
    """How many reports the recorder writes in one transaction."""
    batch_milliseconds: PositiveFloat = 5.0
    """How long it collects them."""
    write_lock_milliseconds: PositiveFloat = 50.0
    """How long a transaction of a batch may hold SQLite's write lock."""
    grace_seconds: PositiveFloat = 10.0
    """How long an attempt that was asked to end may take."""
    visits_max: PositiveInt = 100
    """How often a run may be in one state; one more parks it."""
    transitions_max: PositiveInt = 10_000
    """How many transitions a run may make; one more parks it."""
    event_bytes_max: PositiveInt = 256 * KIBIBYTE
    """How large the payload of an event may be."""
    input_bytes_max: PositiveInt = 1024 * KIBIBYTE
    """How large the input of a run may be."""
    result_bytes_max: PositiveInt = 1024 * KIBIBYTE
    """How large the result of a step may be."""
    inbox_max: PositiveInt = 1_000
    """How many deferred events a run keeps; the next sender is refused."""
    deferred_days: PositiveFloat = 7.0
    """How long a deferred event waits for a state that takes it."""
    memory_mib: PositiveInt | None = None
    """How much memory, in MiB, a step in a process of its own may use; None: what there is."""

    @model_validator(mode="after")
    def _renews_in_time(self) -> Self:
        if self.renew_seconds * RENEWALS_PER_LEASE > self.lease_seconds:
            raise ValueError("renew_seconds must fit at least twice into lease_seconds")
        return self


class Exports(BaseModel):
    """Where steps put files, and whether every worker sees them there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dir: Path = Path(".saga/exports")
    shared: bool = False
    """False: later tasks of a run stay on the host that wrote the files."""


class Settings(BaseSettings):
    """Everything that may be set. ``load`` reads it from where people set it; made directly, it takes its arguments.

    Its printed form shows no password.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="SAGA_", env_nested_delimiter="__")

    store: str = "sqlite:///.saga/saga.db"
    """The engine's own database: a URL, or a reference like those of *connections*."""
    store_group: str | None = None
    """The group that may use a SQLite store: its files are then 0660 instead of 0600."""
    workflows: Path = Path("workflows")
    """The folder of sagas, or one file."""
    connections: dict[str, str] = {}
    """Name to URL, ``env:NAME`` or ``file:PATH``. Runs hold the name only."""
    roles: dict[str, tuple[str, ...]] = {}
    """Role to the actors that have it."""
    exports: Exports = Exports()
    actor_from_env: bool = False
    """Whether SAGA_ACTOR may name the actor; taken from a settings file only, never from the environment itself."""
    profile: str | None = None
    """Which ``[profiles.NAME]`` of the settings file is laid over the rest of it."""
    limits: Limits = Limits()

    _root: Path = PrivateAttr(default_factory=Path.cwd)
    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _environment: Mapping[str, str] = PrivateAttr(default_factory=lambda: os.environ)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  pydantic's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take arguments only: ``load`` asks the other sources itself, to know what came from where."""
        return (init_settings,)

    def remember(self, root: Path, origins: Mapping[str, str], environment: Mapping[str, str]) -> None:
        """Keep where relative paths start, who set what, and where ``env:`` looks; for ``load`` alone."""
        self._root, self._origins, self._environment = root, origins, environment

    def origin(self, name: str) -> str:
        """Where *name* (dotted, such as "limits.lease_seconds") was set: a flag, a variable, a file, or "default"."""
        return self._origins.get(name, "default")

    def store_url(self) -> SecretStr:
        """The store's URL, with its reference resolved."""
        return resolve("store", self.store, self._environment, self._root)

    def connection(self, name: str) -> SecretStr:
        """The URL of the connection *name*; ``SettingsError`` where it is unknown or its reference leads nowhere."""
        reference = self.connections.get(name)
        if reference is None:
            known = ", ".join(sorted(self.connections)) or "none"
            raise SettingsError(
                f"No connection is called {name}. Known: {known}. Add it under [connections] in saga.toml."
            )
        return resolve(f"connections.{name}", reference, self._environment, self._root)

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        for name in type(self).model_fields:
            yield name, Shown(redact(repr(_without_passwords(getattr(self, name)))))

    __str__ = BaseSettings.__repr__


def _without_passwords(value: object) -> object:
    """URLs are redacted one by one: where quotes stand around them, a password may hold the same."""
    match value:
        case str():
            return redact_value(value)
        case Mapping():
            return {name: _without_passwords(inner) for name, inner in value.items()}
        case _:
            return value


class Shown(str):
    """Text whose printed form is itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
