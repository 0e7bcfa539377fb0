"""What the table must know of a function: a name to store results under and the model to read them back with."""

from collections.abc import Callable
from inspect import iscoroutinefunction, signature
from types import NoneType
from typing import Any, get_type_hints

from pydantic import BaseModel

from saga_engine.errors import DefinitionError


def named(work: Callable[..., object]) -> str:
    """The function's name; rows, journal, diagram and digest use it, so a lambda or a nested function has none."""
    name = getattr(work, "__qualname__", "<object>")
    if "<" in name:
        raise DefinitionError(f"{name}: give it a name with `def` at module level; the journal and the diagram show it")
    return str(name)


def result_model(work: Callable[..., object]) -> type[BaseModel] | None:
    """The annotated result of a step: one pydantic model, or None for a step that returns nothing.

    Type checkers let ``Exported | None`` pass, and ``step.of`` could then not promise an Exported.
    """
    named(work)
    return model_of(work)


def model_of(work: Callable[..., object]) -> type[BaseModel] | None:
    """The annotated result of any function, the nested ones that do the work of an effect included."""
    annotation = hints(work).get("return", object)
    if annotation in (None, NoneType):
        return None
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    name = getattr(work, "__qualname__", repr(work))
    raise DefinitionError(f"{name}: annotate the result with one pydantic model or None, not {annotation}")


def hints(work: Callable[..., object]) -> dict[str, Any]:
    """The function's resolved annotations; a name that cannot be found at module level is a definition error."""
    try:
        return get_type_hints(work)
    except NameError as error:
        raise DefinitionError(f"{work.__qualname__}: {error}; the models of a step must live at module level") from None


def takes_facts(guard: Callable[..., object]) -> bool:
    """True when *guard* wants the facts as a second argument."""
    return len(signature(guard).parameters) > 1


def is_async(work: Callable[..., object]) -> bool:
    """True when *work* must be awaited."""
    return iscoroutinefunction(work)
