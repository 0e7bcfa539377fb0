"""Attempts in a process of their own: the same executor, with hands that ask the worker."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from datetime import timedelta
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from saga_engine import errors
from saga_engine.domain import codec
from saga_engine.domain import events as e
from saga_engine.failpoints import hit
from saga_engine.ledger.connect import open_target
from saga_engine.runtime import executor
from saga_engine.runtime.attempt import Attempt
from saga_engine.runtime.hands import Hands
from saga_engine.runtime.isolation import linux
from saga_engine.runtime.isolation.order import Order, read_order
from saga_engine.runtime.isolation.wire import Wire, WireBroken
from saga_engine.runtime.registry import Registry
from saga_engine.runtime.targets import Targets
from saga_engine.runtime.telling import told
from saga_engine.settings import Exports, Settings, resolve
from saga_engine.store.effects import Kept

if TYPE_CHECKING:
    import sqlalchemy as sa

ORDER_BYTES_MAX: Final = 1 << 31
"""A run with all its results: the worker is believed."""
LOG_BYTES_MAX: Final = 64 * 1024
LOOK_SECONDS: Final = 0.02
"""How old an answer to "am I cancelled", or "do I still count", may be: a step may ask in its innermost loop."""
_KINDS: Final[Mapping[str, type[errors.SagaError]]] = {
    name: kind
    for name in errors.__all__
    if isinstance(kind := getattr(errors, name), type) and issubclass(kind, errors.SagaError)
}
"""The errors that an answer may be: names of our own, no others."""


def main(end: socket.socket, sagas: Registry) -> int:
    """Run the attempts that are ordered on the line, one after the other; the exit code of this process.

    It stays for the next only where it may, and where nothing is left of the one before.
    """
    wire = Wire(end, ORDER_BYTES_MAX)
    me = os.getpid()
    # What a step forks may run on in our code, but nobody hears it.
    os.register_at_fork(after_in_child=wire.close)
    _log_to(wire)
    hands: PipeHands | None = None
    stays = True
    while stays and (frame := wire.receive()) is not None:  # None: the worker has ended, or changed its mind
        order = read_order(frame)
        chart = sagas.by_digest(order.run.digest)
        assert chart is not None, "a worker orders only what the fork server has loaded"
        hands = hands or PipeHands(wire, order)
        hands.begin()
        hit("runtime.isolation.ordered")
        report = copy_context().run(_report, Attempt(order.run, order.task, chart, order.incarnation), hands)
        if os.getpid() != me:
            return 0
        stays = order.stays and not hands.is_asking and linux.has_nothing_below()
        wire.send({"report": None if report is None else codec.dump(report), "stays": stays})
        hit("runtime.isolation.reported")
        _flush()
    return 0


def _report(attempt: Attempt, hands: Hands) -> e.Report | None:
    try:
        return executor.run(attempt, hands)
    except BaseException as error:  # noqa: BLE001  as on a thread: KeyboardInterrupt is a failure of the step, too
        return e.ActionFailed(*attempt.who, told(error))


class PipeHands(Hands):
    """Each question goes to the worker, which answers. Threads of a step may share them."""

    def __init__(self, wire: Wire, order: Order) -> None:
        targets = PipedTargets(lambda name: str(self._ask("url", name=name)), order.lease_seconds)
        super().__init__(targets, order.store_uuid, order.result_bytes_max, Exports.model_validate(order.exports))
        self._wire = wire
        self._asking = Lock()
        self.is_asking = False
        """A question has got no answer, which may come yet."""
        self.begin()

    def begin(self) -> None:
        """Forget what was known of an attempt before."""
        self._cancelled = False
        self._counts = True
        self._looked_at = self._heard_at = 0.0

    def cancelled(self, _attempt: Attempt, /) -> bool:
        """As of a moment ago; nobody wants a result that nobody can hear of."""
        if not self._cancelled and monotonic() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = monotonic()
            try:
                self._cancelled = bool(self._ask("cancelled"))
            except errors.StoreUnreachable:
                self._cancelled = True
        return self._cancelled

    def heard(self, _attempt: Attempt, /) -> bool:
        """As of a moment ago; the worker hears of it as often."""
        if self._counts and monotonic() - self._heard_at >= LOOK_SECONDS:
            self._heard_at = monotonic()
            try:
                self._counts = bool(self._ask("heard"))
            except errors.StoreUnreachable:
                self._counts = False
        return self._counts

    def counts(self, _attempt: Attempt, /) -> bool:
        """See ``Hands``."""
        return bool(self._ask("counts"))

    def note(self, _attempt: Attempt, /, hints: dict[str, str]) -> bool:
        """See ``Hands``."""
        return bool(self._ask("note", hints=hints))

    def checkpoint(self, _attempt: Attempt, /) -> str | None:
        """See ``Hands``."""
        found: str | None = self._ask("checkpoint")
        return found

    def bind(self, _attempt: Attempt, /) -> str | None:
        """See ``Hands``."""
        bound: str | None = self._ask("bind")
        return bound

    def touch(self, _attempt: Attempt, /, key: str, connection: str, ledger: str) -> Kept | None:
        """See ``Hands``."""
        return _kept(self._ask("touch", key=key, connection=connection, ledger=ledger))

    def known(self, _attempt: Attempt, /, connection: str) -> Kept | None:
        """See ``Hands``."""
        return _kept(self._ask("known", connection=connection))

    def touched(self, key: str) -> dict[str, str]:
        """See ``Hands``."""
        return dict(self._ask("touched", key=key))

    def _ask(self, question: str, **given: object) -> Any:  # noqa: ANN401  as the question is
        """One question, one answer; what the worker's side raised is raised here, as what it was."""
        if not self._wire.is_open:  # in what a step has forked: the lock, too, may be another's for ever
            raise errors.StoreUnreachable("this process was forked by a step: ask in the step's own")
        try:
            with self._asking:
                self.is_asking = True
                self._wire.send({"ask": question, "with": given})
                answer = self._wire.receive()
                self.is_asking = False
        except WireBroken as broken:
            raise errors.StoreUnreachable(f"the worker does not answer: {broken}") from None
        if answer is None:
            raise errors.StoreUnreachable("the worker does not answer: it has ended, or has given this attempt up")
        if "error" in answer:
            raise _KINDS.get(answer["error"], errors.SagaError)(answer["text"])
        return answer["answer"]


class PipedTargets(Targets):
    """Targets whose URLs are asked for when they are first opened; from then on nothing that is told shows a secret."""

    def __init__(self, url_of: Callable[[str], str], lease_seconds: float) -> None:
        super().__init__(Settings())
        self._lease = timedelta(seconds=lease_seconds)
        self._url_of = url_of

    def _opened(self, name: str) -> sa.Engine:
        url = resolve(f"connections.{name}", self._url_of(name), {}, Path.cwd()).get_secret_value()
        return open_target(name, url, lease=self._lease)


def _kept(told: Mapping[str, Any] | None) -> Kept | None:
    return None if told is None else Kept(told["ledger"], frozenset(told["tasks"]))


def _log_to(wire: Wire) -> None:
    """Lines go to the worker, which writes them where and as its program wants them."""

    def send(_logger: WrappedLogger, level: str, event: EventDict) -> EventDict:
        text = str(event.pop("event", ""))
        line = {"log": text, "level": level, "fields": event}
        if len(repr(line)) > LOG_BYTES_MAX:
            line = {"log": text[:200], "level": level, "fields": {"left_out": "the line is too long"}}
        with suppress(WireBroken):
            wire.send(line)
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info, send],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        cache_logger_on_first_use=False,
    )


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
