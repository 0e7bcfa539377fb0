"""Everything the engine raises. The ground floor: imports nothing of ours.

The class docstring is the message, filled with the fields that the raiser gives; the text says what to do
next. ``exit_code`` is what the command line ends with.
"""

from __future__ import annotations

from typing import ClassVar


class SagaError(Exception):
    """{text}"""

    exit_code: ClassVar[int] = 1
    hint: ClassVar[str] = ""

    def __init__(self, text: str = "", **facts: object) -> None:
        self.facts = {"text": text, **facts}
        template = text or (type(self).__doc__ or "")
        super().__init__(text or template.format(**facts))

    @property
    def next_command(self) -> str:
        """The command that helps, with the facts filled in; empty where none is known."""
        return self.hint.format(**self.facts) if self.hint else ""


class DefinitionError(SagaError):
    """{text}"""

    exit_code = 6


class NoResult(SagaError):
    """There is no result of {source} in this run: it never ran on this path, returned nothing, or was undone. Ask `find` where that may be."""


class AttemptEnded(SagaError):
    """This attempt no longer counts: its lease is gone, or the run has moved on."""


class Superseded(BaseException):
    """A newer attempt, or an undo, has taken over in the target database. Not an Exception: user code cannot swallow it."""


class BadResult(SagaError):
    """{step} {problem}. Its annotation says what is stored; mend the step, then `saga retry`."""


# --- what a caller did wrong


class BadInput(SagaError):
    """{text}"""

    exit_code = 2


class PayloadTooLarge(BadInput):
    """{what} has {size} bytes; the limit is {limit}. Store the data elsewhere and pass a reference."""


class SettingsError(SagaError):
    """{text}"""

    exit_code = 2


class NotFound(SagaError):
    """{text}"""

    exit_code = 3


class RunNotFound(NotFound):
    """No run is called {run}."""

    hint = "saga list"


class SagaNotFound(NotFound):
    """No saga called {saga} is loaded. Loaded: {loaded}."""

    hint = "saga check"


class WorkflowsMissing(NotFound):
    """There is no {path}, where the sagas should be."""

    hint = "saga init"


class NotLoaded(NotFound):
    """{saga} v{version} ({digest}) is not loaded here, so nothing can be decided for its runs. Files that failed: {broken}."""

    hint = "saga check"


class StateNotFound(NotFound):
    """{saga} has no state {state}. It has {states}."""

    hint = "saga graph {saga}"


class EventNotFound(NotFound):
    """{saga} knows no event {event}. It knows {events}."""

    hint = "saga graph {saga}"


class NotAllowed(SagaError):
    """{text}"""

    exit_code = 4


class NotInRole(NotAllowed):
    """{actor} is not in role {role}, which has {members}."""


# --- the run is not where the caller thinks


class Conflict(SagaError):
    """{text}"""

    exit_code = 7


class AlreadyDecided(Conflict):
    """{run} was already {verdict} by {actor} at {at}: {reason}"""

    hint = "saga show {run}"


class NotAccepted(Conflict):
    """{run} is in {state}, which does not take the event {event}. Here it takes: {takes}."""

    hint = "saga why {run}"


class RunEnded(Conflict):
    """{run} has ended: {status} in {state}."""

    hint = "saga history {run}"


class KeyTaken(Conflict):
    """The run key {key} belongs to {run}, which was started with another {difference}. Use another key."""

    hint = "saga show {run}"


# --- the store


class StoreError(SagaError):
    """{text}"""

    exit_code = 9


class StoreUnreachable(StoreError):
    """The store {url} cannot be reached: {reason}"""

    hint = "saga doctor"


class SchemaNotCurrent(StoreError):
    """The store's schema is at {found}, this program needs {wanted}."""

    hint = "saga db upgrade"


class LibraryTooOld(StoreError):
    """{text}"""


class StoreBusy(StoreError):
    """The store {url} is busy: {reason}. Nothing was changed; try again, and end what holds it if it stays so."""

    hint = "saga doctor"


