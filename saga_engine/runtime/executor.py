"""One attempt, from its task to its report: call the user's function, and make one value of whatever happens."""

import asyncio
import inspect
import traceback
from collections.abc import Callable
from typing import Any, Final

import structlog
from pydantic import BaseModel, ValidationError

from saga_engine import errors
from saga_engine.domain import events as e
from saga_engine.domain.chart import retry_of, source_of
from saga_engine.domain.codec import canonical
from saga_engine.domain.definition.functions import named
from saga_engine.domain.definition.table import NOTICE_RETRY, Run, Undo
from saga_engine.domain.definition.values import Done, InDoubt, NotDone, UserCode
from saga_engine.domain.finite import refuse_lost
from saga_engine.failpoints import hit
from saga_engine.runtime.attempt import Attempt
from saga_engine.runtime.hands import Hands
from saga_engine.runtime.step import LiveStep, UndoStep
from saga_engine.runtime.telling import told

STORE_AWAY: Final = (
    errors.StoreUnreachable,
    errors.StoreBusy,
    errors.StoreFull,
    errors.StoreForbidden,  # it could be written when this worker began: it is a standby now, or its disk has failed
    errors.OutcomeUnknown,
)
"""What the store may do to a step that asks it for something: no failure of the step. A worker waits for it."""


class Doubt(Exception):
    """The probe cannot tell whether the step took effect."""


def run(attempt: Attempt, hands: Hands) -> e.Report | None:
    """Run an attempt to its end. None: it no longer counts, and nobody is to be told."""
    hit("runtime.action.before")
    try:
        value = _ACTIONS[attempt.task.kind](attempt, hands)
        hit("runtime.action.after")
        return e.ActionSucceeded(*attempt.who, value)
    except errors.AttemptEnded:
        return None if attempt.gone else e.ActionFailed(*attempt.who, "the step ended when it was asked to")
    except errors.Superseded as ahead:
        return _superseded(attempt, hands, str(ahead))
    except (Exception, SystemExit) as error:  # noqa: BLE001  a user's step may raise anything; it becomes one report
        return _failure(attempt, error)


def _superseded(attempt: Attempt, hands: Hands, text: str) -> e.Report | None:
    """The ledger knows a newer attempt. If the store does not, it is older than the target, from a backup (W21).

    A store that cannot be asked now is asked by the next attempt: this one is handed back, for nobody reports for it.
    """
    try:
        counts = hands.counts(attempt)
    except STORE_AWAY:
        return None
    failed = e.ActionFailed(*attempt.who, f"the target's ledger is ahead of this store: {text}", park="W21")
    return failed if counts else None


def _failure(attempt: Attempt, error: BaseException) -> e.ActionFailed:
    text = told(error)
    # Not the traceback with its variables: they hold rows and secrets.
    structlog.get_logger().warning("attempt.failed", task=attempt.task.name, error=text, where=_where(error))
    match error:
        case errors.TargetBusy():
            return e.ActionFailed(*attempt.who, text, busy=not _in_doubt(attempt))
        case errors.StoreError() if isinstance(error, STORE_AWAY):
            return e.ActionFailed(*attempt.who, text, busy=not _in_doubt(attempt))
        case errors.LedgerMissing() | errors.LedgerChanged():
            return e.ActionFailed(*attempt.who, text, park="W21")
        case Doubt():
            return e.ActionFailed(*attempt.who, text, park="W23")
        case _:
            return e.ActionFailed(*attempt.who, text, final=_never(attempt, error))


def _in_doubt(attempt: Attempt) -> bool:
    """True for a manual step, which is never simply begun again, whatever went wrong."""
    activity = attempt.chart.activity(attempt.task.state)
    return attempt.task.kind == "step" and isinstance(activity, Run) and activity.promise == "manual"


