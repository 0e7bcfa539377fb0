"""An attempt goes on where the one before it stopped: nothing is read, written or loaded twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from saga_engine.actions.copy.export import export
from saga_engine.actions.copy.load import load
from saga_engine.actions.copy.plan import Move
from saga_engine.errors import AttemptEnded, ExportDamaged, ExportGone
from saga_engine.testing import UnitStep
from tests.actions.compare import unequal
from tests.actions.conftest import CROSSED, Moving
from tests.actions.support import Database, Mover

ROWS = [(number, f"text {number}") for number in range(10)]


@pytest.fixture(params=CROSSED)
def kinds(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Each kind of database once as a source and once as a target."""
    pair: tuple[str, str] = request.param
    return pair


@pytest.fixture
def mover(source: Database, moving: Moving) -> Mover:
    source.run("CREATE TABLE item (id bigint PRIMARY KEY, name text)")
    source.fill("item", ROWS)
    mover = moving("item", chunk_rows=3)
    mover.preflight()
    return mover


def stop_after(step: UnitStep[Move], chunks: int) -> None:
    """Let the step be cancelled as soon as it has told of so many chunks."""
    report = step.progress

    def progress(done: int, total: int | None = None, unit: str = "") -> None:
        report(done, total, unit)
        step.cancelled = len(step.progressed) == chunks

    step.progress = progress  # type: ignore[method-assign]


def test_an_export_that_was_stopped_keeps_its_chunks(mover: Mover, source: Database, exports: Path) -> None:
    stop_after(mover.exporting, 2)
    with pytest.raises(AttemptEnded):
        export(mover.exporting)
    source.run("UPDATE item SET name = 'changed'")  # so that whoever reads a row again is found out
    mover.exporting = mover.exporting.again()
    exported = mover.export()
    lines = [file.read_text() for file in sorted(Path(exported.folder).glob("*.copy"))]
    assert (exported.chunks, exported.rows, exported.reused) == (4, 10, 2)
    assert "".join(lines).count("changed") == 4
    assert sorted(folder.name for folder in exports.iterdir()) == ["run.2.1", "run.2.2"]


def test_a_chunk_that_was_damaged_meanwhile_is_read_again(mover: Mover, exports: Path) -> None:
    stop_after(mover.exporting, 2)
    with pytest.raises(AttemptEnded):
        export(mover.exporting)
    with (exports / "run.2.1" / "000002.copy").open("ab") as file:
        file.write(b"\n")
    mover.exporting = mover.exporting.again()
    assert (mover.export().reused, mover.load().rows) == (1, 10)


def test_a_file_that_was_being_written_is_never_taken_for_a_chunk(mover: Mover, exports: Path) -> None:
    stop_after(mover.exporting, 1)
    with pytest.raises(AttemptEnded):
        export(mover.exporting)
    (exports / "run.2.1" / "000002.copy.part").write_bytes(b"half")
    (exports / "run.2.1" / "000002.copy").write_bytes(b"whole, but not described: killed before that")
    mover.exporting = mover.exporting.again()
    assert mover.export().reused == 1


@pytest.mark.parametrize("chunks", [1, 2, 3, 4])
def test_a_load_that_was_stopped_goes_on_at_the_next_chunk(
    mover: Mover, source: Database, target: Database, chunks: int
) -> None:
    exported = mover.export()
    stop_after(mover.loading, chunks)
    with pytest.raises(AttemptEnded):
        load(mover.loading)
    for file in sorted(Path(exported.folder).glob("*.copy"))[:chunks]:
        file.unlink()  # so that whoever loads a chunk again is found out
    mover.loading = mover.loading.again()
    assert (mover.load().rows, [one.done for one in mover.loading.progressed]) == (10, [3, 6, 9, 10])
    mover.validate()
    mover.cut_over()
    assert unequal(source, "item", target) == []


def test_a_load_that_had_finished_does_nothing_when_called_again(mover: Mover, exports: Path) -> None:
    mover.export()
    mover.load()
    for file in exports.glob("*/*.copy"):
        file.unlink()
    mover.loading = mover.loading.again()
    assert mover.load().rows == 10


@pytest.mark.parametrize("damage", [b"0\ttext 0\n", b"", b"\x00"])
def test_a_damaged_chunk_stops_the_load_and_nothing_of_it_stays(mover: Mover, target: Database, damage: bytes) -> None:
    exported = mover.export()
    file = Path(exported.folder) / "000001.copy"
    file.write_bytes(file.read_bytes() + damage if damage else file.read_bytes()[:-9])
    with pytest.raises(ExportDamaged, match=r"000001\.copy is not what was exported: its SHA-256 differs"):
        mover.load()
    assert target.rows("SELECT count(*) FROM " + str(mover.preflight().staging).removeprefix("public.")) == [(0,)]


def test_a_damaged_manifest_stops_the_load(mover: Mover) -> None:
    exported = mover.export()
    manifest = Path(exported.folder) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"rows": 3', '"rows": 2'))
    with pytest.raises(ExportDamaged, match=r"manifest\.json is not what was exported: its SHA-256 differs"):
        mover.load()


def test_an_export_that_was_removed_stops_the_load(mover: Mover) -> None:
    exported = mover.export()
    for file in Path(exported.folder).iterdir():
        file.unlink()
    Path(exported.folder).rmdir()
    with pytest.raises(ExportGone):
        mover.load()


def test_no_folder_is_made_where_the_folder_for_exports_is_gone(mover: Mover, exports: Path) -> None:
    exports.rmdir()
    with pytest.raises(ExportGone):
        export(mover.exporting)
    assert not exports.exists()


def test_an_attempt_that_does_not_count_any_more_makes_no_folder(mover: Mover, exports: Path) -> None:
    mover.exporting.gone = True
    with pytest.raises(AttemptEnded):
        export(mover.exporting)
    assert list(exports.iterdir()) == []
