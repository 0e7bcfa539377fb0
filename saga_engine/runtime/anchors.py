"""Anchors: what a person keeps elsewhere of every run's history, so that not even the end of one can change unseen.

A file of JSON lines: a head with the store's uuid, one line for each run in the order of ids, a foot with a sha256
over everything above it. It holds no data of runs, only lengths and hashes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from saga_engine import errors
from saga_engine.store.chain import Mark
from saga_engine.store.histories import Head

FORMAT: Final = 1
LINE_BYTES_MAX: Final = 4_096
"""More than any line of an anchor has."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """An anchor that has been read once from end to end, and is whole."""

    path: Path
    store: str
    at: str
    pruned: int
    pruned_hash: bytes
    runs: int

    def marks(self) -> Iterator[Mark]:
        """What it remembers of each run, in the order of ids; read as it is asked for."""
        with _opened(self.path) as file:
            next(file)
            for line in file:
                found = json.loads(line)
                if "run" in found:
                    yield Mark(
                        found["run"],
                        found["length"],
                        bytes.fromhex(found["hash"]),
                        found["fixed"],
                        f"the anchor of {self.at}",
                    )


def read(path: Path) -> Anchor:
    """The anchor in a file; ``AnchorUnusable`` where it is none, or not whole."""
    over = hashlib.sha256()
    runs, last = 0, ""
    with _opened(path) as file:
        try:
            first = file.readline(LINE_BYTES_MAX)
            head = json.loads(first)
            _require(head["anchor"] == FORMAT, f"its format is {head['anchor']}, this program knows {FORMAT}")
            over.update(first)
            foot: dict[str, Any] = {}
            while line := file.readline(LINE_BYTES_MAX):
                _require(not foot, "something stands behind its last line")
                found = json.loads(line)
                if "run" not in found:
                    foot = found
                    continue
                _require(found["run"] > last, "its runs are not in order")
                _ = (found["length"] + 1, bytes.fromhex(found["hash"]), found["fixed"] + "")
                over.update(line)
                runs, last = runs + 1, found["run"]
            _require(bool(foot), "its last line is missing")
            _require(foot["runs"] == runs and foot["digest"] == over.hexdigest(), "it was changed")
            return Anchor(path, head["store"], head["at"], head["pruned"], bytes.fromhex(head["pruned_hash"]), runs)
        except (ValueError, LookupError, TypeError) as error:
            raise _unusable(path, str(error) if isinstance(error, _Broken) else "it is no anchor") from None


class Writer:
    """Writes an anchor beside *path*; ``keep`` puts it in the place of what is there, else nothing has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._beside = path.with_name(f".{path.name}.{os.getpid()}")
        self._over = hashlib.sha256()
        self._runs = 0

    def __enter__(self) -> Self:
        with self._troubles():
            number = os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self._file: IO[bytes] = os.fdopen(number, "wb")
        return self

    def begin(self, store: str, at: str, pruned: int, pruned_hash: bytes) -> None:
        """The head."""
        head = {"anchor": FORMAT, "store": store, "at": at, "pruned": pruned, "pruned_hash": pruned_hash.hex()}
        self._line(head)

    def run(self, head: Head, length: int) -> None:
        """A run that was found good, in the order of ids."""
        self._line({"run": head.run_id, "length": length, "hash": head.hash.hex(), "fixed": head.fixed})
        self._runs += 1

    def keep(self) -> None:
        """The foot; from now on, and after a power loss, this is the anchor."""
        self._line({"runs": self._runs, "digest": self._over.hexdigest()})
        with self._troubles():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._beside.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _line(self, tree: dict[str, Any]) -> None:
        line = json.dumps(tree, separators=(",", ":")).encode() + b"\n"
        self._over.update(line)
        with self._troubles():
            self._file.write(line)

    @contextmanager
    def _troubles(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _unusable(self.path, f"it cannot be written: {error.strerror}") from None

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk, told already
            self._file.close()
        self._beside.unlink(missing_ok=True)


class _Broken(ValueError):
    """Why a file is no anchor that can be used."""


def _require(holds: bool, why: str) -> None:  # noqa: FBT001  reads as an assertion
    if not holds:
        raise _Broken(why)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from None
    with file:
        yield file


def _unusable(path: Path, reason: str) -> errors.AnchorUnusable:
    return errors.AnchorUnusable(file=path, reason=reason)