def _where(error: BaseException) -> str:
    """File and line where it was raised, in the user's code for most."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _never(attempt: Attempt, error: BaseException) -> bool:
    """True for a failure that no retry mends: a kind that the saga names, or a result that breaks the contract."""
    retry = retry_of(attempt.chart, attempt.task.kind, attempt.task.state, NOTICE_RETRY)
    breaks_contract = errors.BadResult | errors.PayloadTooLarge | errors.ResultNotStorable
    return isinstance(error, (*retry.never_on, breaks_contract))


def _step(attempt: Attempt, hands: Hands) -> str:
    """A step going forward; a verified one first asks what an earlier attempt did."""
    activity = attempt.chart.run_of(attempt.task.state)
    step = LiveStep(attempt, hands, attempt.task.name)
    if activity.probe is not None and attempt.task.attempt > 1:
        match _call(activity.probe, step):
            case Done(result=result):
                return _checked(activity, result, hands)
            case InDoubt():
                raise Doubt(f"the probe {named(activity.probe)} cannot tell whether the step took effect")
            case _:
                pass
    return _checked(activity, _call(activity.work, step), hands)


def _checked(activity: Run, value: object, hands: Hands) -> str:
    """The result as canonical JSON: of the annotated model, within the limit, readable again."""
    if activity.result is None:
        if value is not None:
            raise errors.BadResult(step=named(activity.work), problem=f"returned {type(value).__name__}, not None")
        return "null"
    if not isinstance(value, activity.result):
        wanted, got = activity.result.__name__, type(value).__name__
        raise errors.BadResult(step=named(activity.work), problem=f"returned {got}, not {wanted}")
    return stored(activity.result, value, named(activity.work), hands.result_bytes_max)


def stored(model: type[BaseModel], value: BaseModel, step: str, most: int) -> str:
    """*value* as canonical JSON that *model* can be read from again."""
    try:
        tree = value.model_dump(mode="json", warnings="error")
        text = canonical(tree)
        refuse_lost(value, text)
        same = model.model_validate_json(text)
        size = len(text.encode())
    except (ValueError, TypeError, ValidationError) as error:
        raise errors.BadResult(step=step, problem=f"returned what JSON cannot hold: {told(error)}") from None
    if same.model_dump(mode="json") != tree:
        raise errors.BadResult(step=step, problem="returned what JSON cannot hold without loss")
    if size > most:
        raise errors.PayloadTooLarge(what=f"the result of {step}", size=size, limit=most)
    return text


def _undo(attempt: Attempt, hands: Hands) -> str:
    """A step going backward. Where nothing of it took effect the undo is not called; its proof is asked in any case."""
    task = attempt.task
    entry = next(entry for entry in attempt.run.undo if entry.position == task.about)
    activity = attempt.chart.run_of(task.state)
    undo = activity.undo
    assert undo is not None, "only a step with an undo is queued for one"
    step = UndoStep(attempt, hands, entry.task)
    step.begin()
    was = _outcome(attempt, activity, entry.visit, step)
    none_applied = activity.promise == "effect" and step.never_applied()
    if not none_applied and not isinstance(was, NotDone):
        _call(undo.work, step, was)
    _prove(step, undo, task.state)
    return "null"


def _prove(step: UndoStep, undo: Undo, state: str) -> None:
    """No part may be left in effect, then the proof must say yes; a step that touched no ledger has its proof alone."""

    def proof() -> bool:
        return undo.verify is None or bool(_call(undo.verify, step))

    if not step.finish(proof) and not proof():
        raise errors.UndoNotVerified(what=state, connection="the target")


def _outcome(attempt: Attempt, activity: Run, visit: int, step: UndoStep) -> Done[Any] | InDoubt | NotDone:
    """What the undo is told: the recorded result, else what the probe finds, else that nobody knows."""
    state = attempt.task.state
    source = source_of(attempt.chart, state)
    kept = next((r for r in attempt.run.results if (r.state, r.visit, r.source) == (state, visit, source)), None)
    if kept is not None:
        return Done(attempt.chart.parse(source, kept.value))
    if activity.probe is not None:
        found: Done[Any] | InDoubt | NotDone = _call(activity.probe, step)
        return found
    return InDoubt()


def _notice(attempt: Attempt, hands: Hands) -> str:
    """An entering or leaving action."""
    row = attempt.chart.rows[attempt.task.state]
    work = row.entering if attempt.task.kind == "entering" else row.leaving
    assert work is not None, "a notice is queued only where the table has one"
    _call(work, LiveStep(attempt, hands, attempt.task.name))
    return "null"


def _call(work: UserCode, *args: object) -> Any:  # noqa: ANN401  whatever the user's function returns
    """Call a function of the user's; one that is async runs to its end in a loop of its own."""
    result = work(*args)
    return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result


async def _awaited(result: Any) -> Any:  # noqa: ANN401  whatever the user's function returns
    return await result


_ACTIONS: Final[dict[str, Callable[[Attempt, Hands], str]]] = {
    "step": _step,
    "undo": _undo,
    "entering": _notice,
    "leaving": _notice,
}
