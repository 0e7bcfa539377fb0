"""EXPORTING: the rows into chunk files, by ranges of the key. An attempt goes on where earlier ones have stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from saga_engine.actions.copy import folders
from saga_engine.actions.copy.plan import Chunk, Exported, Manifest, Move, Plan
from saga_engine.actions.copy.preflight import preflight
from saga_engine.actions.copy.reading import Asked, source_rows
from saga_engine.domain.definition.facts import Step
from saga_engine.domain.definition.values import Outcome
from saga_engine.errors import AttemptEnded, MoveError
from saga_engine.failpoints import hit

CHUNKS_MAX: Final = 1_000_000


def export(step: Step[Move]) -> Exported:
    """Write the files and their manifest; whole chunks that earlier attempts have written are taken over.

    Each chunk is one short transaction of the source. What changes there meanwhile is found by the validation.
    """
    plan = step.of(preflight)
    step.heartbeat()  # no folder for an attempt that does not count any more
    folder = folders.make(Path(plan.exports), step.key, step.attempt)
    old = folders.earlier(Path(plan.exports), step.key, step.attempt)
    chunks, rows, reused = [], 0, 0
    for chunk, is_new in _chunks(step, plan, folder, old):
        chunks.append(chunk)
        rows += chunk.rows
        reused += not is_new
        step.progress(rows, plan.rows, "rows")
        if step.cancelled:
            raise AttemptEnded
    columns = tuple(lane.source.name for lane in plan.lanes)
    manifest = Manifest(table=str(plan.table), columns=columns, chunks=tuple(chunks))
    return Exported(
        folder=str(folder),
        manifest_sha256=folders.write_manifest(folder, manifest),
        chunks=len(chunks),
        rows=rows,
        bytes=sum(chunk.bytes for chunk in chunks),
        reused=reused,
    )


def drop_export(step: Step[Move], was: Outcome[Exported]) -> None:
    """Remove the files of every attempt, whether or not one of them has finished."""
    del was
    folders.drop(Path(step.of(preflight).exports), step.key)
    folders.leave(Path(step.of(preflight).exports), step.run_id)


def tidy_export(step: Step[Move]) -> None:
    """Remove the files when they have served; for ``leaving``."""
    exported = step.find(export)
    if exported is not None:
        folders.drop(Path(exported.folder).parent, folders.key_of(Path(exported.folder)))
        folders.leave(Path(exported.folder).parent, step.run_id)


def _chunks(step: Step[Move], plan: Plan, folder: Path, old: list[Path]) -> Iterator[tuple[Chunk, bool]]:
    """Each chunk in turn, and whether it was read just now."""
    rows, lower = source_rows(plan), None
    with step.connect(step.input.source) as db:
        source = Asked(db)
        for number in range(1, CHUNKS_MAX + 1):
            taken = (folders.take_over(folder, other, number, lower) for other in old)
            chunk = next((found for found in taken if found), None)
            is_new = chunk is None
            if chunk is None:
                with source.transaction() as asked:
                    upper = rows.cut(asked, lower, None, plan.chunk_rows)
                    chunk = folders.write_chunk(folder, number, lower, upper, rows.read(asked, lower, upper))
            hit("copy.chunk.written")
            yield chunk, is_new
            if chunk.upper is None:
                return
            lower = chunk.upper
    raise MoveError(f"more than {CHUNKS_MAX} chunks: give a larger chunk_rows")
