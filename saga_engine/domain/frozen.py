"""Copies of frozen, slotted dataclasses, at half the price: a decision makes a dozen.

``dataclasses.replace`` looks at every field anew and goes through ``__init__``; here the slots of a class are looked
up once.
"""

import dataclasses
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

V = TypeVar("V")

put: Final = object.__setattr__
"""Sets a field of a copy that nobody else has seen yet."""


def copied(value: V) -> V:
    """Another object of the same class with the same fields, which must be two at least."""
    cls = type(value)
    get, setters = _slots.get(cls) or _looked_up(cls)
    made = object.__new__(cls)
    for setter, field in zip(setters.values(), get(value), strict=True):
        setter(made, field)
    return made


if TYPE_CHECKING:
    from dataclasses import replace as replace  # noqa: PLC0414  the checkers know its fields
else:

    def replace(value: Any, /, **changes: Any) -> Any:  # noqa: ANN401  see the type above
        """A copy of *value* with these fields changed."""
        made = copied(value)
        setters = _slots[type(value)][1]
        for name, field in changes.items():
            setters[name](made, field)
        return made


_slots: Final[dict[type, tuple[Callable[[Any], tuple[Any, ...]], Mapping[str, Callable[[Any, Any], None]]]]] = {}


def _looked_up(cls: type[Any]) -> tuple[Callable[[Any], tuple[Any, ...]], Mapping[str, Callable[[Any, Any], None]]]:
    names = [field.name for field in dataclasses.fields(cls)]
    _slots[cls] = attrgetter(*names), {name: getattr(cls, name).__set__ for name in names}
    return _slots[cls]
