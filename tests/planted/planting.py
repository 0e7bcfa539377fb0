"""Puts a bug into the engine's source as it is imported: a piece of text, which must be there once, for another."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

ROOT: Final = Path(__file__).parents[2]
VARIABLE: Final = "SAGA_TEST_PLANTED"
"""Names the bug that a process is to live with."""


@dataclass(frozen=True, slots=True)
class Edit:
    """In the file of *module*, *old* becomes *new*."""

    module: str
    old: str
    new: str

    @property
    def file(self) -> Path:
        return ROOT / Path(*self.module.split(".")).with_suffix(".py")


class Moved(Exception):
    """The code that a bug is planted in is not there any more, or is there twice: write the bug anew."""


def edited(source: str, edits: Sequence[Edit]) -> str:
    """The source with the bug in it."""
    for edit in edits:
        if source.count(edit.old) != 1:
            raise Moved(f"{edit.module} holds this {source.count(edit.old)} times, not once:\n{edit.old}")
        source = source.replace(edit.old, edit.new)
    return source


class Loader(SourceFileLoader):
    """Compiles the edited source, and keeps nothing of it."""

    edits: Sequence[Edit] = ()

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002  the signature of a loader
        source = edited(Path(self.path).read_text(encoding="utf-8"), self.edits)
        return compile(source, self.path, "exec", dont_inherit=True)


class Finder(MetaPathFinder):
    """Finds the modules that are to be edited; the others are found as ever."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002  the signature of a finder
        target: ModuleType | None = None,  # noqa: ARG002  as above
    ) -> ModuleSpec | None:
        edits = [edit for edit in self._edits if edit.module == fullname]
        if not edits:
            return None
        loader = Loader(fullname, str(edits[0].file))
        loader.edits = edits
        return spec_from_file_location(fullname, edits[0].file, loader=loader)


def plant(edits: Sequence[Edit]) -> None:
    """From now on what is imported has the bug; nothing of the engine may have been imported before."""
    early = [name for name in sys.modules if name.partition(".")[0] == "saga_engine"]
    assert early == [], f"imported before the bug was planted: {early}"
    sys.meta_path.insert(0, Finder(edits))


def asked() -> str:
    """The name of the bug that this process is to live with; empty for none."""
    return os.environ.get(VARIABLE, "")
