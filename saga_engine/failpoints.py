"""Named places where a test lets this process die, fail, wait or stop. Off unless switched on; the ground floor.

``hit("ledger.part.after_insert")`` stands at every commit and statement boundary. To switch points on, set
``SAGA_FAILPOINTS`` before the process starts, or use ``switched_on`` in one::

    SAGA_FAILPOINTS="ledger.part.after_insert:2=kill;store.record.*:*=trace:/tmp/hits"

Each rule is ``name:n=action``. *name* may hold ``*`` and ``?``; *n* is the hit of that rule at which it acts, from 1,
or ``*`` for every one. Actions: ``kill`` (SIGKILL), ``raise`` (``Injected``), ``sleep:seconds``, ``stop`` (SIGSTOP,
until somebody sends SIGCONT), ``trace:file`` (append the name: a clean run counts the hits).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

VARIABLE: Final = "SAGA_FAILPOINTS"
EVERY_HIT: Final = 0

Hook = Callable[[str], None]


class Injected(Exception):
    """The failure that ``raise`` makes. No code of ours may expect it."""


@dataclass(slots=True)
class Rule:
    """One ``name:n=action``; *hits* is how often a name has matched so far."""

    name: str
    at: int
    action: str
    argument: str
    hits: int = 0


class Plan:
    """Rules that are looked at, one after the other, at each hit. Safe for threads."""

    def __init__(self, text: str) -> None:
        self._rules = [_parse(rule.strip()) for rule in text.split(";") if rule.strip()]
        self._counting = threading.Lock()

    def __call__(self, name: str) -> None:
        """Count the hit and do what is due."""
        for rule in self._due(name):
            ACTIONS[rule.action](name, rule.argument)

    def _due(self, name: str) -> list[Rule]:
        with self._counting:
            matching = [rule for rule in self._rules if fnmatchcase(name, rule.name)]
            for rule in matching:
                rule.hits += 1
            return [rule for rule in matching if rule.at in (EVERY_HIT, rule.hits)]


def hit(name: str) -> None:
    """Say that the process is at *name*: nothing happens, unless a test has asked for something."""
    if _hook is not None:
        _hook(name)


@contextmanager
def switched_on(hook: Hook | str) -> Iterator[None]:
    """Act at each hit inside the block, in all threads: call *hook* with the name, or follow it as rules.

    What was switched on before is off meanwhile.
    """
    global _hook  # noqa: PLW0603  one look at a module's name is all that `hit` may cost
    before, _hook = _hook, Plan(hook) if isinstance(hook, str) else hook
    try:
        yield
    finally:
        _hook = before


def _parse(rule: str) -> Rule:
    place, equals, what = rule.partition("=")
    name, _, at = place.rpartition(":")
    action, _, argument = what.partition(":")
    if not (name and equals and action in ACTIONS and (at == "*" or (at.isdecimal() and int(at) > 0))):
        raise ValueError(f"{VARIABLE}: {rule!r} is not name:n=action, with one of the actions {', '.join(ACTIONS)}")
    return Rule(name, EVERY_HIT if at == "*" else int(at), action, argument)


def _kill(_name: str, _argument: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise(name: str, _argument: str) -> None:
    raise Injected(name)


def _sleep(_name: str, argument: str) -> None:
    time.sleep(float(argument))


def _stop(_name: str, _argument: str) -> None:
    # To this thread: sent to the process, another thread may take it and this one runs on a little.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def _trace(name: str, argument: str) -> None:
    with Path(argument).open("a", encoding="utf-8") as file:
        file.write(f"{name}\n")


ACTIONS: Final[dict[str, Callable[[str, str], None]]] = {
    "kill": _kill,
    "raise": _raise,
    "sleep": _sleep,
    "stop": _stop,
    "trace": _trace,
}

_hook: Hook | None = Plan(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
