"""Files of an export: only what is whole counts, and nothing makes a folder again that is gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from saga_engine.actions.copy import folders
from saga_engine.actions.copy.plan import Manifest
from saga_engine.errors import ExportDamaged, ExportGone, MoveError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folders.make(tmp_path, "run.2", 1)


def test_a_chunk_is_described_by_what_was_written(folder: Path) -> None:
    chunk = folders.write_chunk(folder, 1, None, ("7",), [b"1\ta\n2\tb\n", b"3\tc\n"])
    assert (chunk.file, chunk.rows, chunk.bytes, chunk.lower, chunk.upper) == ("000001.copy", 3, 12, None, ("7",))
    assert sorted(path.name for path in folder.iterdir()) == ["000001.copy", "000001.json"]
    assert b"".join(folders.read_chunk(folder, chunk)) == b"1\ta\n2\tb\n3\tc\n"


def test_a_chunk_whose_rows_break_off_leaves_no_chunk(folder: Path) -> None:
    def rows() -> object:
        yield b"1\n"
        raise RuntimeError("the database has gone")

    with pytest.raises(RuntimeError):
        folders.write_chunk(folder, 1, None, None, rows())  # type: ignore[arg-type]
    assert [path.name for path in folder.iterdir()] == ["000001.copy.part"]


def test_a_chunk_of_an_earlier_attempt_is_taken_over_where_it_fits(folder: Path, tmp_path: Path) -> None:
    chunk = folders.write_chunk(folder, 1, None, ("7",), [b"1\n"])
    later = folders.make(tmp_path, "run.2", 2)
    assert folders.take_over(later, folder, 1, ("3",)) is None
    assert folders.take_over(later, folder, 2, None) is None
    assert folders.take_over(later, folder, 1, None) == chunk
    folders.drop(tmp_path, "run.2")
    assert list(tmp_path.iterdir()) == []


def test_a_description_that_was_damaged_counts_as_none(folder: Path, tmp_path: Path) -> None:
    folders.write_chunk(folder, 1, None, None, [b"1\n"])
    (folder / "000001.json").write_text('{"number": 1')
    assert folders.take_over(folders.make(tmp_path, "run.2", 2), folder, 1, None) is None


def test_a_late_writer_finds_its_folder_gone(folder: Path, tmp_path: Path) -> None:
    folders.drop(tmp_path, "run.2")
    with pytest.raises(ExportGone):
        folders.write_chunk(folder, 1, None, None, [b"1\n"])
    assert list(tmp_path.iterdir()) == []


def test_the_folders_of_other_steps_are_left_alone(folder: Path, tmp_path: Path) -> None:
    for other in ("run.20", "run.2.7", "run"):
        folders.make(tmp_path, other, 1)
    folders.drop(tmp_path, "run.2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.1", "run.2.7.1", "run.20.1"]


def test_an_attempt_has_one_folder(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MoveError, match="attempt 1 of this step has been here before"):
        folders.make(tmp_path, "run.2", 1)


def test_earlier_attempts_are_found_newest_first(folder: Path, tmp_path: Path) -> None:
    for attempt in (2, 10, 9):
        folders.make(tmp_path, "run.2", attempt)
    assert [path.name for path in folders.earlier(tmp_path, "run.2", 10)] == ["run.2.9", "run.2.2", "run.2.1"]


def test_a_manifest_must_be_the_one_that_was_written(folder: Path) -> None:
    manifest = Manifest(table="item", columns=("id",), chunks=())
    expected = folders.write_manifest(folder, manifest)
    assert folders.read_manifest(folder, expected) == manifest
    with pytest.raises(ExportDamaged):
        folders.read_manifest(folder, "0" * 64)


def test_a_step_key_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "exports").mkdir()
    assert folders.make(tmp_path / "exports", "../../etc/x", 1).parent == tmp_path / "exports"


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes that were synced, in their order."""
    found: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: found.append(os.fstat(descriptor).st_ino))
    return found


def test_a_folder_that_was_made_is_there_after_a_power_cut(tmp_path: Path, synced: list[int]) -> None:
    """Its name is in the folder above, which is synced for it; so is every level that had to be made."""
    folders.make_exports(tmp_path / "a" / "b" / "exports")
    made = [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    assert synced == [path.stat().st_ino for path in made]
    folders.make(tmp_path / "a" / "b" / "exports", "run.2", 1)
    assert synced[3:] == [(tmp_path / "a" / "b" / "exports").stat().st_ino]


def test_a_folder_for_exports_that_is_there_is_let_be(tmp_path: Path, synced: list[int]) -> None:
    folders.make_exports(tmp_path)
    assert synced == []


def test_only_the_user_may_look_into_a_folder_for_exports(tmp_path: Path) -> None:
    folders.make_exports(tmp_path / "a" / "exports")
    assert (tmp_path / "a" / "exports").stat().st_mode & 0o077 == 0
