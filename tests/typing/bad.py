# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
# ruff: noqa: T201  printed by a function that nobody calls
"""Mistakes that both checkers reject.

Each wrong line carries a ``type: ignore``, and an ignore that is not needed is an error in both checkers: so this
file passes only while every one of them is found. A test strips the ignores and looks at each line.
"""

from __future__ import annotations

from enum import Enum

import sqlalchemy

from saga_engine import (
    Approval,
    Connection,
    Done,
    Engine,
    Event,
    Facts,
    InDoubt,
    NotDone,
    Outcome,
    Retry,
    Saga,
    Step,
    hours,
)
from tests.typing.good import (
    Abort,
    Charged,
    Chunk,
    D,
    Exported,
    Input,
    Loaded,
    Places,
    Report,
    S,
    Schema,
    abort,
    charge,
    cut_over,
    drop_export,
    export,
    freeze,
    go_live,
    load,
    other,
    refund,
    saga,
    validate,
)

at = saga.at(S.LOADING)
there = other.at(D.CHARGING)
gate = at.approval(go_live)


# --- undo, reads_only, pivot: exactly one, and it fits
at.run(load).undo(drop_export)  # type: ignore[arg-type]  # 1 undo of another step's result


def blind(step: Step[Input], was: Outcome[Loaded]) -> None:
    print(was.result.rows)  # type: ignore[union-attr]  # 2 forgets that the outcome may be InDoubt


def hopeful(step: Step[Input], was: Done[Loaded]) -> None: ...


at.run(load).undo(hopeful)  # type: ignore[arg-type]  # 3 an undo that does not take InDoubt
at.run(validate).reads_only().undo(drop_export)  # type: ignore[attr-defined]  # 4 reads only, yet undoes
at.run(load).pivot().undo(drop_export)  # type: ignore[attr-defined]  # 5 a pivot is never undone
at.run(export).undo(drop_export).pivot()  # type: ignore[attr-defined]  # 6 what is undone is no pivot
at.run(load).pivot().reads_only()  # type: ignore[attr-defined]  # 7 a point of no return changes something


def proof(step: Step[Input]) -> Loaded:
    return Loaded(rows=0)


def drop_load(step: Step[Input], was: Outcome[Loaded]) -> None: ...


at.run(load).undo(drop_load, verify=proof)  # type: ignore[arg-type]  # 8 verify must answer yes or no


def probe(step: Step[Input]) -> Done[Exported] | NotDone | InDoubt:
    return NotDone()


at.run(load).verified(probe)  # type: ignore[arg-type]  # 9 probe finds another step's result
there.run(charge).undo(drop_load)  # type: ignore[arg-type]  # 10 undo of another saga's step


# --- edges and guards
def many_rows(loaded: Loaded) -> bool:
    return loaded.rows > 9


def not_a_question(report: Report) -> int:
    return report.missing


def of_other_input(report: Report, facts: Facts[Schema]) -> bool:
    return report.missing == 0


at.run(validate).when(many_rows, S.COMPLETED)  # type: ignore[arg-type]  # 11 guard on another step's result
at.run(validate).when(not_a_question, S.COMPLETED)  # type: ignore[arg-type]  # 12 guard that does not return bool
at.run(validate).when(of_other_input, S.COMPLETED)  # type: ignore[arg-type]  # 13 guard on another saga's input
at.run(load).then(D.CHARGING)  # type: ignore[arg-type]  # 14 edge to another saga's state
at.run(load).then(S.COMPLETED, failed=D.CHARGING)  # type: ignore[arg-type]  # 15 the same on failure
saga.at(D.CHARGING)  # type: ignore[arg-type]  # 16 another saga's state
at.run(load).then(S.COMPLETED).when(many_rows, S.LOADING)  # type: ignore[func-returns-value, attr-defined]  # 17 a way out after `then`
at.run(load).pivot().then(S.COMPLETED, failed=S.ROLLING_BACK)  # type: ignore[call-arg]  # 18 a pivot with a way back
at.wait(abort, deadline=hours(1)).then(S.LOADING)  # type: ignore[call-arg]  # 19 a wait that does not say what if nothing comes
at.wait(abort)  # type: ignore[call-arg]  # 20 a wait without a deadline
at.wait(abort, deadline=hours(1)).undo(drop_load)  # type: ignore[attr-defined]  # 21 a wait has nothing to undo
at.wait(abort, deadline=hours(1)).when(many_rows, S.LOADING)  # type: ignore[arg-type]  # 22 guard on something else than the payload


# --- events and approvals
def with_rows(payload: Loaded) -> bool:
    return payload.rows > 0


def in_other_saga(payload: Abort, facts: Facts[Schema]) -> bool:
    return payload.reason != ""


