"""NaN and the infinities: JSON has no word for them, and pydantic writes null where a field may be anything."""

from collections.abc import Collection, Mapping
from math import isfinite

from pydantic import BaseModel


def refuse_lost(value: BaseModel, text: str) -> None:
    """Raise ``ValueError`` if *text*, the JSON of *value*, has null where *value* has a number that is not finite."""
    if "null" in text and not _is_finite(value.model_dump(warnings=False)):
        raise ValueError("NaN and infinity are no JSON")


def _is_finite(tree: object) -> bool:
    """Whether every number in it is finite; without recursion, for it may be as deep as its sender liked."""
    left = [tree]
    while left:
        match left.pop():
            case float() as number if not isfinite(number):
                return False
            case Mapping() as mapping:
                left += mapping.values()
            case str() | bytes():
                pass
            case Collection() as several:
                left += several
            case _:
                pass
    return True
