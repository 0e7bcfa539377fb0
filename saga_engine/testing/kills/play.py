"""What a trial plays: the seam between whoever kills and whoever knows what is right."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from saga_engine.runtime.engine import Engine
from saga_engine.testing.kills.forks import Tell


class Play(ABC):
    """What is done again and again, once for each key, by processes that may die anywhere in it."""

    @abstractmethod
    def open(self) -> Engine:
        """Open the store, which is there."""

    @abstractmethod
    def act(self, engine: Engine, key: str, tell: Tell) -> None:
        """Take the run called *key* from its start to its end, or on from where an earlier process was killed.

        Tells what the engine has acknowledged, as soon as it has.
        """

    @abstractmethod
    def problems(self, engine: Engine, key: str, told: Sequence[Any]) -> list[str]:
        """What is wrong with the run that has ended, given all that was acknowledged; nothing, if all is well."""
