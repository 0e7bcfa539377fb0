"""The table of a saga as canonical JSON: what a run is pinned to, what is stored for look-ups after an upgrade.

It covers states, edges, times, undo presence and result schemas, not the functions' source: a bug fix in a
step needs no new version (API, "Versions").
"""

import json
from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel

from saga_engine.domain.definition.facts import Approval
from saga_engine.domain.definition.functions import named
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.table import Activity, Edge, Gate, RollBack, Row, Run, Wait

WORDS_FOR_PEOPLE: Final = frozenset({"title", "description", "examples"})
NAMED: Final = frozenset({"properties", "$defs"})
"""Where a schema's keys are names of the user's, which may be those words too."""


def spec(saga: Saga[Any, Any]) -> str:
    """The table as canonical JSON: sorted keys, no white space."""
    return json.dumps(_spec(saga), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _spec(saga: Saga[Any, Any]) -> dict[str, Any]:
    return {
        "name": saga.name,
        "version": saga.version,
        "start": saga.start.name,
        "input": _schema(saga.input),
        "states": {state.name: _row_spec(row) for state, row in saga.rows.items()},
        "groups": {
            g.name: {"members": [m.name for m in g.members], "deadline": _seconds(g.deadline), "edges": _edges(g.edges)}
            for g in saga.groups
        },
    }


def _row_spec(row: Row) -> dict[str, Any]:
    notices = {"entering": row.entering and named(row.entering), "leaving": row.leaving and named(row.leaving)}
    return {**notices, "visits": row.visits, "edges": _edges(row.edges), "activity": _activity_spec(row.activity)}


def _edges(edges: tuple[Edge, ...]) -> list[Any]:
    return [[edge.trigger, edge.to.name, edge.guard and named(edge.guard)] for edge in edges]


def _activity_spec(activity: Activity) -> dict[str, Any]:
    match activity:
        case Run():
            return {
                "kind": "run",
                "work": named(activity.work),
                "result": _schema(activity.result),
                "attempts": activity.retry.attempts,
                "timeout": _seconds(activity.timeout),
                "deadline": _seconds(activity.deadline),
                "heartbeat": _seconds(activity.heartbeat),
                "promise": activity.promise,
                "safety": activity.safety,
                "undo": activity.undo and named(activity.undo.work),
                "isolation": activity.isolation,
            }
        case Wait(event=event, deadline=deadline):
            return {
                "kind": "wait",
                "event": event.name,
                "payload": _schema(event.payload),
                "deadline": _seconds(deadline),
            }
        case Gate(approval=approval):
            return {"kind": "gate", **_approval_spec(approval)}
        case RollBack():
            return {"kind": "rolls_back"}
        case _:
            return {"kind": "end", "outcome": activity.outcome}


def _approval_spec(approval: Approval[Any]) -> dict[str, Any]:
    return {
        "role": approval.role,
        "quorum": approval.quorum,
        "expires": _seconds(approval.expires),
        "shows": named(approval.shows),
        "not_starter": approval.not_starter,
        "escalate": approval.escalate and [approval.escalate[0], _seconds(approval.escalate[1])],
    }


def _schema(model: type[BaseModel] | None) -> Any:  # noqa: ANN401  a JSON schema
    return None if model is None else _bare(model.model_json_schema())


def _bare(schema: Any) -> Any:  # noqa: ANN401  a JSON schema
    """A schema without its words for people: a docstring that is mended must not strand the runs in flight."""
    if isinstance(schema, list):
        return [_bare(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    said = {name: value for name, value in schema.items() if name not in WORDS_FOR_PEOPLE}
    return {name: _named(value) if name in NAMED else _bare(value) for name, value in said.items()}


def _named(schemas: Any) -> Any:  # noqa: ANN401  schemas by the names of fields or models, which stay
    return {name: _bare(schema) for name, schema in schemas.items()} if isinstance(schemas, dict) else schemas


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()
