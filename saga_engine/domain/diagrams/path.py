"""The one line that shows where a run came through, where it is and what lies ahead."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.table import Gate
from saga_engine.domain.diagrams.route import route
from saga_engine.domain.graph import Graph
from saga_engine.domain.lengths import compact
from saga_engine.domain.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Stay:
    """One visit of a state, from the journal's moves: how long it was, or is so far."""

    state: str
    length: timedelta


@dataclass(frozen=True, slots=True)
class Marks:
    """The signs of the path line."""

    arrow: str = " ─▶ "
    passed: str = "✓"
    failed: str = "✗"
    undone: str = "↶"
    here: str = "●"
    ended: str = "■"
    asks: str = "⏸ "
    times: str = "×"


ASCII = Marks(" -> ", "ok", "failed", "undone", "*", "end", "|| ", "x")


def path_line(chart: Chart | None, run: Snapshot, stays: Sequence[Stay], *, ascii_only: bool = False) -> str:
    """Draw the path of *run* in one line, the newest of *stays* being where it is.

    A state that was left more than once stands where it was first, with the number of visits and their sum.
    What lies ahead is the way of success; without the *chart* of the run's version it is left out.
    """
    marks = ASCII if ascii_only else Marks()
    done = [_passed(chart, run, state, visits, marks) for state, visits in _visits(stays[:-1]).items()]
    here = [
        f"{run.state} {_sign(run, marks)}" + "".join(f" {compact(stay.length)}" for stay in stays[-1:] if not run.ended)
    ]
    return marks.arrow.join(done + here + _ahead(chart, run, marks))


def _visits(stays: Sequence[Stay]) -> dict[str, list[timedelta]]:
    found: dict[str, list[timedelta]] = {}
    for stay in stays:
        found.setdefault(stay.state, []).append(stay.length)
    return found


def _passed(chart: Chart | None, run: Snapshot, state: str, visits: list[timedelta], marks: Marks) -> str:
    """A state that was left, with what became of its newest step."""
    count = f" {marks.times}{len(visits)}" if len(visits) > 1 else ""
    return f"{state} {_fate(chart, run, state, marks)}{count} {compact(sum(visits, timedelta()))}"


def _fate(chart: Chart | None, run: Snapshot, state: str, marks: Marks) -> str:
    """A step that has nothing to undo is passed by a rollback as it was left: done, where a result is stored."""
    entry = next((entry for entry in reversed(run.undo) if entry.state == state), None)
    if entry is None:
        return marks.passed
    if entry.status == "undone" and chart is not None and chart.run_of(state).undo is None:
        done = any((result.state, result.visit) == (state, entry.visit) for result in run.results)
        return marks.passed if done else marks.failed
    sign = {"undone": marks.undone, "skipped": marks.undone, "started": marks.failed, "dropped": marks.undone}
    return sign.get(entry.status, marks.passed)


def _sign(run: Snapshot, marks: Marks) -> str:
    if not run.ended:
        return marks.here
    return marks.passed if run.status == "completed" else marks.ended


def _ahead(chart: Chart | None, run: Snapshot, marks: Marks) -> list[str]:
    if chart is None or run.ended:
        return []
    graph = Graph(chart.saga, chart.machine)
    following = route(graph, run.state)[1:]
    return [marks.asks * isinstance(graph.activity(state), Gate) + state for state in following]
