"""The picture of one run that ``saga show`` draws: where it is, how it got there, what can be undone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.text import Text

from saga_engine.cli import people, story, waiting
from saga_engine.cli.here import Here
from saga_engine.cli.people import ago, brief, cell
from saga_engine.domain.lengths import clock, spaced
from saga_engine.runtime.views import PictureView, RunView, WorkerView

BAR_CELLS: Final = 30


def drawn_of(here: Here, run_id: str) -> RenderableType:
    """The picture of the run as it stands."""
    seen = here.engine.picture(run_id, ascii_only=not people.unicode())
    tells = story.Teller.of(here.engine, run_id)
    recent = [(line.at, tells.tell(line)) for line in seen.recent]
    return draw(seen, recent, wide=here.options.format == "wide")


def draw(seen: PictureView, recent: list[tuple[datetime, story.Told]], *, wide: bool = False) -> RenderableType:
    """The picture: a word at the left of each line, what there is to say at its right."""
    run = seen.run
    pairs = [("Run", _head(seen)), ("State", _state(seen)), ("Path", cell(seen.path))]
    if bar := _progress(run):
        pairs.append(("Progress", bar))
    pairs.append(("Can undo", cell(_can_undo(seen))))
    if wide:
        pairs += [(word, cell(text)) for word, text in _more(run)]
    for number, (at, told) in enumerate(recent):
        pairs.append(("" if number else "Recent", cell(story.as_line(told, at, seen.at))))
    hints = Text(f"saga history {run.name}" + ("" if run.ended else f"    saga why {run.name}"), style="dim")
    return Lines(people.facts(pairs), hints)


def _head(seen: PictureView) -> Text:
    run = seen.run
    words = [f"saga {run.saga} v{run.version}", *([f"key {run.key}"] if run.key else []), f"by {run.starter}"]
    words += [_worker(seen.worker, seen.at)] if seen.worker else []
    return Text.assemble((run.name, "bold"), "   ", cell("   ".join(words)))


def _worker(worker: WorkerView, now: datetime) -> str:
    life = f"alive, heard {ago(worker.renewed_at, now)}" if worker.alive else "not alive"
    return f"worker {worker.host} pid {worker.pid} ({life})"


def _state(seen: PictureView) -> Text:
    run = seen.run
    status = "paused" if run.paused else run.status
    stayed = spaced((run.ended_at or seen.at) - run.entered_at)
    parts = [
        Text(run.state, style="bold"),
        cell(status),
        cell(f"ended {ago(run.ended_at, seen.at)}" if run.ended else stayed),
    ]
    parts += [cell(f"waits for {run.waiting_on}")] if run.waiting_on else []
    if seen.deadline is not None:
        leads = f" → {seen.deadline.leads_to}" if seen.deadline.leads_to else ""
        parts.append(cell(f"deadline {clock(seen.deadline.at, seen.at)}{leads}"))
    return Text("   ").join(parts)


def _progress(run: RunView) -> Text | None:
    """A bar where the step said how much there is, else its count."""
    said = waiting.progress(run)
    task = next((task for task in run.tasks if task.progress), None)
    if task is None or task.progress is None:
        return None
    done, total = task.progress["done"], task.progress.get("total")
    if not total:
        return cell(said)
    full = min(BAR_CELLS, BAR_CELLS * done // total)
    there, ahead = "█·" if people.unicode() else "#."
    return Text.assemble(
        (there * full, "cyan"), (ahead * (BAR_CELLS - full), "dim"), f"  {said}  {min(100, 100 * done // total)} %"
    )


def _can_undo(seen: PictureView) -> str:
    """What a rollback would do now, and where the point of no return is."""
    pivot = f"; point of no return: {seen.pivot}" if seen.pivot and not seen.past_pivot else ""
    if seen.run.ended:
        return "no: the run has ended"
    if seen.past_pivot:
        return f"no: past the point of no return, {seen.pivot}" if seen.pivot else "no: past the point of no return"
    left = ", ".join(seen.undoable) or "nothing"
    return f"rolling back, left to undo: {left}" if seen.rolling_back else f"yes: {left}{pivot}"


def _more(run: RunView) -> Iterator[tuple[str, str]]:
    """What ``-o wide`` adds: id, input, results, open tasks."""
    yield "Id", run.id
    yield "Input", _json(run.input)
    for state, result in run.results.items():
        if result is not None:
            yield "Result", f"{state}: {_json(result)}"
    for task in run.tasks:
        parked = f", parked {task.parked}" if task.parked else ""
        yield "Task", f"{task.kind} of {task.state}, attempt {task.attempt}, failures {task.failures}{parked}"
        if task.error:
            yield "Error", brief(task.error, 500)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
