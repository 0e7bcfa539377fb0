"""What planning a rollback, checking, pruning and reconciling answer with."""

from datetime import datetime
from typing import Literal

from saga_engine.domain.definition.values import Frozen


class PlannedUndo(Frozen):
    """One step that a rollback would take back. *undo* is the function's name; steps without one are not listed."""

    position: int
    state: str
    visit: int
    outcome: Literal["done", "in doubt"]
    undo: str


class RollbackPlan(Frozen):
    """What a rollback would undo, in that order; it goes on in *via* and ends in *ends_in*.

    Where the run is rolled back already *note* says so: *steps* are what is left of that.
    """

    run_id: str
    run: str
    saga: str
    state: str
    via: str
    ends_in: str
    steps: tuple[PlannedUndo, ...]
    note: str = ""


class FaultView(Frozen):
    """Something in the store that this program cannot have written. *revision*: of the journal line, if it is one."""

    run_id: str
    run: str
    """The run's short name; its id, or nothing, where there is none."""
    revision: int | None
    what: Literal["line", "row", "anchor", "removed", "stray", "pruned", "store"]
    text: str


class VerifiedView(Frozen):
    """What a check of histories has looked at, and found."""

    runs: int
    lines: int
    pruned: int
    """Rows of what was pruned."""
    anchored: int
    """Runs that an anchor knew."""
    found: tuple[FaultView, ...]
    more: int
    """Faults beyond those that are named."""
    anchor: str | None
    """The file that was written."""


class PrunedView(Frozen):
    """What a prune has removed, or would remove."""

    before: datetime
    """Runs that ended before this."""
    runs: int
    lines: int
    """Journal lines of theirs."""
    kept: int
    """Old enough, and kept: a notice of theirs is still to be given, or waits for a person."""
    transactions: int
    longest_seconds: float
    """How long the longest transaction held its locks."""
    dry_run: bool


class LedgerStepView(Frozen):
    """One step of a run, as a target's ledger knows it, beside what the store knows."""

    connection: str
    task: str
    step: str
    """State and visit."""
    verdict: Literal["in step", "ahead", "behind", "unknown", "set aside", "lost"]
    """ahead: the ledger has seen more than the store · behind: less · unknown: the store never heard of it ·
    set aside: it waits for its state · lost: no ledger, another one, or nobody answers."""
    text: str
    mends: str = ""
    """What `saga reconcile` does about it; empty where a person has to."""
    next: str = ""


class ReconciledView(Frozen):
    """Store and ledgers of one run, compared; and what was done, or with a dry run would be."""

    run_id: str
    run: str
    state: str
    status: str
    steps: tuple[LedgerStepView, ...]
    done: str
    """What became of the run: in a sentence; empty where nothing had to be done."""
    in_step: bool
    """Nothing is left for a person to decide."""
