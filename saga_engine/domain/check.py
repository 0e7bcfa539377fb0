"""``saga check``: what is wrong with a saga's table, found before anything runs."""

from collections.abc import Mapping, Sequence
from textwrap import fill, indent
from typing import Any

from saga_engine.domain.checks import circles, limits, safety, shape
from saga_engine.domain.checks.finding import Finding, Rule, Severity
from saga_engine.domain.checks.rules import RULES
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import Event
from saga_engine.domain.graph import Graph
from saga_engine.errors import RuleNotFound

__all__ = ["Finding", "Rule", "Severity", "check", "check_module", "explain"]


def check(saga: Saga[Any, Any], roles: Mapping[str, Sequence[str]] | None = None) -> list[Finding]:
    """Return what is wrong with *saga*: errors first, then in the order of its states.

    *roles* are those of the settings; without them nothing is said of who may answer. Tables that the engine
    would refuse are looked at like any other: a missing line is a finding.
    """
    graph = Graph(saga)
    found = [*shape.check(graph), *circles.check(graph), *safety.check(graph), *limits.check(graph, roles)]
    return sorted(found, key=lambda finding: (finding.severity, graph.names.index(finding.state), finding.code))


def check_module(namespace: Mapping[str, object], roles: Mapping[str, Sequence[str]] | None = None) -> list[Finding]:
    """Return what is wrong with the sagas of a loaded file, ``vars(module)``.

    Beside what ``check`` sees in one table: an event of the file that none of its sagas takes (SG110).
    """
    sagas = list({id(thing): thing for thing in namespace.values() if isinstance(thing, Saga)}.values())
    found = [finding for saga in sagas for finding in check(saga, roles)]
    return found + [_unused(sagas[0], event) for event in _declared(namespace) if sagas and not _used(sagas, event)]


def explain(code: str) -> str:
    """Return the long text of a rule: why it matters, a table that breaks it and one that does not.

    Raises ``RuleNotFound`` for a code that no rule has.
    """
    rule = RULES.get(code.upper())
    if rule is None:
        raise RuleNotFound(rule=code, rules=", ".join(RULES))
    why = fill(rule.why, 80, break_on_hyphens=False)
    bad, good = indent(rule.bad.strip(), "    "), indent(rule.good.strip(), "    ")
    return f"{rule.code}  {rule.title}\n\n{why}\n\nBad\n{bad}\n\nGood\n{good}\n"


def _declared(namespace: Mapping[str, object]) -> list[Event[Any]]:
    return list(dict.fromkeys(thing for thing in namespace.values() if isinstance(thing, Event)))


def _used(sagas: list[Saga[Any, Any]], event: Event[Any]) -> bool:
    return any(event is used for saga in sagas for used, _ in shape.events_of(Graph(saga)))


def _unused(saga: Saga[Any, Any], event: Event[Any]) -> Finding:
    graph = Graph(saga)
    text = f"the event {event.name} is declared, and no state takes it: whoever sends it is refused"
    help_ = f"add .on({event.name}, …) to a state, or remove the event"
    return Finding("SG110", "warning", saga.name, graph.start, graph.where(graph.start), text, help_)