at.run(load).on(abort, S.ROLLING_BACK, when=with_rows)  # type: ignore[arg-type]  # 23 guard on another payload
at.run(load).on(abort, S.ROLLING_BACK, when=in_other_saga)  # type: ignore[arg-type]  # 24 guard on another saga's facts
at.run(load).on("abort", S.ROLLING_BACK)  # type: ignore[arg-type]  # 25 the name of an event instead of the event
Event("pause", Abort)  # type: ignore[call-arg]  # 26 an event that does not say what if unhandled
Event("pause", Abort, unhandled="drop")  # type: ignore[arg-type]  # 27 no such policy
Event("pause", str, unhandled="defer")  # type: ignore[type-var]  # 28 a payload that is not a model
Approval("dba", shows=validate)  # type: ignore[call-arg]  # 29 an approval that never expires
Approval("dba", shows=cut_over, expires=hours(1))  # type: ignore[arg-type]  # 30 shows a step that returns nothing
there.approval(go_live)  # type: ignore[arg-type]  # 31 an approval that shows another saga's step
gate.then(approved=S.CUTTING_OVER, rejected=S.ROLLING_BACK)  # type: ignore[call-arg]  # 32 expiry left open
gate.when(many_rows, S.LOADING)  # type: ignore[attr-defined]  # 33 people answer, no guard


# --- groups, rolling back, ends
saga.group(S.LOADING, D.CHARGING)  # type: ignore[arg-type]  # 34 another saga's state in a group
saga.group(S.LOADING).then(approved=S.COMPLETED)  # type: ignore[call-arg]  # 35 a group is not asked
saga.rolls_back(S.ROLLING_BACK).to(D.REFUNDED)  # type: ignore[arg-type]  # 36 rolled back into another saga
saga.rolls_back(S.ROLLING_BACK).then(S.ROLLED_BACK)  # type: ignore[attr-defined]  # 37 what rolls back has no result
saga.final(S.COMPLETED, outcome="good")  # type: ignore[arg-type]  # 38 no such outcome
saga.final(D.COMPLETED)  # type: ignore[arg-type]  # 39 another saga's end


# --- steps
def reads_missing_field(step: Step[Input]) -> Loaded:
    return Loaded(rows=step.of(validate).rows)  # type: ignore[attr-defined]  # 40 Report has no rows


def reads_other_saga(step: Step[Input]) -> Charged:
    return step.of(charge)  # type: ignore[arg-type]  # 41 a step of another saga


def reads_maybe(step: Step[Schema]) -> Report:
    return Report(missing=len(step.find(freeze).ticket))  # type: ignore[union-attr]  # 42 the event may not have come


def reads_verdict(step: Step[Input]) -> Report:
    return Report(missing=step.of(go_live).rows)  # type: ignore[attr-defined]  # 43 a verdict has no rows


def changes_input(step: Step[Input]) -> None:
    step.input = step.input  # type: ignore[misc]  # 44 a step does not replace the input


def guards_act(report: Report, facts: Facts[Input]) -> bool:
    return facts.effect is not None  # type: ignore[attr-defined]  # 45 facts have no hands


def other_work(db: sqlalchemy.Connection) -> Loaded:
    return Loaded(rows=0)


def names_a_database(step: Step[Places]) -> Loaded:
    return step.effect("dw", other_work)  # type: ignore[arg-type]  # 46 text instead of a Connection


def returns_other_effect(step: Step[Places]) -> Exported:
    return step.effect(Connection("dw"), other_work)  # type: ignore[return-value]  # 47 the work returns something else


def reads_other_checkpoint(step: Step[Places]) -> Loaded | None:
    return step.last_checkpoint(Chunk)  # type: ignore[return-value]  # 48 a checkpoint of another kind


def returns_dict(step: Step[Input]) -> dict[str, int]:
    return {"rows": 1}


async def returns_text(step: Step[Input]) -> str:
    return "done"


def takes_two(step: Step[Input], chunk: Chunk) -> Loaded:
    return Loaded(rows=0)


at.run(returns_dict)  # type: ignore[arg-type]  # 49 a result that is not a model
at.run(returns_text)  # type: ignore[type-var]  # 50 the same, async
at.run(takes_two)  # type: ignore[arg-type]  # 51 a step takes one thing, the step
at.run(charge)  # type: ignore[arg-type]  # 52 a step of another saga
at.run(load, promise="exactly_once")  # type: ignore[arg-type]  # 53 no such promise
at.run(load, isolation="container")  # type: ignore[arg-type]  # 54 no such isolation
at.run(load, timeout=60)  # type: ignore[arg-type]  # 55 sixty of what
saga.at(S.LOADING, entering=refund)  # type: ignore[arg-type]  # 56 an undo as an entry action
Saga("other", version=1, states=S, input=Enum, start=S.LOADING)  # type: ignore[type-var]  # 57 an input that is not a model
Retry(8, never_on=(PermissionError(),))  # type: ignore[arg-type]  # 58 an error instead of its class
InDoubt(3)  # type: ignore[call-arg]  # 59 in doubt there is no result


# --- the engine
def operate(engine: Engine, schema: Schema) -> None:
    engine.start(saga, schema)  # type: ignore[misc]  # 60 the input of another saga
    engine.approve("r", actor="ann")  # type: ignore[call-arg]  # 61 approves without what was shown
    engine.skip("r")  # type: ignore[call-arg]  # 62 skips without a reason
