"""The one door: the command line, workers and a user's own program all act on the store through ``Engine``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel

from saga_engine import log
from saga_engine import settings as settings_room
from saga_engine.domain import events as e
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import Event
from saga_engine.runtime import ask, look, picture, reasons, run_views, starting, verify, waiting
from saga_engine.runtime import prune as pruning
from saga_engine.runtime import reconcile as reconciling
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.isolation import role
from saga_engine.runtime.opening import opened
from saga_engine.runtime.registry import Registry
from saga_engine.runtime.targets import Targets
from saga_engine.runtime.views import (
    ApprovalView,
    HistoryLine,
    PictureView,
    Reply,
    RunPage,
    RunView,
    StatusLine,
    WhyView,
    WorkerView,
)
from saga_engine.runtime.views_operate import PrunedView, ReconciledView, RollbackPlan, VerifiedView
from saga_engine.runtime.worker import Worker
from saga_engine.settings import Settings
from saga_engine.store.connect import Store
from saga_engine.store.inspect import Wanted

I = TypeVar("I", bound=BaseModel)  # noqa: E741  reads as "input"


class Engine:
    """A store, the sagas that this process has loaded, and everything that can be done with them.

    Makes the store and its schema where there is none, unless *create* is False; an older schema is refused
    (``saga db upgrade``). Threads may share one; a forked child may not. Every refusal is an error of
    ``saga_engine.errors`` that says what to do next, and nothing has moved after one.
    """

    def __init__(
        self,
        url: str = "sqlite:///saga.db",
        *,
        sagas: Iterable[Saga[Any, Any]] = (),
        connections: Mapping[str, str] | None = None,
        roles: Mapping[str, Sequence[str]] | None = None,
        settings: Settings | None = None,
        registry: Registry | None = None,
        create: bool = True,
    ) -> None:
        role.refuse_engine()
        log.configure_embedded()
        self.settings = settings or Settings(
            store=url,
            connections=dict(connections or {}),
            roles={name: tuple(who) for name, who in (roles or {}).items()},
        )
        self.registry = registry or Registry()
        for saga in sagas:
            self.registry.add(saga)
        self.store = self._opened(create=create)
        self.door = Door(self.store, self.registry, self.settings.limits)
        self.targets = Targets(self.settings)

    def start(
        self,
        saga: Saga[Any, I] | str,
        input: I | Mapping[str, Any],  # noqa: A002  the word of the API
        *,
        key: str | None = None,
        actor: str | None = None,
    ) -> RunView:
        """Start a run of *saga*, or give back the one that *key* names already.

        *input* is validated and stored once. Raises ``BadInput``, ``PayloadTooLarge``, or ``KeyTaken`` when the key
        belongs to a run with another input, saga or version. After ``OutcomeUnknown`` start it again with its key:
        without one there may be two.
        """
        return starting.start(self.door, saga, input, key, self.actor(actor))

    def send(
        self,
        run: str,
        event: Event[Any] | str,
        payload: BaseModel | Mapping[str, Any] | None = None,
        *,
        dedup_key: str | None = None,
        actor: str | None = None,
        source: str = "api",
    ) -> Reply:
        """Deliver an event. With *dedup_key* (the event key) the same event of the same source counts once."""
        return ask.send(self.door, run, event, payload or {}, ask.Sender(self.actor(actor), source, dedup_key))

    def approve(self, run: str, *, shown: str, actor: str | None = None, reason: str = "") -> Reply:
        """Approve what waits, having seen what the digest *shown* is of (``approvals``)."""
        return self._verdict(run, shown, actor, reason, approved=True)

    def reject(self, run: str, *, shown: str, actor: str | None = None, reason: str = "") -> Reply:
        """Reject what waits: one rejection is enough."""
        return self._verdict(run, shown, actor, reason, approved=False)

    # Each of these with dry_run: what would follow, decided and not recorded.

    def cancel(self, run: str, *, actor: str | None = None, reason: str = "", dry_run: bool = False) -> Reply:
        """Stop the run and undo what it did."""
        return ask.deliver(self.door, run, e.CancelRequested(self.actor(actor), reason), dry_run=dry_run)

    def rollback(self, run: str, *, to: Enum | str | None = None, actor: str | None = None, reason: str = "") -> Reply:
        """Undo the whole run, or back to the state *to* and forward again from there. ``plan`` is its dry run."""
        return ask.rollback(self.door, self.targets, run, e.RollbackRequested(self.actor(actor), _name(to), reason))

    def retry(self, run: str, *, actor: str | None = None, reason: str = "", dry_run: bool = False) -> Reply:
        """Try again now what is parked or backs off."""
        return ask.deliver(self.door, run, e.RetryRequested(self.actor(actor), reason), dry_run=dry_run)

    def skip(self, run: str, *, reason: str, actor: str | None = None, dry_run: bool = False) -> Reply:
        """Go on without what is parked."""
        return ask.skip(self.door, self.targets, run, e.SkipRequested(self.actor(actor), reason), dry_run=dry_run)

    def resolve(
        self, run: str, *, done: bool, evidence: str, result: Mapping[str, Any] | None = None, actor: str | None = None
    ) -> Reply:
        """Say what a parked step or undo really did, found out by a person; *result* where the step has one."""
        return ask.resolve(self.door, self.targets, run, e.Resolved(self.actor(actor), evidence, done), result)

    def reconcile(self, run: str, *, actor: str | None = None, dry_run: bool = False) -> ReconciledView:
        """Compare the run with the ledgers of its targets, and mend what is provably right (W21)."""
        run_id = self.door.names.resolve(run)
        return reconciling.reconcile(self.door, self.targets, run_id, self.actor(actor), dry_run=dry_run)

    def settle(self, run: str, task: str) -> None:
        """Say that nothing is in effect any more of a step that only a ledger knows."""
        reconciling.settle(self.door, self.targets, self.door.names.resolve(run), task)

    def pause(self, run: str, *, actor: str | None = None, reason: str = "", dry_run: bool = False) -> Reply:
        """Hold the run: nothing new starts, no timer fires; what runs is finished and recorded."""
        return ask.deliver(self.door, run, e.PauseRequested(self.actor(actor), reason), dry_run=dry_run)

    def resume(self, run: str, *, actor: str | None = None, reason: str = "", dry_run: bool = False) -> Reply:
        """Let a paused run go on."""
        return ask.deliver(self.door, run, e.ResumeRequested(self.actor(actor), reason), dry_run=dry_run)

    def plan(self, run: str, *, to: Enum | str | None = None, actor: str | None = None) -> RollbackPlan:
        """What a rollback would undo now, in order; refused where the rollback would be. Nothing is recorded."""
        return ask.plan(self.door, self.targets, run, e.RollbackRequested(self.actor(actor), _name(to)))

    def resolve_name(self, typed: str) -> str:
        """The id of the run that *typed* names; ``RunNotFound``, or ``BadInput`` where it fits several."""
        return self.door.names.resolve(typed)

    def get(self, run: str) -> RunView:
        """The run as it stands."""
        return run_views.run(self.door, self.door.names.resolve(run))

    def wait(self, run: str, *, seconds: float | None = None) -> RunView:
        """The run once it has ended, or goes on only with a person (``RunView.stands_still``); else after *seconds*.

        Told at once of what this process records, a worker in a thread of it for one; else it looks, ever less often.
        """
        return waiting.until_still(self.door, run, seconds)

    def picture(self, run: str, *, ascii_only: bool = False) -> PictureView:
        """The run with its path, what lies ahead, what can be undone, and the newest of its history."""
        return picture.picture(self.door, self.door.names.resolve(run), ascii_only=ascii_only)

    def saga_of(self, run: str) -> Saga[Any, Any] | None:
        """The definition that the run is pinned to; None where this process has not loaded it."""
        return look.saga(self.door, self.door.names.resolve(run))

    def history(self, run: str, *, after: int = 0, limit: int = 1_000) -> list[HistoryLine]:
        """Up to *limit* journal lines behind revision *after*, oldest first."""
        return look.history(self.door, self.door.names.resolve(run), after, limit)

    def why(self, run: str) -> WhyView:
        """Why the run is where it is, who can act, and with which command."""
        return reasons.why_of(self.door, self.settings.roles, self.door.names.resolve(run))

    def find(
        self,
        *,
        saga: Saga[Any, Any] | str | None = None,
        state: Enum | str | None = None,
        status: str | None = None,
        live: bool | None = None,
        since: datetime | None = None,
        limit: int = 50,
        page: str | None = None,
    ) -> RunPage:
        """A page of runs, the newest first; *page* is the ``next`` of the page before."""
        name = saga.name if isinstance(saga, Saga) else saga
        return look.find(self.door, Wanted(name, _name(state), status, live, since, page, limit))

    def status(self) -> list[StatusLine]:
        """How many live runs are in which state."""
        return look.status(self.door)

    def approvals(self, run: str | None = None) -> list[ApprovalView]:
        """The gates that wait for people: all, or those of one run."""
        return look.approvals(self.door, None if run is None else self.door.names.resolve(run))

    def workers(self) -> list[WorkerView]:
        """The workers that have not ended."""
        return look.workers(self.door)

    def verify(
        self, runs: Sequence[str] = (), *, anchors: Sequence[Path] = (), write_anchor: Path | None = None
    ) -> VerifiedView:
        """Check the histories of *runs*, or of all there are, against themselves, their rows, and *anchors*.

        *write_anchor*: where nothing is wrong, write an anchor there; one that is there has to agree first.
        """
        return verify.verify(self.door, runs, anchors, write_anchor)

    def prune(
        self,
        older_than: timedelta,
        *,
        saga: Saga[Any, Any] | str | None = None,
        keep_failed: bool = False,
        ledgers: bool = False,
        dry_run: bool = False,
    ) -> PrunedView:
        """Remove runs that ended longer ago than *older_than*, in short transactions beside the workers.

        *keep_failed*: only those that completed. *ledgers*: their rows in targets too.
        """
        asked = pruning.Asked(older_than, saga.name if isinstance(saga, Saga) else saga, keep_failed, ledgers)
        return pruning.prune(self.door, self.targets, asked, dry_run=dry_run)

    def work(self, *, concurrency: int = 8, queues: Sequence[str] = ("default",), until_idle: bool = False) -> int:
        """Be a worker in this thread, until ``stop`` of the worker, or until nothing is due now nor being run.

        Returns the exit code of ``saga worker``: 0, or 75 when half of the slots hang.
        """
        return self.worker(concurrency=concurrency, queues=queues).run(until_idle=until_idle)

    def worker(self, *, concurrency: int = 8, queues: Sequence[str] = ("default",)) -> Worker:
        """A worker that has not begun; ``run`` begins it, ``stop`` asks it to drain."""
        return Worker(
            self.door, self.targets, self.settings, self.door.store_uuid(), slots=concurrency, queues=tuple(queues)
        )

    def _opened(self, *, create: bool) -> Store:
        """The store as the settings say. What ``testing`` opens in its own way has a clock that skips time."""
        return opened(self.settings, create=create)

    def _verdict(self, run: str, shown: str, actor: str | None, reason: str, *, approved: bool) -> Reply:
        who = self.actor(actor)
        return ask.deliver(self.door, run, e.VerdictGiven(approved, shown, who, self.roles_of(who), reason))

    def actor(self, given: str | None = None) -> str:
        """Who acts: *given*, else as the settings say."""
        return given or settings_room.actor(self.settings)

    def roles_of(self, actor: str) -> tuple[str, ...]:
        """The roles that the settings give to *actor*."""
        return tuple(role for role, members in self.settings.roles.items() if actor in members)

    def close(self) -> None:
        """Let go of every connection. The store keeps everything."""
        self.door.together.close()
        self.targets.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _name(state: Enum | str | None) -> str | None:
    return state.name if isinstance(state, Enum) else state
