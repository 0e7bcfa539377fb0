"""Durable sagas for database migrations: they recover by themselves, undo what they did, and say why they wait.

Everything a saga file needs is here, loaded when it is first asked for: ``saga --help`` pays for none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saga_engine.domain.definition.facts import Approval, Facts, Step
    from saga_engine.domain.definition.saga import Saga
    from saga_engine.domain.definition.values import (
        Connection,
        Done,
        Event,
        Frozen,
        InDoubt,
        NotDone,
        Outcome,
        Retry,
        Verdict,
        hours,
        minutes,
        seconds,
    )
    from saga_engine.runtime.engine import Engine

__version__ = "0.1.0"

__all__ = [
    "Approval",
    "Connection",
    "Done",
    "Engine",
    "Event",
    "Facts",
    "Frozen",
    "InDoubt",
    "NotDone",
    "Outcome",
    "Retry",
    "Saga",
    "Step",
    "Verdict",
    "__version__",
    "hours",
    "minutes",
    "seconds",
]

_ROOMS = {
    "Approval": "domain.definition.facts",
    "Engine": "runtime.engine",
    "Facts": "domain.definition.facts",
    "Saga": "domain.definition.saga",
    "Step": "domain.definition.facts",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  PEP 562: whatever is asked for
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = import_module(f"{__name__}.{_ROOMS.get(name, 'domain.definition.values')}")
    value = globals()[name] = getattr(room, name)
    return value
