"""Where a saga can be loaded from again, by a process that has nothing of this one.

The worker finds that out from what it has loaded itself. A row never names code.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from saga_engine.domain.chart import Chart
from saga_engine.runtime import registry
from saga_engine.runtime.registry import Registry

MAIN = "__main__"


@dataclass(frozen=True, slots=True)
class Source:
    """A module: the name under which a program can import it, its file, or both."""

    name: str = ""
    file: str = ""


def source_of(known: Registry, chart: Chart) -> Source | None:
    """Where the saga stands at module level; None for one that a function made."""
    file = known.file_of(chart)
    if file is not None:
        return Source(file=str(file.absolute()))
    # The program itself last: it may have imported the saga from where it stands.
    for _, module in sorted(sys.modules.items(), key=lambda known: known[0] == MAIN):
        if any(value is chart.saga for value in list(getattr(module, "__dict__", {}).values())):
            found = _importable(module)
            if found is not None:
                return found
    return None


def loaded(sources: Iterable[Source]) -> Registry:
    """The sagas of these modules, imported here; what fails is told as broken."""
    found = Registry()
    for source in dict.fromkeys(sources):
        try:
            with redirect_stdout(sys.stderr):
                module = _import(source)
            for saga in registry.sagas_of(module):
                found.add(saga)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a user's file may raise anything; it is told to them
            found.broken[source.name or source.file] = f"{type(error).__name__}: {error}"
    return found


def _importable(module: ModuleType) -> Source | None:
    file = getattr(module, "__file__", None) or ""
    name = module.__name__
    if name == MAIN:  # started with -m it has a name of its own
        spec = getattr(module, "__spec__", None)
        name = spec.name if spec else ""
    return Source(name, str(Path(file).absolute()) if file else "") if name or file else None


def _import(source: Source) -> ModuleType:
    """By name where that leads to the same file: only then its relative imports work. Else by its file."""
    if source.name and _leads_to(source):
        return importlib.import_module(source.name)
    return registry.module_of(Path(source.file))


def _leads_to(source: Source) -> bool:
    try:
        spec = importlib.util.find_spec(source.name)
    except (ImportError, ValueError):
        return False
    if spec is None or not source.file:
        return spec is not None
    return spec.origin is not None and Path(spec.origin).absolute() == Path(source.file)
