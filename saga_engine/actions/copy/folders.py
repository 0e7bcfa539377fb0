"""Folders and files of an export (SEMANTICS, "Files and hosts"): nothing half-written is ever taken for whole.

Each attempt has a folder of its own, ``<step key>.<attempt>``, made once. A chunk is ``000001.copy`` and, when that
is on disk, ``000001.json``, which describes it; ``manifest.json`` comes last. A file is written under another name,
synced and renamed. Nothing makes a folder again that is gone: so an undo, which first renames it, stops a late writer.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from saga_engine.actions.copy.copytext import BLOCK_BYTES
from saga_engine.actions.copy.plan import Bound, Chunk, Manifest
from saga_engine.errors import ExportDamaged, ExportGone, MoveError

MANIFEST: Final = "manifest.json"
UNDONE: Final = ".undone"


def make_exports(exports: Path) -> None:
    """Make the folder for all exports, and those above it that are missing; what is there is let be."""
    missing = [folder for folder in (exports, *exports.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700 if folder == exports else 0o777, exist_ok=True)
        _sync(folder.parent)  # its name is there: without it, what is synced below is lost in a power cut


def make(exports: Path, key: str, attempt: int) -> Path:
    """Make the folder of this attempt; after this it is there, whatever happens."""
    folder = exports / f"{_plain(key)}.{attempt}"
    try:
        folder.mkdir(mode=0o700)  # rows of a user's table: nobody else's business
    except FileNotFoundError:
        raise ExportGone(folder=exports) from None
    except FileExistsError:
        raise MoveError(f"{folder} is there already: attempt {attempt} of this step has been here before") from None
    _sync(exports)
    return folder


def earlier(exports: Path, key: str, attempt: int) -> list[Path]:
    """The folders of the attempts before this one, newest first."""
    found = {int(folder.name.rpartition(".")[2]): folder for folder in _all(exports, key)}
    return [found[number] for number in sorted(found, reverse=True) if number < attempt]


def drop(exports: Path, key: str) -> None:
    """Remove the folders of all attempts. Done again, it removes what an interrupted one has left."""
    for folder in _all(exports, key):
        folder.rename(folder.with_name(folder.name + UNDONE))
    for folder in exports.glob(f"{_plain(key)}.*{UNDONE}"):
        shutil.rmtree(folder)


def leave(exports: Path, run_id: str) -> None:
    """Remove the run's own folder, once nothing is in it; one that others share stays."""
    if exports.name == run_id and exports.is_dir() and not any(exports.iterdir()):
        exports.rmdir()


def key_of(folder: Path) -> str:
    """The step key from which *folder* has its name."""
    return folder.name.rpartition(".")[0]


def write_chunk(folder: Path, number: int, lower: Bound | None, upper: Bound | None, blocks: Iterable[bytes]) -> Chunk:
    """Write a chunk and its description."""
    digest, size, rows = sha256(), 0, 0

    def counted() -> Iterator[bytes]:
        nonlocal size, rows
        for block in blocks:
            digest.update(block)
            size += len(block)
            rows += block.count(b"\n")
            yield block

    name = f"{number:06}.copy"
    _write(folder / name, counted())
    chunk = Chunk(number=number, file=name, lower=lower, upper=upper, rows=rows, bytes=size, sha256=digest.hexdigest())
    _write(folder / f"{number:06}.json", [chunk.model_dump_json().encode()])
    return chunk


def take_over(folder: Path, old: Path, number: int, lower: Bound | None) -> Chunk | None:
    """Give *folder* the chunk that an earlier attempt has written to *old*; None if it is not there, or not whole."""
    try:
        chunk = Chunk.model_validate_json((old / f"{number:06}.json").read_bytes())
        if chunk.lower != lower or sha256_of(old / chunk.file) != chunk.sha256:
            return None
        _link(old / chunk.file, folder / chunk.file)
    except (FileNotFoundError, ValidationError):
        return None
    _write(folder / f"{number:06}.json", [chunk.model_dump_json().encode()])
    return chunk


def write_manifest(folder: Path, manifest: Manifest) -> str:
    """Write the manifest; return its SHA-256."""
    content = manifest.model_dump_json(indent=1).encode()
    _write(folder / MANIFEST, [content])
    return sha256(content).hexdigest()


def read_manifest(folder: Path, expected: str) -> Manifest:
    """Read the manifest whose SHA-256 is *expected*."""
    content = _read(folder / MANIFEST, folder)
    if sha256(content).hexdigest() != expected:
        raise ExportDamaged(file=folder / MANIFEST, difference="its SHA-256 differs")
    return Manifest.model_validate_json(content)


def read_chunk(folder: Path, chunk: Chunk) -> Iterator[bytes]:
    """The file in blocks of whole lines. ``ExportDamaged``, before the first of them, if it is not what was written."""
    file = folder / chunk.file
    try:
        found = sha256_of(file)
    except FileNotFoundError:
        raise ExportGone(folder=file) from None
    if found != chunk.sha256:
        raise ExportDamaged(file=file, difference="its SHA-256 differs from the manifest's")
    with file.open("rb") as opened:
        while lines := opened.readlines(BLOCK_BYTES):
            yield b"".join(lines)


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file."""
    digest = sha256()
    with file.open("rb") as opened:
        while block := opened.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _all(exports: Path, key: str) -> list[Path]:
    pattern = re.compile(rf"{re.escape(_plain(key))}\.\d+")
    return [folder for folder in exports.glob("*") if pattern.fullmatch(folder.name)]


def _plain(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", key)


def _read(file: Path, folder: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise ExportGone(folder=folder) from None


def _write(file: Path, blocks: Iterable[bytes]) -> None:
    """Under another name, synced, renamed, and the folder synced: after this it is there, whatever happens."""
    temporary = file.with_name(file.name + ".part")
    try:
        with temporary.open("xb") as opened:
            for block in blocks:
                opened.write(block)
            opened.flush()
            os.fsync(opened.fileno())
        temporary.rename(file)
    except FileNotFoundError:
        raise ExportGone(folder=file.parent) from None
    _sync(file.parent)


def _link(old: Path, new: Path) -> None:
    """The same file under a second name; a copy where the file system has no such thing."""
    try:
        new.hardlink_to(old)
    except OSError:
        _write(new, [old.read_bytes()])


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
