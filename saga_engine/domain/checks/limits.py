"""Does everything that waits or works end some day, and can somebody answer? Times, roles, what is shown, events."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from saga_engine.domain.checks.finding import Finding, error, level_told, state_of, told, warning
from saga_engine.domain.checks.shape import events_of
from saga_engine.domain.definition.facts import Approval
from saga_engine.domain.definition.functions import named
from saga_engine.domain.definition.table import End, Gate, RollBack, Run, Wait
from saga_engine.domain.definition.values import UserCode
from saga_engine.domain.graph import Graph, shortest

FOR_EVER: Final = timedelta(days=3_650)
"""A longer limit is none: nobody plans it, and a date far enough beyond cannot be written down."""
NEVER: Final = timedelta(0)


def check(graph: Graph, roles: Mapping[str, Sequence[str]] | None) -> Iterator[Finding]:
    """SG021, SG022, SG030, SG032, SG033, SG034, SG080, SG110."""
    yield from _waits(graph)
    yield from _deadlines(graph)
    yield from _actions(graph)
    yield from _gates(graph, roles)
    yield from _events(graph)


def _waits(graph: Graph) -> Iterator[Finding]:
    for name, wait in graph.of(Wait):
        deadline: timedelta | None = wait.deadline  # a caller without a type checker may leave it out
        if deadline is None or deadline > FOR_EVER:
            text = f"{name} has no deadline: a lost event leaves the run there for ever"
            yield warning(graph, "SG021", name, text, "add deadline=hours(…)")
        elif deadline <= NEVER:
            text = f"the deadline of {name} has passed before the wait begins ({deadline})"
            yield error(graph, "SG021", name, text, "give deadline= a length above 0")


def _deadlines(graph: Graph) -> Iterator[Finding]:
    """A deadline with nowhere to go parks the run; at a pivot it does not even do that."""
    levels = dict.fromkeys(level for name in graph.names for level, _ in graph.deadlines(name))
    for level in levels:
        if graph.is_pivot(level):
            text = f"{level} is a pivot: nothing leaves it once it has begun, so its deadline is only noted"
            yield warning(graph, "SG022", level, text, "remove deadline=; timeout= bounds each attempt")
        elif not graph.at_deadline(level):
            text = f"when the deadline of {level_told(graph, level)} passes, no way leads on and the run parks"
            advice = "add timed_out=… (or failed=…) to .then"
            yield error(graph, "SG022", state_of(graph, level), text, advice, where=graph.where(level))


def _actions(graph: Graph) -> Iterator[Finding]:
    """A deadline is a limit too, but at a pivot; a heartbeat is none: it bounds silence."""
    for name, run in graph.of(Run):
        limited = graph.deadlines(name) and not graph.is_pivot(name)
        if run.timeout is None and not limited:
            text = f"an attempt of {name} may take for ever"
            yield warning(graph, "SG080", name, text, "add timeout=minutes(…), longer than an attempt ever takes")
        elif run.timeout is not None and run.timeout <= NEVER:
            text = f"every attempt of {name} has timed out before it begins ({run.timeout})"
            yield error(graph, "SG080", name, text, "give timeout= a length above 0")


def _gates(graph: Graph, roles: Mapping[str, Sequence[str]] | None) -> Iterator[Finding]:
    for name, gate in graph.of(Gate):
        yield from _expiry(graph, name, gate.approval)
        yield from _people(graph, name, gate.approval, roles)
        yield from _shown(graph, name, gate.approval.shows)


def _expiry(graph: Graph, name: str, approval: Approval[Any]) -> Iterator[Finding]:
    expires: timedelta | None = approval.expires  # a caller without a type checker may leave it out
    if expires is None or expires > FOR_EVER:
        text = f"the approval of {name} never expires: without an answer the run waits for ever"
        yield error(graph, "SG030", name, text, "give the approval expires=hours(…)")
    elif expires <= NEVER:
        text = f"the approval of {name} has expired before anybody can answer ({expires})"
        yield error(graph, "SG030", name, text, "give expires= a length above 0")


def _people(
    graph: Graph, name: str, approval: Approval[Any], roles: Mapping[str, Sequence[str]] | None
) -> Iterator[Finding]:
    if approval.quorum < 1:
        text = f"the approval of {name} asks for {approval.quorum} people"
        yield error(graph, "SG034", name, text, "give quorum= a number from 1 on")
    if roles is None:
        return
    asked = [approval.role, *([approval.escalate[0]] if approval.escalate else [])]
    for role in asked:
        if not roles.get(role):
            text = f"{name} asks role {role}, which has no members"
            yield error(graph, "SG032", name, text, f'add {role} = ["…"] to [roles] in the settings')
    members = {member for role in asked for member in roles.get(role, ())}
    if members and len(members) < approval.quorum:
        text = f"{name} needs {approval.quorum} people, and {', '.join(asked)} has {len(members)}"
        yield error(graph, "SG034", name, text, "lower quorum=, or add people to the role")


def _shown(graph: Graph, name: str, shows: UserCode) -> Iterator[Finding]:
    """What a gate shows must be there, whichever way the run came: something, done, and not undone since."""
    runs = dict(graph.of(Run))
    step = next((state for state, run in runs.items() if run.work is shows), None)
    if step is None:
        text = f"{name} shows {named(shows)}, which is no step of this saga"
        yield error(graph, "SG033", name, text, "give shows= a function that one of the states runs")
        return
    if runs[step].result is None:
        text = f"{name} shows {named(shows)}, which returns nothing: people would decide on nothing"
        yield error(graph, "SG033", name, text, "give shows= a step that returns what they decide on")
        return

    path = shortest([(graph.start, False)], (name, False).__eq__, partial(_with_result, graph, step))
    if path:
        states = tuple(state for state, _ in path)
        text = f"{name} shows the result of {step}, and a run can come there without it: {told(states)}"
        yield error(graph, "SG033", name, text, f"show a step that lies on every way to {name}", path=states)


def _with_result(graph: Graph, step: str, place: tuple[str, bool]) -> list[tuple[str, bool]]:
    """Where the run can be next, and whether it then has a result of *step*."""
    state, has = place
    kept = has and not isinstance(graph.activity(state), RollBack)
    return [(way.target, way.trigger == "then" if state == step else kept) for way in graph.ways_or_cancel(state)]


def _events(graph: Graph) -> Iterator[Finding]:
    """Events that are listed only where none is taken: where no run comes, at an end, at a pivot."""
    open_states = {state for state, _ in graph.reached() if not graph.is_pivot(state)}
    taken = {event.name for event, level in events_of(graph) if open_states & set(_takers(graph, level))}
    for event, level in dict(reversed(events_of(graph))).items():
        if event.name not in taken:
            text = f"no state that a run comes to and can leave takes the event {event.name}"
            advice = f"add .on({event.name}, …) to a state that waits or works, or remove the event"
            yield warning(graph, "SG110", state_of(graph, level), text, advice, where=graph.where(level))


def _takers(graph: Graph, level: str) -> list[str]:
    """The states that take what is listed at a state or group."""
    members = [member.name for member in graph.groups[level].members] if level in graph.groups else [level]
    return [name for name in members if not isinstance(graph.activity(name), End)]