class StoreFull(StoreError):
    """No room is left for the store {url}: {reason}. Nothing that was acknowledged is lost; free room, then go on."""

    hint = "saga doctor"


class StoreForbidden(StoreError):
    """The store {url} cannot be written by this user: {reason}. Check the owner, mode and grants."""

    hint = "saga doctor"


class StoreDamaged(StoreError):
    """The store {url} cannot be read: {reason}. Leave it as it is and name another store, or restore a backup."""

    hint = "saga doctor"


class StoreReplaced(StoreError):
    """The file of the store {url} was removed or replaced while it was open. Nothing was written: start again."""


class OutcomeUnknown(StoreError):
    """The answer to COMMIT never came from {url} ({reason}): the change may be there or not. Look before repeating it."""


class SchemaTooNew(StoreError):
    """The store's schema is at {found}, this program knows up to {wanted}. Install the newer saga-engine that upgraded it."""


# --- the ledger, in the target database


class LedgerError(SagaError):
    """{text}"""


class EffectNotSupported(LedgerError):
    """{connection} is {database}: an effect needs SQLite or PostgreSQL (postgresql+psycopg://). On MariaDB and MySQL, where statements commit by themselves, make the step a verified one: .verified(probe)."""


class LedgerMissing(LedgerError):
    """{connection} has no ledger, the tables that make an effect take place once. Make it before the run goes on; no step ever does."""

    hint = "saga db ledger {connection}"


class ConnectionFailed(LedgerError):
    """The connection {connection} cannot be used: {reason}"""

    hint = "saga config show --origin"


class LedgerChanged(LedgerError):
    """The ledger of {connection} is not the one that this run has used: {difference}. The database was restored, made again, or another one answers under its name."""

    hint = "saga reconcile"


class TargetBusy(LedgerError):
    """{what} waited {seconds} s for a lock on the ledger of {connection}, which another session holds. Not a failure: nothing was changed, try again after a pause."""


class TransactionEnded(LedgerError):
    """The work of {what} ended its transaction in {connection} by itself; {kept}. Leave BEGIN, COMMIT and ROLLBACK to the engine: db.begin_nested() is a savepoint, a `part` for each chunk makes smaller transactions."""


class WorkIdle(LedgerError):
    """The work of {what} said nothing to {connection} for {seconds} s, the lease, inside its transaction: the server ended it, nothing was kept. Read and compute before step.effect, or make smaller parts."""


class CommitUnknown(LedgerError):
    """Nobody knows yet whether {what} was committed: {connection} never answered, nor did it when asked again. The next attempt asks the ledger whether it took effect; nothing is done twice."""


class ResultNotStorable(BadInput):
    """The result of {what} cannot be stored: {reason}. Return a pydantic model that reads back from its own JSON, or None."""


class UndoIncomplete(LedgerError):
    """The undo of {what} has left parts applied in {connection}: {parts}. It must undo each of them by step.effect(connection, work, part=…), or all at once without a part."""


class UndoNotVerified(LedgerError):
    """The undo of {what} has run, but its verify says that {connection} is not as it was before."""


# --- moving tables


class MoveError(SagaError):
    """{text}"""


class CannotMove(MoveError):
    """{table} cannot be moved as it is, and nothing was written: {problems}"""

    exit_code = 2


class ExportDamaged(MoveError):
    """{file} is not what was exported: {difference}. The files of this export are not used; start the move again when the disk is trusted."""


class ExportGone(MoveError):
    """{folder} is gone: somebody removed it, or the export was undone. Start the move again."""


class PartsNotContiguous(MoveError):
    """Chunk {number} does not begin where the chunk before it ended: rows would be missing or loaded twice. Nothing of it was kept."""


class TargetChanged(MoveError):
    """{table} has changed since the preflight: {difference}. Roll the run back and start it again, so that the plan fits the table."""


class NoticeFailed(SagaError):
    """The notice could not be given: {reason}"""


# --- workers


class WorkerGaveUp(SagaError):
    """Half of the worker's slots hang: their threads do not come back, and no thread can be ended. Start a new worker."""

    exit_code = 75
    hint = "saga worker"
