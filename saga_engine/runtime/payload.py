"""What comes in from people and programs, made fit to be stored: validated, canonical, within its limit."""

from collections.abc import Mapping
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from saga_engine import errors
from saga_engine.domain.codec import canonical
from saga_engine.domain.events import Event
from saga_engine.domain.finite import refuse_lost

M = TypeVar("M", bound=BaseModel)

KEY_LETTERS_MAX: Final = 500
"""Of a run key or an event key: PostgreSQL indexes no more than 2,704 bytes."""


def validated(model: type[M], given: BaseModel | Mapping[str, object], refusal: str) -> M:
    """*given* as *model*; ``BadInput`` that begins with *refusal* and names the fields, not their values."""
    try:
        return given if isinstance(given, model) else model.model_validate(dict(given))
    except ValidationError as error:
        raise errors.BadInput(f"{refusal}: {plain(error)}") from None


def as_json(value: BaseModel, what: str, most: int) -> str:
    """*value* as canonical JSON of at most *most* bytes; ``BadInput`` or ``PayloadTooLarge``."""
    try:
        text = canonical(value.model_dump(mode="json"))
        refuse_lost(value, text)
        size = len(text.encode())
    except UnicodeEncodeError:
        raise errors.BadInput(f"the store cannot hold {what}: it has half of a surrogate pair in it") from None
    except ValueError as error:
        raise errors.BadInput(f"the store cannot hold {what}: {error}") from None
    if size > most:
        raise errors.PayloadTooLarge(what=what, size=size, limit=most)
    return text


def refuse_unstorable(event: Event) -> None:
    """Refuse texts of an event that a database cannot hold; JSON in it is escaped."""
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, str):
            storable(value, name)


def storable(text: str, what: str) -> None:
    """Raise ``BadInput`` for NUL, which PostgreSQL has no text for, and for halves of surrogate pairs."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise errors.BadInput(f"the store cannot hold the {what}: it has a NUL or half of a surrogate pair in it")


def usable_key(key: str, what: str) -> None:
    """Raise ``BadInput`` for a key that names nothing, or is too long for a database's index."""
    storable(key, what)
    if not key.strip():
        raise errors.BadInput(f"the {what} is empty: leave it out, or say what it is")
    if len(key) > KEY_LETTERS_MAX:
        raise errors.BadInput(f"the {what} has {len(key)} letters; the limit is {KEY_LETTERS_MAX}")


def plain(error: ValidationError) -> str:
    """What is wrong with each field, without the values, which may be secrets."""
    return "; ".join(f"{'.'.join(map(str, x['loc'])) or 'input'}: {x['msg']}" for x in error.errors(include_url=False))
