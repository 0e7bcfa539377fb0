"""Help for testing sagas: a ``step`` without an engine, and a ``Harness``, an engine whose clock skips time.

Loaded when first asked for: pytest looks in here whenever it runs, also where nobody tests a saga.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from saga_engine.testing.harness import Harness
    from saga_engine.testing.unit import UnitStep, step

__all__ = ["Harness", "UnitStep", "step"]

_ROOMS: Final = {"Harness": "harness", "UnitStep": "unit", "step": "unit"}


def __getattr__(name: str) -> Any:  # noqa: ANN401  PEP 562: whatever is asked for
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    return value
