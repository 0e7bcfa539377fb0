"""Numbers that are not finite: they are refused where pydantic would silently write null for them."""

from __future__ import annotations

from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest
from pydantic import BaseModel

from saga_engine.domain.codec import canonical
from saga_engine.domain.finite import refuse_lost


class Loose(BaseModel):
    """A field that may be anything, and another that is null."""

    n: Any
    empty: str | None = None


def text_of(value: BaseModel) -> str:
    return canonical(value.model_dump(mode="json"))


@pytest.mark.parametrize("number", [nan, inf, -inf])
@pytest.mark.parametrize("depth", [0, 1, 2, 50])
def test_a_number_that_would_become_null_is_refused_however_deep(number: float, depth: int) -> None:
    tree: Any = number
    for level in range(depth):
        tree = ([1.5, "x", b"y", tree], {"a": None, "b": tree}, (tree,))[level % 3]
    with pytest.raises(ValueError, match="NaN and infinity are no JSON"):
        refuse_lost(Loose(n=tree), text_of(Loose(n=tree)))


@pytest.mark.parametrize("value", [None, 1.5, {"a": [None, "null", 2]}, Decimal("NaN"), "NaN"])
def test_what_arrives_as_it_is_passes(value: Any) -> None:
    refuse_lost(Loose(n=value), text_of(Loose(n=value)))
    refuse_lost(Loose(n=value, empty=""), text_of(Loose(n=value, empty="")))
