"""What can be wrong with a target: its ledger, an effect, an undo, a table that is moved, a notice."""

from saga_engine.errors.asked import BadInput
from saga_engine.errors.base import SagaError


class LedgerError(SagaError):
    """{text}"""


class EffectNotSupported(LedgerError):
    """{connection} is {database}: an effect needs SQLite, PostgreSQL (postgresql+psycopg://) or MariaDB (mariadb+pymysql://). On another database make the step a verified one: .verified(probe)."""


class LedgerMissing(LedgerError):
    """{connection} has no ledger, the tables that make an effect take place once. Make it before the run goes on; no step ever does."""

    hint = "saga db ledger {connection}"


class ConnectionFailed(LedgerError):
    """The connection {connection} cannot be used: {reason}"""

    hint = "saga config show --origin"


class LedgerChanged(LedgerError):
    """The ledger of {connection} is not the one that this run has used: {difference}. The database was restored, made again, or another one answers under its name."""

    hint = "saga doctor"


class TargetBusy(LedgerError):
    """{what} waited {seconds} s for a lock on the ledger of {connection}, which another session holds. Not a failure: nothing was changed, try again after a pause."""


class TransactionEnded(LedgerError):
    """The work of {what} ended its transaction in {connection} by itself; {kept}. Leave BEGIN, COMMIT and ROLLBACK to the engine: db.begin_nested() is a savepoint, a `part` for each chunk makes smaller transactions."""


class WriteStays(LedgerError):
    """The work of {what} wrote to a table of {connection} whose engine has no transactions (MyISAM, Aria, MEMORY). That write stays, the rest was taken back, and the part is in doubt: look at the table, then undo the step or resolve it. ALTER TABLE … ENGINE=InnoDB, or write there in a step with .verified(probe)."""


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


class CannotReplace(MoveError):
    """{why}. Nothing was swapped: take that away, then `saga retry`; or roll the run back."""


class StagingChanged(MoveError):
    """{table} is not what was validated: {difference}. Nothing was swapped; roll the run back and start it again."""


class NoticeFailed(SagaError):
    """The notice could not be given: {reason}"""
