"""Commands that may help, and the proof that they do: each is put to ``decide`` before it is told."""

from collections.abc import Iterable
from typing import Final

from saga_engine import errors
from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.decide import decide
from saga_engine.domain.definition.table import RollBack, Run
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.domain.whys.reason import NextCommand, Offer, View

ASKER: Final = "why"
"""The actor of the decisions that are only tried."""


def tried(view: View, offers: Iterable[Offer]) -> tuple[NextCommand, ...]:
    """The commands that the run would take and that would move it, in the order given.

    Nothing is recorded. Guards are asked, which are pure. Where the saga is not loaded here no decision can be
    made, neither now nor by the command: then the first thing to do is to load it.
    """
    asked = list(offers)
    if view.chart is None:
        return _untried(view, asked)
    told = [_told(view, view.chart, offer) for offer in asked]
    return tuple(command for command in told if command is not None)


def _untried(view: View, offers: list[Offer]) -> tuple[NextCommand, ...]:
    plain = tuple(NextCommand(offer.command, offer.effect) for offer in offers if offer.outside)
    if len(plain) == len(offers):
        return plain
    saga = f"{view.run.saga} v{view.run.version}"
    loads = f"{saga} is not loaded here; its file tells what helps"
    return (*plain, NextCommand(f"saga --workflows … why {view.around.run}", loads))


def _told(view: View, chart: Chart, offer: Offer) -> NextCommand | None:
    if offer.event is None:
        return NextCommand(offer.command, offer.effect)
    try:
        decision = decide(chart, view.run, offer.event, view.now, view.around.budget)
    except errors.SagaError:
        return None
    if _moved(view.run, decision.after) or (decision.commands and offer.mend_first):
        return NextCommand(offer.command, offer.effect + _where_to(chart, view.run, decision.after))
    return None


def _moved(before: Snapshot, after: Snapshot) -> bool:
    """More is different than the revision, and than a task that was parked again as it was."""
    return replace(after, revision=before.revision, tasks=()) != replace(before, tasks=()) or sorted(
        map(_gist, before.tasks)
    ) != sorted(map(_gist, after.tasks))


def _gist(task: Task) -> tuple[str, ...]:
    """A task without its name and words: one that was made or parked again is the same to a person."""
    parked = (task.parked.code, task.parked.outcome) if task.parked else ()
    return (task.kind, task.state, str(task.visit), str(task.about), str(task.ending), str(task.due_at), *parked)


def _where_to(chart: Chart, before: Snapshot, after: Snapshot) -> str:
    if after.state == before.state:
        return ""
    if not isinstance(chart.activity(after.state), RollBack):
        return f" → {after.state}"
    left = [entry.state for entry in reversed(after.undo) if entry.status in ("started", "done")]
    undone = [state for state in left if chart.run_of(state).undo is not None]
    return f" → {after.state}, undoes {', '.join(undone) or 'nothing'}"


# --- the verbs


def retry(view: View, effect: str, *, mend_first: bool = False) -> Offer:
    """``saga retry``."""
    return Offer(f"saga retry {view.around.run}", effect, e.RetryRequested(ASKER), mend_first)


def skip(view: View, effect: str) -> Offer:
    """``saga skip``."""
    return Offer(f"saga skip {view.around.run} --reason …", effect, e.SkipRequested(ASKER, "asked"))


def resume(view: View, effect: str) -> Offer:
    """``saga resume``."""
    return Offer(f"saga resume {view.around.run}", effect, e.ResumeRequested(ASKER))


def pause(view: View, effect: str) -> Offer:
    """``saga pause``."""
    return Offer(f"saga pause {view.around.run} --reason …", effect, e.PauseRequested(ASKER))


def ways_back(view: View) -> tuple[Offer, ...]:
    """``saga rollback`` and ``saga cancel``; the first shows what it would do."""
    plan = "shows the way back; taken without --plan"
    return (
        Offer(f"saga rollback {view.around.run} --plan", plan, e.RollbackRequested(ASKER)),
        Offer(f"saga cancel {view.around.run}", "gives the run up", e.CancelRequested(ASKER)),
    )


def resolve(view: View, task: Task) -> tuple[Offer, ...]:
    """``saga resolve``, both ways: what a person found out about a step or an undo in doubt."""
    name = f"saga resolve {view.around.run}"
    not_done = e.Resolved(ASKER, "asked", done=False)
    needs_result = task.kind == "step" and _has_result(view.chart, task.state)
    # A result that a person would give cannot be made up here: the same task is asked about the other way.
    done = not_done if needs_result else e.Resolved(ASKER, "asked", done=True)
    return (
        Offer(
            f"{name} --done --evidence …" + (" --result …" if needs_result else ""),
            f"you looked: {view.what(task)} took effect",
            done,
        ),
        Offer(f"{name} --not-done --evidence …", f"you looked: {view.what(task)} changed nothing", not_done),
    )


def _has_result(chart: Chart | None, state: str) -> bool:
    activity = chart.activity(state) if chart else None
    return isinstance(activity, Run) and activity.result is not None
