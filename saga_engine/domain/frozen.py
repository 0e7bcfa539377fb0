"""Values that never change: events, commands, snapshots. A decision makes and copies dozens of them.

They are ``msgspec`` structs, made, copied and written as JSON in C: a tenth of what frozen dataclasses cost
(docs/decisions/0040).
"""

from copy import copy
from typing import TYPE_CHECKING, Final, dataclass_transform

from msgspec import Struct
from msgspec.structs import force_setattr

if TYPE_CHECKING:
    from dataclasses import replace  # the checkers know its fields
else:
    from msgspec.structs import replace

__all__ = ["Told", "Value", "copied", "put", "replace"]


@dataclass_transform(frozen_default=True)
class Value(Struct, frozen=True, omit_defaults=True, gc=False):
    """A frozen value. It can be no part of a circle, so the garbage collector need not look at it."""


@dataclass_transform(frozen_default=True)
class Told(Value, frozen=True, tag=True, tag_field="kind"):
    """A value that the journal tells: its JSON names its class as ``kind``."""


copied: Final = copy
"""Another object of the same class with the same fields."""

put: Final = force_setattr
"""Sets a field of a copy that nobody else has seen yet."""
