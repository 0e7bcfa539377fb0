"""Sagas for the tests of check, diagram and why: a few whole ones, and any that a test writes as text."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Any

from saga_engine.domain.definition.facts import Approval, Facts, Step
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import Event, Frozen, Outcome, Retry, hours, minutes, seconds


class Input(Frozen):
    table: str = "orders"
    may_miss: int = 0


class Exported(Frozen):
    rows: int = 10


class Report(Frozen):
    missing: int = 0


class Abort(Frozen):
    reason: str


class Arrived(Frozen):
    path: str


def export(step: Step[Input]) -> Exported:
    return Exported()


def drop_export(step: Step[Input], was: Outcome[Exported]) -> None: ...


def load(step: Step[Input]) -> None: ...


def unload(step: Step[Input], was: Outcome[None]) -> None: ...


def validate(step: Step[Input]) -> Report:
    return Report()


def cut_over(step: Step[Input]) -> None: ...


def tidy(step: Step[Input]) -> None: ...


def tell(step: Step[Input]) -> None: ...


def all_there(report: Report) -> bool:
    return report.missing == 0


def close_enough(report: Report, facts: Facts[Input]) -> bool:
    return report.missing <= facts.input.may_miss


def usable(file: Arrived) -> bool:
    return file.path.endswith(".csv")


def urgent(request: Abort) -> bool:
    return request.reason == "urgent"


class Mood:
    """Whether ``moody`` raises; what it says otherwise."""

    raises = False
    says = False


def moody(result: None) -> bool:
    if Mood.raises:
        raise ValueError("not today")
    return Mood.says


WORDS = {
    "Approval": Approval, "Event": Event, "Retry": Retry, "hours": hours, "minutes": minutes, "seconds": seconds,
    "Abort": Abort, "Arrived": Arrived, "export": export, "drop_export": drop_export, "load": load, "unload": unload,
    "validate": validate, "cut_over": cut_over, "tidy": tidy, "tell": tell, "all_there": all_there,
    "close_enough": close_enough, "urgent": urgent, "usable": usable,
    "moody": moody,
}  # fmt: skip


def read(lines: str) -> dict[str, Any]:
    """The namespace of a file that holds these lines of a table, its saga as ``saga``.

    The states are those that the lines name, the first of them is the start; those for which there is no line are
    final.
    """
    names = list(dict.fromkeys(re.findall(r"S\.([A-Z_0-9]+)", lines)))
    states: Any = Enum("S", {name: auto() for name in names})  # type: ignore[misc]  # made for each test
    saga: Saga[Any, Input] = Saga("migrate", version=1, states=states, input=Input, start=states[names[0]])
    namespace: dict[str, Any] = {**WORDS, "S": states, "saga": saga}
    exec(compile(lines, "orders.py", "exec"), namespace)
    written = re.findall(r"saga\.(?:at|rolls_back|final)\(\s*S\.([A-Z_0-9]+)", lines)
    for name in names:
        if name not in written:
            saga.final(states[name])
    return namespace


def saga_of(lines: str) -> Saga[Any, Input]:
    """The saga of these lines."""
    saga: Saga[Any, Input] = read(lines)["saga"]
    return saga


MIGRATE = """
abort = Event("abort", Abort, unhandled="reject")
go_live = Approval("dba", quorum=2, shows=validate, expires=hours(24), escalate=("lead", hours(4)))
NET = Retry(8, first=seconds(1), cap=minutes(5))

saga.at(S.EXPORTING).run(export, retry=NET, timeout=hours(2)).undo(drop_export).then(S.LOADING)
(saga.at(S.LOADING).run(load, promise="effect", retry=NET, timeout=hours(6), heartbeat=seconds(30))
     .undo(unload).on(abort, S.ROLLING_BACK, when=urgent).then(S.VALIDATING))
(saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only()
     .when(close_enough, S.AWAITING_CUTOVER).then(S.ROLLING_BACK))
(saga.at(S.AWAITING_CUTOVER, entering=tell).approval(go_live)
     .then(approved=S.CUTTING_OVER, rejected=S.ROLLING_BACK, expired=S.ROLLING_BACK))
saga.at(S.CUTTING_OVER).run(cut_over, retry=Retry(50), timeout=hours(1)).pivot().then(S.COMPLETED)
saga.group(S.EXPORTING, S.LOADING, S.VALIDATING).then(failed=S.ROLLING_BACK)
saga.rolls_back(S.ROLLING_BACK).to(S.ROLLED_BACK)
"""
"""The example of API.md."""


POLL = """
file = Event("file", Arrived, unhandled="reject")
abort = Event("abort", Abort, unhandled="defer")
(saga.at(S.WAITING, entering=tell, leaving=tell).wait(file, deadline=hours(8))
     .on(abort, S.BACK, when=urgent).when(usable, S.LOADING).then(S.WAITING, timed_out=S.BACK))
(saga.at(S.LOADING, visits=2).run(load, retry=Retry(2), timeout=hours(1), deadline=hours(2)).undo(unload)
     .then(S.VALIDATING))
saga.at(S.VALIDATING, visits=2).run(validate, timeout=hours(1)).reads_only().when(all_there, S.DONE).then(S.LOADING)
saga.rolls_back(S.BACK).to(S.GONE)
"""
"""A wait with guards, a circle with a bound, a deadline without a way."""

BY_HAND = """
stop = Event("stop", Abort, unhandled="ignore")
(saga.at(S.EXPORTING, leaving=tell).run(export, promise="manual", timeout=hours(1)).undo(drop_export)
     .on(stop, S.STOPPED).then(S.TIDYING))
saga.at(S.TIDYING).run(tidy, promise="manual", timeout=hours(1)).reads_only().then(S.CUTTING_OVER)
saga.at(S.CUTTING_OVER).run(cut_over, promise="manual", timeout=hours(1)).pivot().then(S.LOADING)
(saga.at(S.LOADING, entering=tell).run(load, promise="effect", timeout=hours(1)).reads_only()
     .then(S.DONE, failed=S.STOPPED))
saga.group(S.EXPORTING, S.TIDYING, deadline=hours(3)).then(failed=S.BACK)
saga.rolls_back(S.BACK).to(S.STOPPED)
saga.final(S.STOPPED, outcome="failed", entering=tell)
"""
"""Steps that nobody may repeat unseen, a pivot, a last notice."""

UNSHOWN = """
go_live = Approval("dba", shows=validate, expires=hours(24), not_starter=True)
saga.at(S.LOADING).run(load, timeout=hours(1)).undo(unload).when(moody, S.ASKING).then(S.VALIDATING)
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING).approval(go_live).then(approved=S.DONE, rejected=S.BACK, expired=S.BACK)
saga.rolls_back(S.BACK).to(S.GONE)
"""
"""A guard that may raise, a gate that may have nothing to show."""
