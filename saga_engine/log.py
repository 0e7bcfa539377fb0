"""Logging: lines for people on a terminal, JSON elsewhere, always to standard error, never with a secret.

Modules write ``log = structlog.get_logger()`` and ``log.info("run.moved", source=..., target=...)``; the names of
events equal journal kinds. Run, state and attempt are bound once, at the door, with ``bound``.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Final, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from saga_engine.settings.secret import HIDDEN, is_secret_name, redact

LEVELS: Final = {-1: logging.ERROR, 0: logging.INFO, 1: logging.DEBUG}
"""By verbosity: ``-q`` is -1, ``-v`` is 1."""


def configure(verbosity: int = 0, stream: TextIO | None = None, *, json: bool | None = None) -> None:
    """Send log lines to *stream* (default: standard error), our own and those of libraries alike.

    *json* None means: JSON unless *stream* is a terminal. Libraries are heard from WARNING on. A line that cannot be
    written is lost, and breaks nobody. Takes the place of every handler of the root logger, which it closes: for the
    command line and the processes that the engine starts, once in each.
    """
    out = _Out(stream)
    renderer = _renderer(out, json=json)
    _configure_ours(out, renderer, verbosity)
    handler = logging.StreamHandler(cast("TextIO", out))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_shared()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def configure_embedded() -> None:
    """Send our own lines to standard error, unless structlog has been configured already.

    Python's logging stays as it is: it belongs to the program that embeds the engine.
    """
    if not structlog.is_configured():
        out = _Out(None)
        _configure_ours(out, _renderer(out, json=None), 0)


def _configure_ours(out: _Out, renderer: Processor, verbosity: int) -> None:
    structlog.configure(
        processors=[*_shared(), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[max(min(verbosity, max(LEVELS)), min(LEVELS))]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", out)),
        cache_logger_on_first_use=False,
    )


def bound(run: str, state: str, attempt: int) -> AbstractContextManager[None]:
    """Put *run*, *state* and *attempt* into every line of this thread or task until the block ends."""
    return structlog.contextvars.bound_contextvars(run=run, state=state, attempt=attempt)


def _shared() -> list[Processor]:
    """Everything up to the rendering. Tracebacks become text first, so that they are redacted like any other."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        _redact_values,
    ]


class _Out:
    """What is said goes to *stream*, or to what is standard error at that moment.

    It may have been replaced since, closed, or stand on a full disk: no worker stops for that, and no thread of one.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._given = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            if stream := self._stream():
                stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            if stream := self._stream():
                stream.flush()

    def isatty(self) -> bool:
        with suppress(ValueError):
            return bool((stream := self._stream()) and stream.isatty())
        return False

    def _stream(self) -> TextIO | None:
        return self._given or sys.stderr  # None in a process that was started without


def _renderer(stream: _Out, *, json: bool | None) -> Processor:
    if not stream.isatty() if json is None else json:
        return structlog.processors.JSONRenderer(default=str)
    colors = stream.isatty() and not os.environ.get("NO_COLOR")
    return structlog.dev.ConsoleRenderer(
        colors=colors, timestamp_key="at", exception_formatter=structlog.dev.plain_traceback
    )


def _redact_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: _redacted(name, value) for name, value in event.items()}


def _redacted(name: str, value: object) -> object:
    """*value* without secrets. Numbers, booleans and None cannot hold one; what is no JSON becomes text first."""
    if is_secret_name(name):
        return HIDDEN
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(inner_name): _redacted(str(inner_name), inner) for inner_name, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted(name, inner) for inner in value]
        case _:
            return redact(str(value))
