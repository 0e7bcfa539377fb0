"""The sagas that this process has: given by a program, or loaded from the user's workflow files.

Code comes from here alone. A row names a saga, a version and a digest; it never names code.
"""

import importlib.util
import sys
import textwrap
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from saga_engine import errors
from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.saga import Saga
from saga_engine.settings import redact

SHOWN_FRAMES = 3
"""How much of a traceback tells where a file of the user's is wrong."""
REASON_LETTERS_MAX = 500
"""How much of its error is shown: whatever runs in a file may have written it."""


class Registry:
    """Charts by digest and by name; files that could not be loaded, with the reason."""

    def __init__(self, sagas: Iterable[Saga[Any, Any]] = (), broken: Mapping[str, str] | None = None) -> None:
        self.broken: dict[str, str] = dict(broken or {})
        self._by_digest: dict[str, Chart] = {}
        self._files: dict[str, Path] = {}
        for saga in sagas:
            self.add(saga)

    def add(self, saga: Saga[Any, Any], file: Path | None = None) -> Chart:
        """Make a saga known, and the *file* that it was loaded from. One that is refused stays unknown."""
        chart = Chart(saga)
        known = self._by_digest.get(chart.digest, chart)
        twin = next((c for c in self if c.name == chart.name and c.version == chart.version and c is not known), None)
        if twin is not None:
            raise errors.DefinitionError(
                f"{chart.name} v{chart.version} is written in two ways; raise the version of the newer one"
            )
        if file is not None:
            self._files.setdefault(chart.digest, file)
        return self._by_digest.setdefault(chart.digest, chart)

    def add_all(self, sagas: Iterable[Saga[Any, Any]], file: Path) -> None:
        """Make the sagas of *file* known; none of them where one is refused: the file is told as left out."""
        before = dict(self._by_digest), dict(self._files)
        try:
            for saga in sagas:
                self.add(saga, file)
        except Exception:
            self._by_digest, self._files = before
            raise

    def __iter__(self) -> Iterator[Chart]:
        return iter(self._by_digest.values())

    def chart_of(self, saga: Saga[Any, Any]) -> Chart:
        """The chart of a saga that was added."""
        found = next((chart for chart in self if chart.saga is saga), None)
        return found or self.add(saga)

    def by_digest(self, digest: str) -> Chart | None:
        """The chart that a run is pinned to; None where this process has not loaded it."""
        return self._by_digest.get(digest)

    def file_of(self, chart: Chart) -> Path | None:
        """The workflow file that a chart was loaded from; None where a program has given it."""
        return self._files.get(chart.digest)

    def newest(self, name: str) -> Chart:
        """The highest version of the saga called *name*."""
        found = [chart for chart in self if chart.name == name]
        if not found:
            names = ", ".join(sorted({chart.name for chart in self})) or "none"
            raise errors.SagaNotFound(saga=name, loaded=names)
        return max(found, key=lambda chart: chart.version)


def load(path: Path) -> Registry:
    """Import every ``*.py`` of a folder, or one file, and collect the sagas that stand in them at module level.

    A file that fails, or of which one saga is refused, is kept as broken, with its error; the others are loaded all
    the same. A missing path is an empty registry.
    """
    registry = Registry()
    for file, module in modules(path):
        if isinstance(module, str):
            registry.broken[str(file)] = module
            continue
        try:
            registry.add_all(sagas_of(module), file)
        except Exception as error:  # noqa: BLE001  as above: an annotation may hold anything
            registry.broken[str(file)] = _reason(error, file)
    return registry


def modules(path: Path) -> Iterator[tuple[Path, ModuleType | str]]:
    """Import the files of a folder, or one file; for one that fails, the reason.

    What a file prints while it is imported goes to standard error: standard output belongs to data.
    """
    for file in _files(path):
        found: ModuleType | str
        try:
            with redirect_stdout(sys.stderr):
                found = module_of(file)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  a user's file may raise anything; it is shown to them
            found = _reason(error, file)
        yield file, found


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.glob("*.py") if not file.name.startswith("_")) if path.is_dir() else []


class _AsItIs(SourceFileLoader):
    """Compiles the file itself, and leaves no ``__pycache__`` beside it.

    Python's cache takes a file for unchanged that was written again within the second, at the same size.
    """

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002  the loader's signature
        """The code of the file as it is now."""
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def module_of(file: Path) -> ModuleType:
    """Import a file under a name of its own, so that two folders may have files of one name."""
    name = f"saga_workflows.{file.stem}"
    if file.suffix != ".py":
        raise ImportError("this is no Python file; name a .py file, or a folder of them")
    loader = _AsItIs(name, str(file))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None, "a loader that is given has a spec"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def sagas_of(module: ModuleType) -> list[Saga[Any, Any]]:
    """The sagas that stand at module level, each once."""
    return list({id(value): value for value in vars(module).values() if isinstance(value, Saga)}.values())


def _reason(error: BaseException, file: Path) -> str:
    where = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    lines = ", ".join(f"line {frame.lineno}" for frame in where[-SHOWN_FRAMES:])
    text = textwrap.shorten(redact(str(error)), REASON_LETTERS_MAX, placeholder="…")
    return f"{type(error).__name__}: {text}" + (f" ({lines})" if lines else "")
