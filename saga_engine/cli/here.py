"""One use of the program: its settings, its sagas, its engine; each opened when it is first asked for."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from types import TracebackType
from typing import Final, Self

import click

from saga_engine import log, settings
from saga_engine.cli import folder, trouble
from saga_engine.cli.options import Options
from saga_engine.errors import NoSagas, RunNotFound, SagaError, SettingsError, WorkflowsMissing
from saga_engine.runtime import registry
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.registry import Registry
from saga_engine.runtime.views import RunLine
from saga_engine.settings import Settings

SUGGESTED_FROM: Final = 200
"""So many of the newest runs are looked through for a name that is nearly right."""
NAMES_READ_MAX: Final = 10_000
"""So many names are taken from standard input."""
PAGE: Final = 200
"""So many runs are read at once by what goes through all of them."""
LAST: Final = "@last"
RUN_ID: Final = re.compile(r"\b[0-9a-f]{32}\b")


class Here:
    """What a command acts with; used as a block, at whose end the engine is closed.

    *create*: a missing store is made; only what starts work does so. *log_level* is that of ``log.configure``
    before ``-q`` and ``-v``: what people look at is silent about the engine's doings, a worker tells them.
    """

    def __init__(self, options: Options, *, create: bool = False, log_level: int = -1) -> None:
        self.options = options
        self._create = create
        self._opened = False
        self._touched = ""
        log.configure(log_level + options.verbose - options.quiet)

    @cached_property
    def settings(self) -> Settings:
        """The settings that hold in the working directory."""
        given = self.options
        return settings.load(store=given.store, workflows=given.workflows, profile=given.profile)

    @cached_property
    def registry(self) -> Registry:
        """The user's sagas; files that cannot be loaded are named beside the data."""
        found = registry.load(self.settings.workflows)
        for file, reason in found.broken.items():
            self.note(f"note:  {file} cannot be loaded: {reason}")
        return found

    @cached_property
    def engine(self) -> Engine:
        """The one door."""
        found = Engine(settings=self.settings, registry=self.registry, create=self._create)
        self._opened = True
        return found

    def need_sagas(self) -> None:
        """``WorkflowsMissing`` or ``NoSagas`` where there is nothing to run: asked before a store is made for it."""
        path = self.settings.workflows
        if not path.exists():
            raise WorkflowsMissing(path=path)
        if not self.registry.broken and next(iter(self.registry), None) is None:
            raise NoSagas(path=path)

    def run(self, typed: str) -> str:
        """The id of the run that *typed* names; from now on it is ``@last``."""
        store = self.settings.store_url().get_secret_value()
        if typed == LAST:
            found = folder.last(store)
            if found is None:
                raise RunNotFound("@last is no run yet: you have touched none in this store", run=typed)
            run_id = self.engine.resolve_name(found)
        else:
            run_id = self._resolved(typed)
        folder.remember_last(store, run_id)
        self._touched = typed
        return run_id

    def started(self, run_id: str) -> None:
        """Let a run that was just recorded be ``@last``. It asks the store nothing and never fails.

        The run is started, whatever happens now: who reads of a failure here would start it again.
        """
        with suppress(SettingsError):  # the file that holds the store's URL may have gone since
            folder.remember_last(self.settings.store_url().get_secret_value(), run_id)
        self._touched = run_id

    def live(self, status: str | None = None) -> Iterator[RunLine]:
        """Every live run, or those with that *status*, the newest first: a page at a time, to the end."""
        page: str | None = None
        while True:
            found = self.engine.find(live=True, status=status, limit=PAGE, page=page)
            yield from found.items
            page = found.next
            if page is None:
                return

    def note(self, text: str) -> None:
        """Say something beside the data, unless ``-q``."""
        if not self.options.quiet:
            trouble.note(text)

    def _resolved(self, typed: str) -> str:
        try:
            return self.engine.resolve_name(typed)
        except RunNotFound as error:
            known = self.engine.find(limit=SUGGESTED_FROM).items
            error.facts["runs"] = [name for run in known for name in (run.name, run.key) if name]
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if isinstance(error, SagaError):
            error.facts.setdefault("command", self.options.command)
        if not self._opened:
            return
        try:
            if isinstance(error, SagaError):
                self.named(error)
        finally:
            self.engine.close()

    def named(self, error: SagaError) -> SagaError:
        """The error with names of runs that people can type: the domain knows ids only."""
        if self._touched:
            error.facts.setdefault("run", self._touched)
        for run_id in set(RUN_ID.findall(f"{error} {error.facts.get('run', '')}")):
            try:
                name = self.engine.get(run_id).name
            except SagaError:
                continue
            error.args = (str(error).replace(run_id, name),)
            error.facts["run"] = name
        return error


def names_from_input() -> Iterator[str]:
    """Names from standard input, one on a line; of a line of JSON its ``id``, so that ``-o jsonl`` can be piped."""
    try:
        for number, line in enumerate(sys.stdin, start=1):
            if number > NAMES_READ_MAX:
                raise trouble.Refused(f"more than {NAMES_READ_MAX} names on standard input", "saga list --limit")
            if name := _name(line.strip()):
                yield name
    except UnicodeDecodeError:
        raise trouble.Refused(
            "standard input is no text in UTF-8", "names of runs come one on a line: saga list -o jsonl"
        ) from None


def _name(line: str) -> str:
    if not line.startswith("{"):
        return line
    try:
        return str(json.loads(line)["id"])
    except (ValueError, KeyError):
        raise trouble.Refused(
            "a line of standard input is JSON and has no id", "saga list -o jsonl prints lines that do"
        ) from None


def ask(question: str, flag: str, *, yes: bool) -> None:
    """Go on only if *yes*, or a person says so at a terminal; refused, naming *flag*, where there is none."""
    if yes:
        return
    if not at_terminal():
        raise trouble.Refused("this needs to be confirmed, and there is no terminal to ask at", f"say {flag}")
    if not click.confirm(question, err=True):
        raise trouble.Refused("nothing was done", f"say {flag}, or answer y")


def at_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
