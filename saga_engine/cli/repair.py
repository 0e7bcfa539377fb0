"""``saga retry``, ``skip``, ``resolve``, ``cancel``, ``pause``, ``resume``: what people do to a run that needs them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import click

from saga_engine.cli import acting, options
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.trouble import Refused
from saga_engine.cli.typed import one_json
from saga_engine.runtime.views import Reply


@click.command(cls=Command)
@options.runs_argument
@options.reason_option
@options.dry_run_option
@options.wait_option
@click.pass_obj
def retry(given: Options, runs: tuple[str, ...], reason: str, wait: timedelta | None, *, dry_run: bool) -> int:
    """Try again now what is parked or backs off.

    What is parked gets a new budget of attempts; without anything parked, what backs off is tried at once.
    """
    with Here(given) as opened:
        found = acting.chosen(opened, runs)
        act = _act(opened.engine.retry, reason, dry_run=dry_run)
        return acting.each(opened, found, act, _word("tried again", dry_run=dry_run), _wait(wait, dry_run=dry_run))


@click.command(cls=Command)
@options.runs_argument
@click.option("--reason", required=True, metavar="TEXT", help="Why nothing is lost by it; it goes into the history.")
@options.yes_option
@options.dry_run_option
@options.wait_option
@click.pass_obj
def skip(
    given: Options, runs: tuple[str, ...], reason: str, wait: timedelta | None, *, yes: bool, dry_run: bool
) -> int:
    """Go on without what is parked.

    A notice, an undo or a step without a result can be skipped: a person has taken it over. What follows a step that
    has a result needs it; say with `saga resolve` what happened instead.
    """
    with Here(given) as opened:
        found = acting.confirmed(opened, runs, _past, "--yes", yes=yes or dry_run)
        act = _act(opened.engine.skip, reason, dry_run=dry_run)
        return acting.each(opened, found, act, _word("skipped", dry_run=dry_run), _wait(wait, dry_run=dry_run))


@click.command(cls=Command)
@options.run_argument
@click.option("--done/--not-done", default=None, help="Whether the step, or the undo, took effect; one must be said.")
@click.option("--evidence", required=True, metavar="TEXT", help="How you know; it goes into the history.")
@click.option("--result", metavar="JSON|@FILE|-", help="The result of a step that is done and has one.")
@options.wait_option
@click.pass_obj
def resolve(
    given: Options, run: str, *, done: bool | None, evidence: str, result: str | None, wait: timedelta | None
) -> int:
    """Say what a step in doubt really did.

    The run is parked because nobody knows whether an attempt took effect. You have looked.
    """
    if done is None:
        raise Refused("say what you have found: --done or --not-done", f"saga why {run}")
    found = one_json(result, "--result") if result is not None else None
    with Here(given) as opened:
        run_id = opened.run(run)
        reply = opened.engine.resolve(run_id, done=done, evidence=evidence, result=found)
        return acting.acted(opened, reply, "resolved", wait)


@click.command(cls=Command)
@options.runs_argument
@options.reason_option
@options.yes_option
@options.dry_run_option
@options.wait_option
@click.pass_obj
def cancel(
    given: Options, runs: tuple[str, ...], reason: str, wait: timedelta | None, *, yes: bool, dry_run: bool
) -> int:
    """Stop a run and undo what it did.

    Its status at the end is cancelled; `--wait` then ends with 5. Past the point of no return it is refused.
    """
    with Here(given) as opened:
        found = acting.confirmed(opened, runs, _end, "--yes", yes=yes or dry_run)
        act = _act(opened.engine.cancel, reason, dry_run=dry_run)
        return acting.each(opened, found, act, _word("cancelled", dry_run=dry_run), _wait(wait, dry_run=dry_run))


@click.command(cls=Command)
@options.runs_argument
@options.reason_option
@options.dry_run_option
@click.pass_obj
def pause(given: Options, runs: tuple[str, ...], reason: str, *, dry_run: bool) -> int:
    """Hold a run: nothing new starts.

    No timer fires either; what runs is finished and recorded. Events and verdicts are accepted and act at resume.
    """
    with Here(given) as opened:
        found = acting.chosen(opened, runs)
        act = _act(opened.engine.pause, reason, dry_run=dry_run)
        return acting.each(opened, found, act, _word("paused", dry_run=dry_run), None)


@click.command(cls=Command)
@options.runs_argument
@options.reason_option
@options.dry_run_option
@options.wait_option
@click.pass_obj
def resume(given: Options, runs: tuple[str, ...], reason: str, wait: timedelta | None, *, dry_run: bool) -> int:
    """Let a paused run go on."""
    with Here(given) as opened:
        found = acting.chosen(opened, runs)
        act = _act(opened.engine.resume, reason, dry_run=dry_run)
        return acting.each(opened, found, act, _word("resumed", dry_run=dry_run), _wait(wait, dry_run=dry_run))


def _past(runs: str) -> str:
    return f"Go on without what is parked in {runs}?"


def _end(runs: str) -> str:
    return f"Cancel {runs} and undo what was done?"


def _act(verb: Callable[..., Reply], reason: str, *, dry_run: bool) -> Callable[[str], Reply]:
    return lambda run_id: verb(run_id, reason=reason, dry_run=dry_run)


def _word(done: str, *, dry_run: bool) -> str:
    return f"would be {done}" if dry_run else done


def _wait(wait: timedelta | None, *, dry_run: bool) -> timedelta | None:
    """Nothing follows from a dry run."""
    return None if dry_run else wait
