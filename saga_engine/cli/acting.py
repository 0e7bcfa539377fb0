"""How commands that act end: they say what became of it, and wait if asked to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, NamedTuple, TypeAlias

from rich.text import Text

from saga_engine.cli import output, people, trouble, waiting
from saga_engine.cli.here import Here, ask, names_from_input
from saga_engine.cli.params import FOREVER
from saga_engine.cli.people import Column
from saga_engine.cli.waiting import Check, Over
from saga_engine.errors import SagaError
from saga_engine.runtime.views import Reply, RunView

Question: TypeAlias = Callable[[str], str]
"""The question, made of the names of the runs: no template, for what people typed may hold braces."""

INPUT: Final = "-"
NAMED_MAX: Final = 5
"""How many runs a question names."""

RUNS = (
    Column[RunView]("RUN", lambda run: run.name, whole=True),
    Column[RunView]("STATE", lambda run: run.state),
    Column[RunView]("STATUS", lambda run: run.status),
)
REPLIES = (
    Column[Reply]("RUN", lambda reply: reply.run, whole=True),
    Column[Reply]("FROM", lambda reply: reply.source),
    Column[Reply]("STATE", lambda reply: reply.state),
    Column[Reply]("STATUS", lambda reply: f"{reply.status}, paused" if reply.paused else reply.status),
    Column[Reply]("NOTE", lambda reply: reply.note),
)


class Chosen(NamedTuple):
    """The runs that are meant, by their ids. *alone*: one was named, and not on standard input."""

    ids: list[str]
    alone: bool


def chosen(here: Here, typed: tuple[str, ...]) -> Chosen:
    """The runs that are named, ``-`` for names on standard input; ``RunNotFound`` before anything is done to one."""
    return Chosen([here.run(name) for name in names(typed)], alone=len(typed) == 1 and typed[0] != INPUT)


def confirmed(here: Here, typed: tuple[str, ...], question: Question, flag: str, *, yes: bool) -> Chosen:
    """The same, once somebody has said yes to *question*."""
    found = chosen(here, typed)
    confirm(here, found, question, flag, yes=yes)
    return found


def confirm(here: Here, found: Chosen, question: Question, flag: str, *, yes: bool) -> None:
    """Go on once somebody has said yes to *question*, which is given the names of the runs."""
    if yes:
        return
    told = [here.engine.get(run_id).name for run_id in found.ids[:NAMED_MAX]]
    more = [f"{len(found.ids) - NAMED_MAX} more"] if len(found.ids) > NAMED_MAX else []
    ask(question(", ".join(told + more)), flag, yes=False)


def acted(here: Here, reply: Reply, done: str, wait: timedelta | None) -> int:
    """Print what became of one run: *done* is the verb, past tense. With *wait*, the run as it stands then."""
    if reply.note:
        here.note(f"note:  {reply.note}")
    if wait is None or output.for_people(here.options):
        output.item(here.options, "Reply", reply, lambda: _line(reply, done))
    if wait is None:
        return 0
    with _recorded(here, [reply], done):
        return waited(here, reply.run_id, wait)


@contextmanager
def _recorded(here: Here, replies: Sequence[Reply], done: str) -> Iterator[None]:
    """Tell what is recorded, whatever ends the wait for what comes of it: else somebody does it again."""
    try:
        yield
    except (KeyboardInterrupt, SagaError):
        for reply in replies:
            if reply.changed:
                here.note(f"note:  {reply.run}: {done} is recorded; saga show {reply.run} --watch")
        raise


def waited(
    here: Here, run_id: str, wait: timedelta, over: Over = waiting.stopped, check: Check = waiting.unchecked
) -> int:
    """Wait until the run is *over*, print it, and return the exit code of the wait."""
    run, code = _until(here, run_id, wait, over, check)
    output.item(here.options, "Run", run, lambda: ended(run))
    _note(here, run, code)
    return code


def each(here: Here, asked: Chosen, act: Callable[[str], Reply], done: str, wait: timedelta | None) -> int:
    """Act on the runs, one after the other.

    One that is refused does not keep the others from being acted on; the first trouble decides the exit code. *wait*
    is for all of them together.
    """
    if asked.alone:
        return acted(here, act(asked.ids[0]), done, wait)
    replies: list[Reply] = []
    codes: list[int] = []
    for run_id in asked.ids:
        try:
            replies.append(act(here.run(run_id)))
        except SagaError as error:
            codes.append(trouble.told(here.named(error)))
    if wait is None:
        output.items(here.options, "ReplyList", Reply, replies, REPLIES, empty="nothing was done")
    else:
        end = time.monotonic() + wait.total_seconds()
        with _recorded(here, replies, done):
            runs = [_until(here, reply.run_id, _left(wait, end)) for reply in replies]
        output.items(here.options, "RunList", RunView, [run for run, _ in runs], RUNS, empty="nothing was done")
        for run, code in runs:
            _note(here, run, code)
        codes += [code for _, code in runs]
    return next((code for code in codes if code), 0)


def ended(run: RunView) -> Text:
    """One line on a run that has ended or stopped."""
    return people.cell(f"{run.name}: {waiting.where(run)}")


def names(typed: tuple[str, ...]) -> Iterator[str]:
    """The names as typed; ``-`` stands for those on standard input."""
    for name in typed:
        yield from names_from_input() if name == INPUT else [name]


def _left(wait: timedelta, end: float) -> timedelta:
    """What is left of *wait* until *end*; at its end each run is still looked at once."""
    return wait if wait == FOREVER else timedelta(seconds=max(0.0, end - time.monotonic()))


def _until(
    here: Here, run_id: str, wait: timedelta, over: Over = waiting.stopped, check: Check = waiting.unchecked
) -> tuple[RunView, int]:
    with waiting.told(here.options) as drawn:
        return waiting.until_stopped(here, run_id, wait, drawn, over, check=check)


def _note(here: Here, run: RunView, code: int) -> None:
    """What a wait that did not see the end leaves to do."""
    if code == waiting.RAN_OUT:
        here.note(f"note:  the wait is over; {run.name} goes on")
    elif code in (waiting.STILL_WAITING, waiting.NOT_COMPLETED):
        here.note(f"hint:  saga why {run.name}")


def _line(reply: Reply, done: str) -> Text:
    way = f"{reply.source} → {reply.state}" if reply.source != reply.state else f"in {reply.state}"
    return people.cell(f"{reply.run}: {done if reply.changed else 'nothing done'}, {way}")
