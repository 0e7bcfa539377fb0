"""Where the worker answers what one of its children asks: from the store, and from what its own loop knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from saga_engine import errors
from saga_engine.runtime.attempt import Attempt
from saga_engine.runtime.hands import StoreHands
from saga_engine.runtime.isolation.wire import Frame, WireBroken
from saga_engine.runtime.telling import told
from saga_engine.store.effects import Kept

LEVELS: Final = ("debug", "info", "warning", "error", "critical")


class Desk:
    """The answers for one attempt. Used by one thread."""

    def __init__(self, attempt: Attempt, hands: StoreHands) -> None:
        self._questions: Mapping[str, Callable[..., Any]] = {
            "cancelled": lambda: hands.cancelled(attempt),
            "heard": lambda: hands.heard(attempt),
            "counts": lambda: hands.counts(attempt),
            "note": lambda hints: hands.note(attempt, hints),
            "checkpoint": lambda: hands.checkpoint(attempt),
            "bind": lambda: hands.bind(attempt),
            "touch": lambda key, connection, ledger: _told(hands.touch(attempt, key, connection, ledger)),
            "known": lambda connection: _told(hands.known(attempt, connection)),
            "touched": hands.touched,
            "url": hands.targets.url,
        }

    def answer(self, frame: Frame) -> Frame | None:
        """The answer to a question; None for a line to log. ``WireBroken`` for what is neither."""
        match frame:
            case {"ask": str(question), "with": dict(given)} if question in self._questions:
                return self._answered(question, given)
            case {"log": str(event), "level": level, "fields": dict(fields)}:
                fields.pop("event", None)
                getattr(structlog.get_logger(), level if level in LEVELS else "info")(event, **fields)
                return None
            case _:
                raise WireBroken("neither a question nor a line to log")

    def _answered(self, question: str, given: Mapping[str, Any]) -> Frame:
        """Whatever goes wrong here is the answer: the step that asked deals with it, not the worker."""
        try:
            return {"answer": self._questions[question](**given)}
        except errors.SagaError as error:
            return {"error": type(error).__name__, "text": str(error)}
        except Exception as error:  # noqa: BLE001  as above
            return {"error": "SagaError", "text": told(error)}


def _told(kept: Kept | None) -> Frame | None:
    return None if kept is None else {"ledger": kept.ledger, "tasks": sorted(kept.tasks)}
